"""A MutationCache whose reads are interrupted between any two of its steps: a write is never hidden.

Earlier tests did not find a hidden write, because each read ran to its end before the next event arrived, and because the
state machine of tests/embedded/fuzz had no MutationCache. Here the backing store runs other operations before and after each
of its reads, as another thread can: an event arrives in the cache, the handler reports it, a second reader reads.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from informer import Indexer, MutationCache
from informer.objects.keys import meta_namespace_key
from tests.support.objects import stored_pod

NAMES = ("a", "b")
KEYS = tuple(f"ns/{name}" for name in NAMES)


class InterruptedIndexer:
    """An indexer that runs an operation before and after each read."""

    def __init__(self, inner: Indexer[Any], interrupt: Callable[[], object]) -> None:
        self._inner = inner
        self._interrupt = interrupt
        self.indexers = inner.indexers

    def _read(self, function: Callable[..., Any], *args: str) -> Any:
        self._interrupt()
        found = function(*args)
        self._interrupt()
        return found

    def get_by_key(self, key: str) -> Any:
        return self._read(self._inner.get_by_key, key)

    def by_index(self, name: str, value: str) -> Any:
        return self._read(self._inner.by_index, name, value)


class World:
    """A server with objects that are never deleted, an informer's cache of it, and a MutationCache over that."""

    def __init__(self, random: Random, *, include_adds: bool, depth: int = 2) -> None:
        self._random = random
        self._depth = depth
        self._version = 0
        self.cached: Indexer[Any] = Indexer(indexers={"all": lambda obj: ["all"]})
        interrupted: Any = InterruptedIndexer(self.cached, self._interrupt)
        self.view: MutationCache[Any] = MutationCache(interrupted, interrupted, include_adds=include_adds)
        self._include_adds = include_adds
        self._events: list[dict[str, Any]] = []  # written, and not yet in the cache
        self._reports: list[dict[str, Any]] = []  # in the cache, and not yet reported to the handler
        self._written: dict[str, int] = {}  # by key: the newest version that the view was told or the cache had

    def step(self) -> None:
        """Does one thing that another thread may do at any moment."""
        self._random.choice(
            (self.write, self.write_by_another, self.receive, self.report, self.read, self.read_index)
        )()

    def write(self) -> None:
        """Writes an object and passes the result to the view."""
        obj = self._put()
        self.view.mutation(obj)
        if self._include_adds or self.cached.get_by_key(meta_namespace_key(obj)) is not None:
            self._note(obj)

    def write_by_another(self) -> None:
        self._put()

    def receive(self) -> None:
        """The next event arrives in the cache."""
        if self._events:
            obj = self._events.pop(0)
            self.cached.update(obj)
            self._note(obj)
            self._reports.append(obj)

    def report(self) -> None:
        """The handler gets the next event."""
        if self._reports:
            self.view.on_add_or_update(self._reports.pop(0))

    def read(self) -> None:
        key = self._random.choice(KEYS)
        least = self._written.get(key, 0)
        self._check(key, least, self.view.get_by_key(key))

    def read_index(self) -> None:
        least = dict(self._written)
        found = self.view.by_index("all", "all")
        by_key = {meta_namespace_key(obj): obj for obj in found}
        assert len(by_key) == len(found), found
        for key in KEYS:
            self._check(key, least.get(key, 0), by_key.get(key))

    def _check(self, key: str, least: int, found: Any) -> None:
        """A read returns what was known when it began, or something newer."""
        if least:
            assert found is not None, f"{key} is hidden, though version {least} was known"
            assert int(found["metadata"]["resourceVersion"]) >= least

    def _put(self) -> dict[str, Any]:
        self._version += 1
        obj = stored_pod(self._random.choice(NAMES), self._version)
        self._events.append(obj)
        return obj

    def _note(self, obj: dict[str, Any]) -> None:
        key = meta_namespace_key(obj)
        self._written[key] = max(self._written.get(key, 0), int(obj["metadata"]["resourceVersion"]))

    def _interrupt(self) -> None:
        if self._depth:
            self._depth -= 1
            for _ in range(self._random.choice((0, 0, 1, 2))):
                self.step()
            self._depth += 1


@pytest.mark.parametrize("include_adds", [False, True], ids=["without adds", "with adds"])
@pytest.mark.parametrize("seed", range(20))
def test_no_order_of_events_hides_a_write(seed: int, include_adds: bool) -> None:
    """Whatever happens within a read, it returns no less than what was known when it began."""
    world = World(Random(seed), include_adds=include_adds)
    for _ in range(300):
        world.step()
