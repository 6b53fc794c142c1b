"""An API server whose etcd is restored from a backup, and which gives out the same resourceVersions again."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from informer import Backoff, ListWatch, Object, SharedInformer
from informer.testing import EmbeddedAPIServer
from tests.embedded.fuzz.history import Copy
from tests.support.objects import config_map
from tests.support.waiting import DEADLINE, eventually


class Data(msgspec.Struct):
    """The part of a ConfigMap that a program may want."""

    data: dict[str, str]


def value_of(obj: Any) -> str:
    data = obj["data"] if isinstance(obj, (dict, Object)) else obj.data
    return str(data["value"])


@pytest.mark.parametrize("queue", ["in_order", "delta"])
@pytest.mark.parametrize("watch_list", [True, False], ids=["watch-list", "list"])
@pytest.mark.parametrize("model", [None, dict, Data], ids=["object", "dict", "struct"])
def test_content_of_a_reused_version_is_taken(queue: Any, watch_list: bool, model: Any) -> None:
    """After the restore the same uid and resourceVersion stand for another content. Each such object is one update."""
    with EmbeddedAPIServer() as server:
        server.create(config_map("changed", "old", namespace="default"))
        server.create(config_map("same", "same", namespace="default"))
        backup = Copy(server)
        server.update(config_map("changed", "lost", namespace="default"))
        server.create(config_map("lost", namespace="default"))
        source: Any = ListWatch.for_resource(server.api_client(), "configmaps", namespace="default", model=model)
        informer: SharedInformer[Any] = SharedInformer(
            source, queue=queue, watch_list=watch_list, backoff=Backoff(initial=0.05, maximum=0.1)
        )
        updates: list[tuple[str, str]] = []
        informer.add_event_handler(on_update=lambda old, new: updates.append((value_of(old), value_of(new))))
        with informer:
            assert informer.wait_for_sync(DEADLINE)
            lost = informer.by_key["default/changed"]
            assert value_of(lost) == "lost"
            server.faults.refuse_connections()
            server.faults.cut_connections()
            assert informer.wait_until(lambda: informer.sync_error() is not None, DEADLINE)
            backup.restore(server)
            again = server.update(config_map("changed", "again", namespace="default"))
            if isinstance(lost, Object):
                assert again["metadata"]["resourceVersion"] == lost.resource_version
            server.faults.accept_connections()
            assert informer.wait_until(lambda: value_of(informer.by_key["default/changed"]) == "again", DEADLINE)
            assert set(informer.by_key) == {"default/changed", "default/same"}
            server.create(config_map("later", namespace="default"))
            assert informer.wait_until(lambda: "default/later" in informer.by_key, DEADLINE)
            assert eventually(lambda: updates)
        assert updates == [("lost", "again")]
