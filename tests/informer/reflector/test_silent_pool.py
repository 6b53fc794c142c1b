"""After a watch went silent no idle connection is used again: it may be as dead as the watch's own."""

from __future__ import annotations

from typing import Any

from informer import Backoff, ListWatch, SharedInformer
from tests.support.waiting import eventually

LIST = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "5"}, "items": []}


def test_a_silent_watch_is_resumed_on_a_new_connection(serve: Any) -> None:
    """An idle connection from before the silence is closed, and does not hold up the next watch."""
    served: list[tuple[str, int]] = []

    def answer(request: Any, connection: Any) -> None:
        served.append((request.path + ("?watch" if "watch" in request.query else ""), connection.served))
        if "watch" in request.query:
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            connection.hang()
        else:
            connection.answer(LIST)

    server = serve(answer)
    api_client = server.client()
    list_watch = ListWatch.for_resource(api_client, "pods")
    transport = list_watch._request.target.transport()
    options: dict[str, Any] = {
        "watch_list": False,
        "backoff": Backoff(initial=0.01, maximum=0.02),
        "silence_timeout": 0.3,
    }
    with SharedInformer(list_watch, name="pods", **options) as informer:
        assert informer.wait_for_sync(10)
        assert eventually(lambda: len(served) == 2)
        # Beside the watch, another connection becomes idle.
        assert transport.send_json("GET", "/idle", timeout=5) == LIST
        assert eventually(lambda: len(served) >= 4)
    assert served[2] == ("/idle", 0)
    # The request after the silence is the first one of its connection.
    assert served[3][1] == 0
