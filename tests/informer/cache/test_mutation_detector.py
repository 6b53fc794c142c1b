"""Changing a shared object in place is detected."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from kubernetes.client import V1ObjectMeta, V1Pod

from informer import DeletedFinalStateUnknown, MutationDetector, Object, SharedInformer
from informer.cache.mutation_detector import CacheMutatedError
from informer.testing.fake_source import FakeControllerSource
from tests.support.waiting import DEADLINE
from watch import Channel, FakeClock
from watch.concurrency import Worker

POD = {"metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}}, "items": [1, {"a": 2}]}


@pytest.fixture
def pod() -> dict[str, Any]:
    return {"metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}}, "items": [1, {"a": 2}]}


@pytest.mark.parametrize("hook", ["transform", "handler"])
@pytest.mark.timeout(60)
def test_a_change_of_an_informers_object_is_reported(hook: str) -> None:
    """Go: TestMutationDetector. A handler that changes its object is reported within one period."""
    failures: Channel[str] = Channel(None)
    clock = FakeClock()
    detector = MutationDetector("test", failure=failures.put, enabled=True, clock=clock)
    source = FakeControllerSource()
    source.add(POD)
    informer: SharedInformer[Any] = SharedInformer(
        source, transform=detector.transform if hook == "transform" else None
    )
    if hook == "handler":
        registration = informer.add_event_handler(detector)
    stop = threading.Event()
    worker = Worker(lambda: detector.run(stop), "detector").start()
    try:
        with informer:
            assert informer.wait_for_sync(DEADLINE)
            if hook == "handler":
                assert registration.wait_for_sync(DEADLINE)
            assert clock.wait_for_waiters(1, DEADLINE)
            clock.step(1)
            # The objects are in by now, and as they came.
            assert clock.wait_for_waiters(1, DEADLINE)
            assert len(failures) == 0
            informer.lister.get("web", "shop")["metadata"]["labels"]["change"] = "true"
            clock.step(1)
            assert failures.get(DEADLINE) == "cache test modified"
    finally:
        stop.set()
        assert worker.join(DEADLINE)


def test_without_a_failure_function_it_raises(pod: dict[str, Any]) -> None:
    """client-go source. Without a failure function the comparing thread gets CacheMutatedError."""
    detector = MutationDetector("pods", enabled=True)
    detector.add_object(pod)
    detector.compare_objects()
    pod["items"].append(3)
    with pytest.raises(CacheMutatedError, match=r"^cache pods modified$"):
        detector.compare_objects()
    with pytest.raises(CacheMutatedError):
        detector.run(threading.Event())


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda pod: pod["metadata"]["labels"].update(app="secret"), "at metadata.labels.app"),
        (lambda pod: pod["metadata"]["labels"].update(new="secret"), "at metadata.labels.new"),
        (lambda pod: pod["metadata"]["labels"].clear(), "at metadata.labels.app"),
        (lambda pod: pod["items"][1].update(a="secret"), "at items.1.a"),
        (lambda pod: pod["items"].append("secret"), "at items"),
        (lambda pod: pod.pop("items"), "at items"),
        (lambda pod: pod.update(metadata="secret"), "at metadata"),
    ],
    ids=["value", "new key", "key gone", "in a list", "longer list", "part gone", "other type"],
)
def test_the_log_says_where_it_was_changed(
    pod: dict[str, Any], change: Any, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the object and the path, but none of its values."""
    detector = MutationDetector("pods", failure=lambda message: None, enabled=True)
    detector.add_object(pod)
    change(pod)
    caplog.clear()
    detector.compare_objects()
    (line,) = caplog.messages
    assert line == f"cache pods: dict shop/web {where} was changed in place"


class Struct(msgspec.Struct):
    labels: dict[str, str]


@dataclasses.dataclass
class Data:
    labels: dict[str, str]


