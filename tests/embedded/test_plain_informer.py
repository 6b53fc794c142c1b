"""`new_informer` over HTTP."""

from __future__ import annotations

import msgspec

from informer import ListWatch, new_informer
from informer.testing import EmbeddedAPIServer
from tests.support.objects import pod
from tests.support.waiting import DEADLINE
from watch import Channel
from watch.concurrency import Signal, Worker


class Spec(msgspec.Struct):
    nodeName: str = ""


class Pod(msgspec.Struct):
    """The one field of a pod that the test reads; it has no metadata."""

    spec: Spec


def test_handler_store_and_index_get_a_model_without_metadata(embedded_apiserver: EmbeddedAPIServer) -> None:
    """The handler, the store's readers and the index functions get objects of the model."""
    received: Channel[tuple[Pod, ...]] = Channel(None)

    class Handler:
        def on_add(self, obj: Pod) -> None:
            received.put((obj,))

        def on_update(self, old: Pod, new: Pod) -> None:
            received.put((old, new))

    embedded_apiserver.create(pod("a", node="n1"))
    source = ListWatch.for_resource(embedded_apiserver.api_client(), "pods", model=Pod)
    store, controller = new_informer(source, Handler(), indexers={"node": lambda found: [found.spec.nodeName]})
    stop = Signal()
    worker = Worker(lambda: controller.run(stop), "controller").start()
    try:
        first, second = Pod(Spec("n1")), Pod(Spec("n2"))
        assert received.get(timeout=DEADLINE) == (first,)
        assert store.list() == store.by_index("node", "n1") == [first]
        embedded_apiserver.update(pod("a", node="n2"))
        assert received.get(timeout=DEADLINE) == (first, second)
        assert store.get_by_key("default/a") == second
        assert store.by_index("node", "n1") == []
    finally:
        stop.set()
        assert worker.join(DEADLINE)
