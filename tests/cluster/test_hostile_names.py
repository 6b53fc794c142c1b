"""Names that a real kube-apiserver accepts from a tenant, and namespaces that it must never be asked for."""

from __future__ import annotations

import io
import logging
import urllib.parse

import pytest

from informer import ListWatch
from informer.workqueue import WorkQueue, enqueue_key, enqueue_owner
from tests.cluster.conftest import RBAC
from tests.support.waiting import DEADLINE, eventually
from watch import Channel, ListOptions

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

NAMES = [
    "x\n2026-11-28 ERROR root logged in",
    "x\x1b[2J\x1b]0;title\x07",
    "x\x9b2J",
    "x\u202ebidi\u2066",
    "x\u2028line",
    "x\u200bzero\ufeff",
    "system:x[b]",
]


def test_hostile_names_of_roles_are_logged_on_one_line(namespace, informers):
    """The server accepts them; the cache and the keys have them as they are, and each log line is one printable line."""
    path = namespace.path("roles", f"{RBAC}/v1")
    for name in NAMES:
        namespace.cluster.create(path, {"metadata": {"name": name}, "rules": []})
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("informer")
    logger.addHandler(handler)
    calls = Channel(None)

    def fail(role):
        calls.put(role.name)
        raise ValueError(f"cannot handle {role.name}")

    queue = WorkQueue()
    try:
        list_watch = ListWatch.for_resource(
            namespace.cluster.api_client, "roles.rbac.authorization.k8s.io", namespace=namespace.name
        )
        informer = informers.start(list_watch)
        informer.add_event_handler(on_add=fail)
        informer.add_event_handler(enqueue_key(queue))
        assert sorted(calls.get(DEADLINE) for _ in NAMES) == sorted(NAMES)
        assert {queue.get() for _ in NAMES} == {f"{namespace.name}/{name}" for name in NAMES}
        namespace.cluster.delete(f"{path}/{urllib.parse.quote(NAMES[0], safe='')}")
        assert eventually(lambda: len(informer.store) == len(NAMES) - 1)
        informers.stop()
    finally:
        logger.removeHandler(handler)
    lines = written.getvalue().split("\n")
    assert any("cannot handle x" in line for line in lines)
    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith("2026") for line in lines)
    assert sum(map(len, lines)) < 50_000


@pytest.mark.parametrize(
    "hostile", ["{}/../kube-system", "../../../../api/v1/namespaces/kube-system/secrets?x=", "{}%2f..%2fkube-system"]
)
def test_a_hostile_namespace_shows_nothing_of_another(namespace, hostile):
    """A hostile namespace is refused before a request is sent; a valid one works."""
    api_client = namespace.cluster.api_client
    with pytest.raises(ValueError, match="must be a DNS label"):
        ListWatch.for_resource(api_client, "pods", namespace=hostile.format(namespace.name)).list(ListOptions())
    assert ListWatch.for_resource(api_client, "pods", namespace=namespace.name).list(ListOptions()).items == []


def test_an_owner_reference_to_another_namespace_enqueues_nothing(namespace, informers):
    """The server accepts a reference with any name, uid and group; the handler drops those that cannot be meant."""
    api_client = namespace.cluster.api_client
    real = namespace.cluster.create(namespace.configmaps, {"metadata": {"name": "real"}})
    owners = informers.start(ListWatch.for_resource(api_client, "configmaps", namespace=namespace.name))
    assert eventually(lambda: owners.store.get_by_key(f"{namespace.name}/real") is not None)
    queue, checked = WorkQueue(), WorkQueue()
    informer = informers.start(ListWatch.for_resource(api_client, "pods", namespace=namespace.name))
    informer.add_event_handler(enqueue_owner(queue, ("v1", "ConfigMap")))
    informer.add_event_handler(enqueue_owner(checked, ("v1", "ConfigMap"), owners=owners.store))
    references = [
        ("v1", "kube-system/victim", "u"),
        ("evil.io/v1", "real", "u"),
        ("v1", "real", "made-up"),
        ("v1", "real", real["metadata"]["uid"]),
    ]
    for number, (version, name, uid) in enumerate(references):
        owner = {"apiVersion": version, "kind": "ConfigMap", "name": name, "uid": uid, "controller": True}
        made = {"metadata": {"name": f"pod-{number}", "ownerReferences": [owner]}}
        namespace.cluster.create(
            namespace.pods, made | {"spec": {"containers": [{"name": "a", "image": "nginx[/foo]"}]}}
        )
    assert checked.get() == f"{namespace.name}/real"
    assert queue.get() == f"{namespace.name}/real"
    assert eventually(lambda: len(informer.store) == len(references))
    assert len(queue) <= 1
    assert len(checked) == 0