MODELS: dict[str, Any] = {
    "struct": lambda: Struct({"a": "1"}),
    "dataclass": lambda: Data({"a": "1"}),
    "dict": lambda: {"labels": {"a": "1"}},
    "official model": lambda: V1Pod(metadata=V1ObjectMeta(name="a", labels={"a": "1"})),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
def test_models_of_every_kind_are_compared(make: Any) -> None:
    """Structs, dataclasses, dicts and official models are copied deeply."""
    failures: list[str] = []
    detector = MutationDetector("x", failure=failures.append, enabled=True)
    obj = make()
    detector.add_object(obj)
    detector.compare_objects()
    assert failures == []
    labels = obj["labels"] if isinstance(obj, dict) else obj.metadata.labels if isinstance(obj, V1Pod) else obj.labels
    labels["a"] = "2"
    detector.compare_objects()
    detector.compare_objects()
    assert failures == ["cache x modified"] * 2


class Identity:
    """Equal to nothing but itself."""

    def __init__(self) -> None:
        self.labels = {"a": "1"}


def test_objects_that_cannot_be_changed_or_compared_are_ignored() -> None:
    """The detector ignores an `Object` and a tombstone, and an object that does not equal its own copy."""
    detector = MutationDetector("x", enabled=True)
    unlike = Identity()
    tombstone = DeletedFinalStateUnknown("a", {"labels": {}})
    for obj in (Object.from_dict(POD), tombstone, unlike, None):
        assert detector.transform(obj) is obj
    unlike.labels["a"] = "2"
    tombstone.obj["labels"]["a"] = "2"
    detector.compare_objects()


@pytest.mark.parametrize(
    ("value", "enabled"),
    [
        (None, False),
        ("", False),
        ("false", False),
        ("0", False),
        ("yes", False),
        ("true", True),
        ("1", True),
        ("T", True),
    ],
)
def test_it_is_off_unless_the_environment_switches_it_on(
    monkeypatch: pytest.MonkeyPatch, pod: dict[str, Any], value: str | None, enabled: bool
) -> None:
    """client-go source. KUBE_CACHE_MUTATION_DETECTOR switches it on; a detector that is off does nothing."""
    if value is None:
        monkeypatch.delenv("KUBE_CACHE_MUTATION_DETECTOR", raising=False)
    else:
        monkeypatch.setenv("KUBE_CACHE_MUTATION_DETECTOR", value)
    detector = MutationDetector("x")
    assert detector.enabled is enabled
    assert MutationDetector("x", enabled=not enabled).enabled is not enabled
    if not enabled:
        assert detector.transform(pod) is pod
        pod.clear()
        detector.compare_objects()
        detector.run(threading.Event())


def test_an_enabled_detector_warns_of_its_cost(caplog: pytest.LogCaptureFixture) -> None:
    """client-go source. It is not meant for production."""
    with caplog.at_level(logging.WARNING, "informer"):
        MutationDetector("pods", enabled=True)
        MutationDetector("nodes", enabled=False)
    assert caplog.messages == ["mutation detector 'pods' is enabled: it keeps a copy of every object"]


class ScriptedClock(FakeClock):
    """A clock whose waits take the time and run the action of a script; after its end it sets the stop event."""

    def __init__(self, *script: tuple[float, Callable[[], object]]) -> None:
        super().__init__()
        self._script = iter(script)
        self.waits: list[float | None] = []

    def wait(self, condition_or_event: Any, timeout: float | None) -> bool:
        self.waits.append(timeout)
        seconds, action = next(self._script, (0, condition_or_event.set))
        self.step(seconds)
        action()
        return condition_or_event.is_set()


@pytest.mark.parametrize(("seconds", "found"), [((1,), 1), ((1, 121), 1), ((1, 119, 119), 1), ((1, 121, 121), 0)])
def test_objects_are_released_after_a_while(seconds: tuple[float, ...], found: int) -> None:
    """client-go source. An object is watched for at least two and at most four minutes."""
    obj = {"a": 1}
    failures: list[str] = []
    script = [(second, lambda: None) for second in seconds[:-1]]
    clock = ScriptedClock(*script, (seconds[-1], lambda: obj.update(a=2)))
    detector = MutationDetector("x", failure=failures.append, enabled=True, clock=clock)
    detector.add_object(obj)
    detector.run(threading.Event())
    assert len(failures) == found
    assert clock.waits == [1.0] * (len(seconds) + 1)


def test_on_update_watches_the_new_state(pod: dict[str, Any]) -> None:
    """As a handler it watches the objects of adds and updates."""
    detector = MutationDetector("x", enabled=True)
    old, new = {"a": 1}, pod
    detector.on_update(old, new)
    old["a"] = 2
    detector.compare_objects()
    new["a"] = 2
    with pytest.raises(CacheMutatedError):
        detector.compare_objects()
