"""The adapter between a reflector and the queue or store that it fills."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from informer import DeletedFinalStateUnknown, Delta, DeltaType, InOrderFIFO, Store
from informer.objects.entry import Undecodable
from informer.rate_limited_log import rate_limited
from informer.reflector.target import ReflectorTarget


class Plain:
    """A target with the required methods only; records its calls."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def replace(self, items: Any, resource_version: str) -> None:
        self.calls.append(("replace", len(items), resource_version))

    def add(self, obj: Any) -> None:
        self.calls.append(("add", name_of(obj)))

    def update(self, obj: Any) -> None:
        self.calls.append(("update", name_of(obj)))

    def delete(self, obj: Any) -> None:
        self.calls.append(("delete", name_of(obj)))


def name_of(obj: Any) -> str:
    return obj.key if isinstance(obj, DeletedFinalStateUnknown) else obj["metadata"]["name"]  # type: ignore[no-any-return]


def delta(kind: str, name: str, version: str) -> Delta:
    return Delta(DeltaType(kind), {"metadata": {"name": name, "resourceVersion": version}})


def bookmark(version: str) -> Delta:
    return Delta(DeltaType.BOOKMARK, version)


def adapter(target: Any, **options: Any) -> ReflectorTarget:
    return ReflectorTarget(target, "pods", rate_limited(logging.getLogger("informer.test")), **options)


def bad(name: str) -> Undecodable:
    return Undecodable(name, "ns", "", "5", b"secret", ValueError("secret"))


def test_a_target_needs_four_methods_only() -> None:
    """A target without `apply` gets one call per delta; one without `bookmark` gets no bookmarks."""
    target = Plain()
    made = adapter(target)
    made.replace([1], "1")
    made.store([delta("Added", "b", "2"), delta("Updated", "b", "3"), bookmark("4"), delta("Deleted", "b", "5")])
    assert target.calls == [("replace", 1, "1"), ("add", "b"), ("update", "b"), ("delete", "b")]
    assert made.resync is None


def test_bookmarks_go_to_a_target_that_takes_them() -> None:
    """`bookmark` is called with the resourceVersion, in its place among the deltas."""

    class Bookmarked(Plain):
        def bookmark(self, resource_version: str) -> None:
            self.calls.append(("bookmark", resource_version))

    target = Bookmarked()
    adapter(target).store([delta("Added", "a", "2"), bookmark("3")])
    assert target.calls == [("add", "a"), ("bookmark", "3")]


def test_a_batch_is_applied_in_one_call() -> None:
    """A target with `apply` gets the batch as it is."""

    class Applying(Plain):
        def apply(self, deltas: Any) -> None:
            self.calls.append(len(deltas))

    target = Applying()
    adapter(target).store([delta("Added", "a", "2"), delta("Added", "b", "3")])
    assert target.calls == [2]


def test_every_version_is_passed_on() -> None:
    """Go: TestReflectorResourceVersionUpdate. `update_resource_version` gets each version, those of bookmarks too."""

    class Versioned(Store[Any]):
        versions: list[str] = []

        def update_resource_version(self, resource_version: str) -> None:
            self.versions.append(resource_version)

    target = Versioned()
    adapter(target).store([delta("Added", "a", "10"), delta("Updated", "a", "20"), bookmark("30"), bookmark("")])
    assert target.versions == ["10", "20", "30"]


def test_a_refused_object_does_not_affect_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """An object without a key is logged; the rest of its batch is stored."""
    store: Store[Any] = Store()
    keyless = Delta(DeltaType.ADDED, {"metadata": {"resourceVersion": "3"}})
    made = adapter(store)
    made.store([delta("Added", "a", "2"), keyless, delta("Added", "b", "4")])
    made.store([keyless])
    assert store.list_keys() == ["a", "b"]
    assert caplog.text.count("pods: the store refused an object: ") == 2


def test_a_list_is_stored_without_its_objects_that_have_no_key(caplog: pytest.LogCaptureFixture) -> None:
    """They are logged, if the target can tell which they are."""
    queue = InOrderFIFO(transform=lambda obj: obj["metadata"]["name"] and obj)
    adapter(queue).replace([{"metadata": {"name": "a"}}, {"metadata": {}}], "5")
    popped: list[Delta] = queue.pop(lambda deltas, initial: deltas)
    assert [name_of(item) for item in popped[0].object.items] == ["a"]
    assert "pods: an object was left out of a list: " in caplog.text


def test_a_refused_list_is_an_error() -> None:
    """If the objects are not the reason, the reflector gets the exception, and the list does not count as stored."""

    class Full(Plain):
        def replace(self, items: Any, resource_version: str) -> None:
            raise ValueError("full")

    made = adapter(Full())
    with pytest.raises(ValueError, match="full"):
        made.replace([{"metadata": {"name": "a"}}], "5")
    assert not made.has_listed
    assert made.applied_resource_version == ""


def test_the_namespace_of_a_list_is_passed_on() -> None:
    """It is passed on only if there is one: the `replace` of a store does not take it."""
    queue = InOrderFIFO()
    adapter(queue, namespace="ns").replace([], "5")
    popped: list[Delta] = queue.pop(lambda deltas, initial: deltas)
    assert popped[0].object.namespace == "ns"


def test_versions_count_once_they_are_processed() -> None:
    """Each change is processed, then its version is set, and then `on_processed` is called."""
    steps: list[Any] = []
    works = True

    def process() -> bool:
        steps.append(("process", made.applied_resource_version, made.has_listed))
        return works

    made = adapter(
        Plain(),
        process=process,
        on_processed=lambda: steps.append(("processed", made.applied_resource_version, made.has_listed)),
    )
    made.replace([], "1")
    made.store([delta("Added", "a", "2"), bookmark("3")])
    works = False
    made.store([bookmark("4")])
    assert steps == [
        ("process", "", False),
        ("processed", "1", True),
        ("process", "1", True),
        ("processed", "3", True),
        ("process", "3", True),
    ]


def test_a_resync_is_processed_too() -> None:
    """The resync of a queue only queues; the thread that resyncs also processes."""
    steps: list[str] = []

    class Resyncing(Plain):
        def resync(self) -> None:
            steps.append("resync")

    made = adapter(
        Resyncing(),
        process=lambda: steps.append("process") is None,
        on_processed=lambda: steps.append("processed"),
    )
    assert made.resync is not None
    made.resync()
    assert steps == ["resync", "process", "processed"]


def test_undecodable_objects_are_reported_and_left_out() -> None:
    """They are counted, and given to `on_undecodable`; a list without any is returned as it is."""
    reported: list[Undecodable] = []
    made = adapter(Plain(), on_undecodable=reported.append)
    good, first, second = {"metadata": {"name": "a"}}, bad("b"), bad("c")
    assert made.decodable([first, good, second]) == [good]
    assert reported == [first, second]
    assert made.undecodable == 2
    page = [good]
    assert made.decodable(page) is page


def test_undecodable_objects_are_logged_without_their_data(caplog: pytest.LogCaptureFixture) -> None:
    """So is the exception of an `on_undecodable` that raises."""

    def fail(item: Any) -> None:
        raise RuntimeError("mine")

    adapter(Plain()).report(bad("a"))
    assert "pods left out " in caplog.text
    adapter(Plain(), on_undecodable=fail).report(bad("a"))
    assert "pods: on_undecodable failed" in caplog.text
    assert "secret" not in caplog.text
