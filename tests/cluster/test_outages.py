"""A kube-apiserver that crashes, forgets, stands still or ends watches: the cache ends up equal to the list."""

from __future__ import annotations

import base64
import dataclasses
import json
import time

import pytest

from informer import ListWatch
from watch import Channel

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

# Every way to be an informer; the dear part of these tests is the server's restart, so one server serves them all.
WAYS = [{"watch_list": watch_list, "queue": queue} for watch_list in (False, True) for queue in ("in_order", "delta")]


class Cable:
    """A list-watch that a test can cut off from the server and plug in again."""

    def __init__(self, inner):
        self.inner = inner
        self.watcher = None
        self.is_cut = False
        self.list_watch = ListWatch(self._list, self._watch)

    def cut(self):
        self.is_cut = True
        self.watcher.stop()

    def mend(self):
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
            raise ConnectionRefusedError("cut")


def record(informer):
    """What a handler is told, as (what, name)."""
    told = []
    registration = informer.add_event_handler(
        on_add=lambda obj: told.append(("add", obj.name)),
        on_update=lambda old, new: told.append(("update", new.name)),
        on_delete=lambda obj, *, final_state_unknown: told.append(("delete", obj.name, final_state_unknown)),
    )
    assert registration.wait_for_sync(10)
    told.clear()
    return told


def test_cache_is_right_after_the_server_was_killed_and_started_again(unsteady, informers):
    """SIGKILL of kube-apiserver in the middle of things: what changed meanwhile is seen, what did not is not told again."""
    cluster = unsteady.cluster
    unsteady.create_pods("kept", "changed", "deleted")
    made = [informers.start(unsteady.list_watch(), **way) for way in WAYS]
    told = [record(informer) for informer in made]
    cluster.plane.kill()
    cluster.plane.restart()
    unsteady.label_pod("changed", color="green")
    unsteady.delete_pod("deleted")
    unsteady.create_pods("new")
    for informer, seen in zip(made, told, strict=True):
        informers.wait_until_equal(informer, cluster, unsteady.pods)
        informers.wait_until(lambda seen=seen: ("add", "new") in seen)
        assert ("update", "kept") not in seen
        assert ("add", "kept") not in seen
        assert ("update", "changed") in seen
        assert [event[:2] for event in seen].count(("delete", "deleted")) == 1
        assert informer.is_watching
        assert informer.sync_error() is None


def test_history_lost_while_the_watch_was_away_leads_to_a_relist(unsteady, informers):
    """With its resourceVersion compacted (410) an informer lists again, finds deletes, and tells only of differences."""
    cluster = unsteady.cluster
    unsteady.create_pods("kept", "changed", "deleted")
    cables = [Cable(unsteady.list_watch()) for _ in WAYS]
    made = [informers.start(cable.list_watch, **way) for cable, way in zip(cables, WAYS, strict=True)]
    # A watch that ends before it has brought anything leads to a list by itself.
    version = unsteady.label_pod("kept", watched="yes")["metadata"]["resourceVersion"]
    assert all(informer.wait_for_resource_version(version, 10) for informer in made)
    told = [record(informer) for informer in made]
    before = [(r.lists, r.watch_lists) for r in map(informers.reflector, made)]
    for cable in cables:
        cable.cut()
    unsteady.label_pod("changed", color="green")
    unsteady.delete_pod("deleted")
    unsteady.create_pods("new")
    cluster.plane.compact()
    cluster.plane.restart()
    for cable in cables:
        cable.mend()
    for informer, seen, way, (lists, watch_lists) in zip(made, told, WAYS, before, strict=True):
        informers.wait_until_equal(informer, cluster, unsteady.pods)
        informers.wait_until(lambda seen=seen: len(seen) >= 3)
        assert sorted(seen) == [("add", "new"), ("delete", "deleted", True), ("update", "changed")]
        reflector = informers.reflector(informer)
        if way["watch_list"]:
            assert (reflector.lists, reflector.watch_lists) == (lists, watch_lists + 1)
        else:
            assert (reflector.lists, reflector.watch_lists) == (lists + 1, watch_lists)


def test_pages_lost_to_a_compaction_are_listed_anew(unsteady, informers):
    """When the token of the second page has expired (410), the whole list is asked for again and nothing is missing."""
    cluster = unsteady.cluster
    unsteady.create_pods(*(f"pod-{i}" for i in range(6)))
    cluster.plane.compact()
    inner = unsteady.list_watch()
    asked = []

    def list_pages(options):
        asked.append(options)
        if options.continue_:
            options = dataclasses.replace(options, continue_=of_the_first_moment(options.continue_))
        elif options.limit:
            # From etcd, and not from the cache, which would ignore the limit.
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


def of_the_first_moment(token):
    """The token of a page of a list as it would be at a resourceVersion that is compacted by now."""
    content = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    return base64.urlsafe_b64encode(json.dumps({**content, "rv": 1}).encode()).decode().rstrip("=")


def test_silent_server_is_left_and_the_watch_resumed(unsteady, informers):
    """A server that stands still is given up after `silence_timeout`; the watch goes on from where it was, without a list."""
    unsteady.create_pods("a")
    informer = informers.start(unsteady.list_watch(), silence_timeout=1.0, watch_list=False)
    reflector = informers.reflector(informer)
    informers.wait_until(lambda: informer.is_watching)
    watches = reflector.watches
    with unsteady.cluster.plane.frozen():
        informers.wait_until(lambda: reflector.watches > watches)
    version = unsteady.create_pods("b")[0]["metadata"]["resourceVersion"]
    assert informer.wait_for_resource_version(version, 10)
    assert (reflector.lists, reflector.failures) == (1, 0)


@pytest.mark.parametrize("when", ["listing", "watching"])
def test_stop_does_not_wait_for_a_server_that_stands_still(unsteady, informers, when):
    """`stop` ends an informer within a second, whether its list or its watch has no answer."""
    if when == "watching":
        informer = informers.start(unsteady.list_watch())
    with unsteady.cluster.plane.frozen():
        if when == "listing":
            informer = informers.start(unsteady.list_watch(), synced=False)
            assert not informer.wait_for_sync(0.2)
        begun = time.monotonic()
        assert informer.stop(5)
        assert time.monotonic() - begun < 1


def test_failures_are_told_while_the_server_is_down(unsteady, informers):
    """With nobody listening `sync_error` says so, the handler of watch errors hears of it, and the sync comes by itself."""
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
    """The server ends each watch after three seconds; bookmarks carry a quiet informer on, and it never lists again."""
    namespace.create_pods("a")
    made = [
        informers.start(namespace.list_watch(), watch_timeout=(3, 3), watch_list=watch_list)
        for watch_list in (False, True)
    ]
    first = [informer.last_sync_resource_version for informer in made]
    # Nothing happens in this namespace, so that only a bookmark can bring an informer here.
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
