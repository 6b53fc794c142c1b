"""Resources that can be listed, but not watched: the cache is renewed every 30 to 60 seconds."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from informer import ApiError, ListWatch, Reflector, SharedInformer
from informer.cache.store import Store
from informer.listwatch.resources import forget
from informer.transport.transport import transport_for
from tests.support.waiting import DEADLINE, eventually
from watch import ListOptions

REFUSED = ApiError(405, "MethodNotAllowed", 'watch is not supported on resources of kind "metrics"')


def test_it_is_listed_again_every_30_to_60_seconds(script: Any, auto_clock: Any, caplog: Any, run: Any) -> None:
    """By the reflector's clock; the watch is tried after each list, in case the server learns it."""
    pages = [script.pods(str(n), f"p{n}") for n in range(1, 6)]
    source = script.source(lists=pages, watches=[REFUSED] * 4, hang=True)
    store = Store()
    reflector = Reflector(source, store, name="metrics", clock=auto_clock)
    stop = threading.Event()
    with caplog.at_level(logging.INFO):
        task = run(reflector.run, stop)
        assert source.over.wait(DEADLINE)
        stop.set()
        task.result()
    assert [obj["metadata"]["name"] for obj in store.list()] == ["p5"]
    waits = [wait for wait in auto_clock.waits if wait >= 5]
    assert len(waits) == 4
    assert all(30 <= wait <= 60 for wait in waits)
    assert reflector.sync_error() is None
    assert reflector.failures == 0
    lines = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert lines == [
        "metrics can be listed only, not watched "
        '(watch is not supported on resources of kind "metrics"): the cache is renewed every 30 to 60 s'
    ]


class ListOnlyServer:
    """A server with `example.com/v1` gauges, whose objects have no resourceVersion, as those of metrics.k8s.io."""

    def __init__(self, serve: Any, verbs: list[str]) -> None:
        self.value = 1
        self.verbs = verbs
        self.server = serve(self._handle)

    def _handle(self, request: Any, connection: Any) -> None:
        if request.path == "/apis":
            group = {"name": "example.com", "versions": [{"version": "v1"}], "preferredVersion": {"version": "v1"}}
            connection.answer({"kind": "APIGroupList", "groups": [group]})
        elif request.path == "/apis/example.com/v1":
            gauges = {"name": "gauges", "kind": "Gauge", "namespaced": True, "verbs": self.verbs}
            connection.answer({"kind": "APIResourceList", "resources": [gauges]})
        elif "watch" in request.query:
            connection.answer({"kind": "Status", "code": 405, "reason": "MethodNotAllowed", "message": "no"}, 405)
        else:
            gauge = {"metadata": {"name": "g", "namespace": "n"}, "value": self.value}
            connection.answer({"kind": "GaugeList", "apiVersion": "example.com/v1", "metadata": {}, "items": [gauge]})


@pytest.mark.parametrize("verbs", [["get", "list"], ["get", "list", "watch"]], ids=["said-by-discovery", "refused"])
def test_an_informer_of_such_a_resource_syncs(
    verbs: list[str], serve: Any, auto_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It renews its cache, also of objects without a resourceVersion, says so once, and reports no error."""
    served = ListOnlyServer(serve, verbs)
    client = served.server.client()
    informer: Any = SharedInformer(ListWatch.for_resource(client, "gauges.example.com"), clock=auto_clock)
    updates: list[Any] = []
    informer.add_event_handler(on_update=lambda old, new: updates.append(new["value"]))
    with caplog.at_level(logging.WARNING), informer:
        assert informer.wait_for_sync(DEADLINE)
        served.value = 2
        assert eventually(lambda: informer.store.get_by_key("n/g")["value"] == 2)
        assert eventually(lambda: 2 in updates)
        assert informer.sync_error() is None
    asked = [request for request in served.server.requests if "watch" in request.query]
    assert bool(asked) is ("watch" in verbs)
    assert sum("can be listed only, not watched" in r.getMessage() for r in caplog.records) == 1


def test_a_watch_of_it_is_refused_without_a_request(serve: Any) -> None:
    """Discovery has said so. After `forget` the server is asked again."""
    served = ListOnlyServer(serve, ["list"])
    client = served.server.client()
    source = ListWatch.for_resource(client, "gauges.example.com")
    assert len(source.list(ListOptions()).items) == 1
    before = len(served.server.requests)
    with pytest.raises(ApiError, match="the server offers no watch for it") as caught:
        source.watch(ListOptions())
    assert caught.value.status == 405
    assert len(served.server.requests) == before
    forget("gauges.example.com", transport_for(client))
    served.verbs = ["list", "watch"]
    with pytest.raises(ApiError, match="405 MethodNotAllowed: no"):
        ListWatch.for_resource(client, "gauges.example.com").watch(ListOptions())


def test_a_resource_that_cannot_be_listed_is_an_error(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It is not taken for one that can be listed only."""
    served = ListOnlyServer(serve, ["create"])
    informer: Any = SharedInformer(ListWatch.for_resource(served.server.client(), "gauges.example.com"))
    with caplog.at_level(logging.WARNING), informer:
        assert eventually(lambda: "cannot be listed, so it cannot be cached" in str(informer.sync_error()))
    assert "can be listed only" not in caplog.text
