"""Warm starts on a real API server: changes of the meantime come by a watch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from informer import SharedInformer, Snapshot
from tests.cluster.conftest import Namespace
from tests.support.waiting import DEADLINE, eventually

pytestmark = pytest.mark.cluster


class Run(NamedTuple):
    """What an informer showed when it had synced, what its handler saw until then, and how many lists were requested."""

    shown: dict[str, str]
    calls: list[str]
    lists: int


def run(namespace: Namespace, path: Path, **options: Any) -> Run:
    """Runs an informer of pods until it has synced."""
    informer = SharedInformer(namespace.list_watch(**options), snapshot=Snapshot(path, every=0))
    calls: list[str] = []
    handler = informer.add_event_handler(
        on_add=lambda obj: calls.append(f"add {obj.name}"),
        on_update=lambda old, new: calls.append(f"update {new.name}"),
        on_delete=lambda obj: calls.append(f"delete {obj.name}"),
    )
    informer.start()
    assert informer.wait_for_sync(DEADLINE)
    shown = {each.name: each.resource_version for each in informer.lister.list()}
    assert eventually(handler.has_synced)
    assert informer.controller is not None
    lists = informer.controller.reflectors[0].lists
    assert informer.stop(DEADLINE, drain=True)
    return Run(shown, calls, lists)


@pytest.mark.parametrize("options", [{}, {"wire": "protobuf"}, {"metadata_only": True}])
def test_a_restart_continues_by_a_watch(namespace: Namespace, tmp_path: Path, options: dict[str, Any]) -> None:
    namespace.create_pods("changed", "deleted", "same")
    assert run(namespace, tmp_path / "pods", **options).lists == 1
    namespace.label_pod("changed", new="label")
    namespace.delete_pod("deleted")
    shown, calls, lists = run(namespace, tmp_path / "pods", **options)
    assert lists == 0
    assert shown.keys() == {"changed", "same"}
    assert sorted(calls[:3]) == ["add changed", "add deleted", "add same"]
    # The server may show that a pod ends before it is gone.
    assert calls[3] == "update changed"
    assert calls[-1] == "delete deleted"


def test_a_version_that_the_server_no_longer_watches_is_compared_with_a_list(
    unsteady: Namespace, tmp_path: Path
) -> None:
    """After a restart kube-apiserver watches from its start only. It says so by an ERROR event, not by its status."""
    unsteady.create_pods("changed", "deleted", "same")
    assert run(unsteady, tmp_path / "pods").lists == 1
    unsteady.label_pod("changed", new="label")
    unsteady.delete_pod("deleted")
    unsteady.cluster.plane.restart()
    shown, calls, lists = run(unsteady, tmp_path / "pods")
    assert lists == 1
    assert shown.keys() == {"changed", "same"}
    assert sorted(calls[:3]) == ["add changed", "add deleted", "add same"]
    assert calls[3:] == ["delete deleted", "update changed"]
