"""What docs/from-a-watch-loop.md says about deletes, by its own functions."""

from __future__ import annotations

from typing import Any

import pytest

from informer import ListWatch, SharedInformer
from informer.testing import EmbeddedAPIServer
from tests.samples.test_docs import blocks
from tests.support.objects import pod
from tests.support.waiting import DEADLINE, eventually

PAGE = "docs/from-a-watch-loop.md"


def defined_by(block: str, server: EmbeddedAPIServer) -> dict[str, Any]:
    """Runs the page's code block that contains a text, with clients for a server; returns its names."""
    names: dict[str, Any] = {
        "api_client": server.api_client(),
        "ListWatch": ListWatch,
        "SharedInformer": SharedInformer,
    }
    (code,) = [each for each in blocks("python", PAGE) if block in each]
    exec(code, names)
    return names


def web(name: str, app: str = "web") -> dict[str, Any]:
    return pod(name, namespace="default", labels={"app": app})


def missed(server: EmbeddedAPIServer, *, deleted: str, relabelled: str, remade: str) -> None:
    """Changes three objects while no informer is connected, and makes the server forget the events."""
    server.faults.refuse_connections()
    server.faults.cut_connections()
    server.delete("pods", deleted, namespace="default")
    server.update(web(relabelled, "other"))
    server.delete("pods", remade, namespace="default")
    server.create(web(remade, "other"))
    server.compact()
    server.faults.accept_connections()


def test_a_pod_that_has_moved_away_is_told_from_a_deleted_one(embedded_apiserver: EmbeddedAPIServer) -> None:
    """After an outage the object of a delete has no deletionTimestamp, so the page's function asks the server."""
    server = embedded_apiserver
    has_moved_away = defined_by("def has_moved_away", server)["has_moved_away"]
    for name in ("gone", "moved", "remade"):
        server.create(web(name))
    left: dict[str, tuple[bool, Any, bool]] = {}

    def on_delete(obj: Any, *, final_state_unknown: bool) -> None:
        left[obj.name] = (
            final_state_unknown,
            obj.deletion_timestamp,
            has_moved_away(obj, final_state_unknown=final_state_unknown),
        )

    pods = SharedInformer(ListWatch.for_resource(server.api_client(), "pods", label_selector="app=web"))
    pods.add_event_handler(on_delete=on_delete)
    with pods:
        assert pods.wait_for_sync(DEADLINE)
        missed(server, deleted="gone", relabelled="moved", remade="remade")
        assert eventually(lambda: len(left) == 3)
    assert left == {"gone": (True, None, False), "moved": (True, None, True), "remade": (True, None, False)}


def test_a_filter_knows_without_a_request(
    embedded_apiserver: EmbeddedAPIServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """With `filter=` in place of a selector, the cache still holds what has left the selection."""
    server = embedded_apiserver
    for name in ("gone", "moved"):
        server.create(web(name))
    everything = defined_by("def on_leave", server)["everything"]
    said = []

    def read() -> bool:
        said.extend(capsys.readouterr().out.splitlines())
        return len(said) == 2

    with everything:
        assert everything.wait_for_sync(DEADLINE)
        server.update(web("moved", "other"))
        server.delete("pods", "gone", namespace="default")
        assert eventually(read)
    assert sorted(said) == ["gone was deleted", "moved has moved away"]
