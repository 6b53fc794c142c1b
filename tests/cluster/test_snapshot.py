"""Warm starts on a real API server: changes of the meantime come by a watch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from informer import ListWatch, SharedInformer, Snapshot
from tests.cluster.conftest import Cluster, Namespace
from tests.support.waiting import DEADLINE, eventually

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("options", [{}, {"wire": "protobuf"}, {"metadata_only": True}])
def test_a_restart_continues_by_a_watch(
    cluster: Cluster, namespace: Namespace, tmp_path: Path, options: dict[str, Any]
) -> None:
    def run() -> tuple[dict[str, str], list[str], int]:
        source = ListWatch.for_resource(cluster.api_client, "pods", namespace=namespace.name, **options)
        informer = SharedInformer(source, snapshot=Snapshot(tmp_path / "pods", every=0))
        calls: list[str] = []
        handler = informer.add_event_handler(
            on_add=lambda obj: calls.append(f"add {obj.name}"),
            on_update=lambda old, new: calls.append(f"update {new.name}"),
            on_delete=lambda obj: calls.append(f"delete {obj.name}"),
        )
        informer.start()
        assert informer.wait_for_sync(DEADLINE)
        assert eventually(handler.has_synced)
        shown = {each.name: each.resource_version for each in informer.lister.list()}
        assert informer.controller is not None
        lists = informer.controller.reflectors[0].lists
        assert informer.stop(DEADLINE, drain=True)
        return shown, calls, lists

    namespace.create_pods("changed", "deleted", "same")
    assert run()[2] == 1
    namespace.label_pod("changed", new="label")
    namespace.delete_pod("deleted")
    shown, calls, lists = run()
    assert lists == 0
    assert shown.keys() == {"changed", "same"}
    assert sorted(calls[:3]) == ["add changed", "add deleted", "add same"]
    # The server may show that a pod ends before it is gone.
    assert calls[3] == "update changed"
    assert calls[-1] == "delete deleted"
