"""A kube-apiserver that crashes, loses its history, freezes or ends watches: the cache ends up equal to the list."""

from __future__ import annotations

import base64
import dataclasses
import json
import time
import uuid

import pytest

from informer import ListWatch
from tests.cluster.conftest import Namespace
from tests.support.waiting import DEADLINE, PROMPT
from watch import Channel

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

# Every kind of informer. They share one server, because its restart takes most of a test's time.
WAYS = [{"watch_list": watch_list, "queue": queue} for watch_list in (False, True) for queue in ("in_order", "delta")]


class Connection:
    """A list-watch that a test can disconnect from the server and connect again."""

    def __init__(self, inner):
        self.inner = inner
        self.watcher = None
        self.is_cut = False
        self.list_watch = ListWatch(self._list, self._watch)

    def disconnect(self):
        self.is_cut = True
        self.watcher.stop()

    def connect(self):
        self.is_cut = False

    def _list(self, options):
        self._check()
        return self.inner.list(options)

    def _watch(self, options):
        self._check()
        self.watcher = self.inner.watch(options)
        return self.watcher

    def _check(self):
        if self.is_cut:
            raise ConnectionRefusedError("disconnect")


def record(informer):
    """Adds a handler and returns the list of its calls: (what, name) and, for a delete, whether its final state is unknown."""
    received = []
    registration = informer.add_event_handler(
        on_add=lambda obj: received.append(("add", obj.name)),
        on_update=lambda old, new: received.append(("update", new.name)),
        on_delete=lambda obj, *, final_state_unknown: received.append(("delete", obj.name, final_state_unknown)),
    )
    assert registration.wait_for_sync(10)
    received.clear()
    return received


def test_cache_is_right_after_a_kill_of_the_server(unsteady, informers):
    """After a SIGKILL of kube-apiserver, changes made meanwhile are delivered and unchanged objects are not."""
    cluster = unsteady.cluster
    unsteady.create_pods("kept", "changed", "deleted")
    made = [informers.start(unsteady.list_watch(), **way) for way in WAYS]
    received = [record(informer) for informer in made]
    cluster.plane.kill()
    cluster.plane.restart()
    unsteady.label_pod("changed", color="green")
    unsteady.delete_pod("deleted")
    unsteady.create_pods("new")
    for informer, seen in zip(made, received, strict=True):
        informers.wait_until_equal(informer, cluster, unsteady.pods)
        informers.wait_until(lambda seen=seen: ("add", "new") in seen)
        assert ("update", "kept") not in seen
        assert ("add", "kept") not in seen
        assert ("update", "changed") in seen
        assert [event[:2] for event in seen].count(("delete", "deleted")) == 1
        assert informer.is_watching
        assert informer.sync_error() is None


def test_lost_history_leads_to_a_relist(unsteady, informers):
    """If its resourceVersion was compacted (410), an informer lists again, finds deletes, and delivers only differences."""
    cluster = unsteady.cluster
    unsteady.create_pods("kept", "changed", "deleted")
    connections = [Connection(unsteady.list_watch()) for _ in WAYS]
    made = [informers.start(connection.list_watch, **way) for connection, way in zip(connections, WAYS, strict=True)]
    # A watch that ends before its first event is followed by a list anyway; this event rules that out.
    version = unsteady.label_pod("kept", watched="yes")["metadata"]["resourceVersion"]
    assert all(informer.wait_for_resource_version(version, 10) for informer in made)
    received = [record(informer) for informer in made]
    before = [(r.lists, r.watch_lists) for r in map(informers.reflector, made)]
    for connection in connections:
        connection.disconnect()
    unsteady.label_pod("changed", color="green")
    unsteady.delete_pod("deleted")
    unsteady.create_pods("new")
    cluster.plane.compact()
    cluster.plane.restart()
    for connection in connections:
        connection.connect()
    for informer, seen, way, (lists, watch_lists) in zip(made, received, WAYS, before, strict=True):
        informers.wait_until_equal(informer, cluster, unsteady.pods)
        informers.wait_until(lambda seen=seen: len(seen) >= 3)
        assert sorted(seen) == [("add", "new"), ("delete", "deleted", True), ("update", "changed")]
        reflector = informers.reflector(informer)
        if way["watch_list"]:
            assert (reflector.lists, reflector.watch_lists) == (lists, watch_lists + 1)
        else:
            assert (reflector.lists, reflector.watch_lists) == (lists + 1, watch_lists)


def test_expired_page_token_restarts_the_list(unsteady, informers):
    """When the token of the second page has expired (410), the whole list is requested again, and no object is missing."""
    cluster = unsteady.cluster
    unsteady.create_pods(*(f"pod-{i}" for i in range(6)))
    cluster.plane.compact()
    inner = unsteady.list_watch()
    asked = []

    def list_pages(options):
        asked.append(options)
        if options.continue_:
            options = dataclasses.replace(options, continue_=of_version_one(options.continue_))
        elif options.limit:
            # A list at "0" comes from the watch cache, which ignores the limit; an unset version reads from etcd.
            options = dataclasses.replace(options, resource_version="")
        page = inner.list(options)
        if page.continue_:
            unsteady.create_pods("late")
        return page

    informer = informers.start(ListWatch(list_pages, inner.watch), watch_list=False, page_size=2)
    assert [bool(options.continue_) for options in asked] == [False, True, False]
    assert asked[2].limit == 0
    informers.wait_until_equal(informer, cluster, unsteady.pods)
    assert len(informer.store) == 7


