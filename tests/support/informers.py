"""Fixtures for tests of running informers: pods, a handler that records its calls, informers that are stopped at the end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from informer import Backoff, ResourceEventHandler, SharedInformer
from tests.support.waiting import DEADLINE
from watch import Channel


class Call(NamedTuple):
    """A call of a handler; `what` is "add", "update" or "delete"."""

    what: str
    key: str
    version: str
    detail: Any
    """For an add whether it is initial, for an update the old version, for a delete whether its final state is unknown."""


class Recorder(ResourceEventHandler[Any]):
    """A handler that records its calls in order, until the test takes them."""

    def __init__(self) -> None:
        self.calls: Channel[Call] = Channel(None)

    def on_add(self, obj: Any, *, is_in_initial_list: bool) -> None:
        self.calls.put(Call("add", *_identity(obj), is_in_initial_list))

    def on_update(self, old: Any, new: Any) -> None:
        self.calls.put(Call("update", *_identity(new), _identity(old)[1]))

    def on_delete(self, obj: Any, *, final_state_unknown: bool) -> None:
        self.calls.put(Call("delete", *_identity(obj), final_state_unknown))

    def take(self, count: int) -> list[Call]:
        """Returns the next `count` calls in order, waiting for them."""
        return [self.calls.get(DEADLINE) for _ in range(count)]

    def take_until(self, key: str) -> list[Call]:
        """Returns the calls up to and including the first one for an object."""
        taken = self.take(1)
        while taken[-1].key != key:
            taken += self.take(1)
        return taken

    @property
    def is_idle(self) -> bool:
        """Whether the test has taken every call."""
        return len(self.calls) == 0


class Gate:
    """A handler that blocks in each call until the test sets `go`."""

    def __init__(self) -> None:
        self.entered: Channel[str] = Channel(None)
        self.go = threading.Event()
        self.left: Channel[str] = Channel(None)

    def on_add(self, obj: Any) -> None:
        name = obj["metadata"]["name"]
        self.entered.put(name)
        assert self.go.wait(DEADLINE)
        self.left.put(name)


def _identity(obj: Any) -> tuple[str, str]:
    metadata = obj["metadata"]
    namespace = metadata.get("namespace")
    key = f"{namespace}/{metadata['name']}" if namespace else metadata["name"]
    return key, metadata.get("resourceVersion", "")


@pytest.fixture
def recorder() -> Callable[[], Recorder]:
    """Returns a function that makes handlers which record their calls."""
    return Recorder


@pytest.fixture
def make_gate() -> Iterator[Callable[[], Gate]]:
    """Returns a function that makes blocking handlers; they are released when the test is over."""
    made: list[Gate] = []

    def make() -> Gate:
        made.append(Gate())
        return made[-1]

    yield make
    for gate in made:
        gate.go.set()


@pytest.fixture
def pod() -> Callable[..., dict[str, Any]]:
    """Returns a function that makes pods, by default in namespace "ns", with the given labels."""

    def make(name: str, namespace: str = "ns", **labels: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "namespace": namespace, "labels": labels}}

    return make


@pytest.fixture(params=["in_order", "delta"])
def queue(request: pytest.FixtureRequest) -> Any:
    """Each kind of queue."""
    return request.param


@pytest.fixture
def make_informer(make_gate: Any) -> Iterator[Callable[..., SharedInformer[Any]]]:
    """Returns a function that makes informers with short retry waits; they are stopped when the test is over."""
    made: list[SharedInformer[Any]] = []

    def make(source: Any, **options: Any) -> SharedInformer[Any]:
        options.setdefault("backoff", Backoff(initial=0.005, maximum=0.02))
        options.setdefault("watch_list", False)
        informer: SharedInformer[Any] = SharedInformer(source, **options)
        made.append(informer)
        return informer

    yield make
    for informer in made:
        informer.begin_stop()