def of_version_one(token):
    """Returns the token as if it came from a list at resourceVersion 1, which is compacted by now."""
    content = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    return base64.urlsafe_b64encode(json.dumps({**content, "rv": 1}).encode()).decode().rstrip("=")


def test_silent_watch_is_closed_and_resumed(unsteady, informers):
    """A frozen server is given up after `silence_timeout`; the watch resumes without a list."""
    unsteady.create_pods("a")
    informer = informers.start(unsteady.list_watch(), silence_timeout=1.0, watch_list=False)
    reflector = informers.reflector(informer)
    informers.wait_until(lambda: informer.is_watching)
    with unsteady.cluster.plane.frozen():
        informers.wait_until(lambda: not informer.is_watching)
    version = unsteady.create_pods("b")[0]["metadata"]["resourceVersion"]
    assert informer.wait_for_resource_version(version, 10)
    assert (reflector.lists, reflector.failures) == (1, 0)


@pytest.mark.parametrize("when", ["listing", "watching"])
def test_stop_does_not_wait_for_a_frozen_server(unsteady, informers, when):
    """`stop` returns at once, whether the list or the watch is waiting for an answer."""
    if when == "watching":
        informer = informers.start(unsteady.list_watch())
    with unsteady.cluster.plane.frozen():
        if when == "listing":
            informer = informers.start(unsteady.list_watch(), synced=False)
            assert not informer.wait_for_sync(0.2)
        begun = time.monotonic()
        assert informer.stop(DEADLINE)
        assert time.monotonic() - begun < PROMPT


def test_failures_are_reported_while_the_server_is_down(unsteady, informers):
    """`sync_error` and the watch error handler report the refused connection; the informer syncs after the restart."""
    cluster = unsteady.cluster
    cluster.plane.kill()
    failures = Channel(None)
    informer = informers.start(
        unsteady.list_watch(),
        synced=False,
        watch_error_handler=lambda informer, error: failures.put(error),
        watch_list=False,
    )
    error = failures.get(10)
    assert isinstance(error, ConnectionRefusedError)
    assert "failed to list pods" in str(error)
    assert isinstance(informer.sync_error(), ConnectionRefusedError)
    assert not informer.has_synced()
    cluster.plane.restart()
    assert informer.wait_for_sync(20)
    assert informer.sync_error() is None


def test_short_watches_are_resumed_without_a_list(namespace, make_namespace, informers):
    """The server ends each watch after three seconds; bookmarks advance an informer without events, so it never lists."""
    namespace.create_pods("a")
    made = [
        informers.start(namespace.list_watch(), watch_timeout=(3, 3), watch_list=watch_list)
        for watch_list in (False, True)
    ]
    first = [informer.last_sync_resource_version for informer in made]
    # No object changes in this namespace, so only a bookmark can bring the informers to this version.
    later = make_namespace().create_pods("elsewhere")[0]["metadata"]["resourceVersion"]
    for informer, before in zip(made, first, strict=True):
        assert informer.wait_for_resource_version(later, 10)
        assert int(informer.last_sync_resource_version) > int(before)
    for informer in made:
        reflector = informers.reflector(informer)
        informers.wait_until(lambda reflector=reflector: reflector.watches + reflector.watch_lists >= 2)
    version = namespace.label_pod("a", color="green")["metadata"]["resourceVersion"]
    for informer, lists in zip(made, [(1, 0), (0, 1)], strict=True):
        assert informer.wait_for_resource_version(version, 10)
        reflector = informers.reflector(informer)
        assert (reflector.lists, reflector.watch_lists) == lists
        assert (reflector.failures, reflector.short_watches) == (0, 0)


def test_a_dead_conversion_webhook_is_named(cluster, informers):
    """controller-runtime#1085. The watch list says only "too large resource version"; the list says what is wrong."""
    group = f"g{uuid.uuid4().hex[:8]}.example.com"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    versions = [{"name": name, "served": True, "storage": name == "v1", "schema": schema} for name in ("v1", "v2")]
    client_config = {"url": "https://127.0.0.1:9/convert"}
    spec = {
        "group": group,
        "scope": "Namespaced",
        "names": {"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "listKind": "GadgetList"},
        "versions": versions,
        "conversion": {
            "strategy": "Webhook",
            "webhook": {"clientConfig": client_config, "conversionReviewVersions": ["v1"]},
        },
    }
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    cluster.create(definitions, {"metadata": {"name": f"gadgets.{group}"}, "spec": spec})
    namespace = Namespace(cluster)
    path = namespace.path("gadgets", f"{group}/v1")
    body = {"apiVersion": f"{group}/v1", "kind": "Gadget", "metadata": {"name": "a"}}

    def created():
        try:
            cluster.create(path, body)
        except AssertionError:
            return False
        return True

    informers.wait_until(created)
    errors = []
    informer = informers.start(
        namespace.list_watch(f"{group}/v2/gadgets"),
        watch_list=True,
        synced=False,
        watch_error_handler=lambda informer, error: errors.append(str(error)),
    )
    informers.wait_until(lambda: any("conversion webhook" in error for error in errors))
    assert informer.wait_until(lambda: "conversion webhook" in str(informer.sync_error()), 25), errors
    informer.stop(10)
    cluster.delete(f"{definitions}/gadgets.{group}")
