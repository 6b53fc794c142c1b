"""Fixtures that make queues of every kind and shut them down at the end of a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from informer.workqueue import DelayingQueue, PriorityQueue, RateLimitingQueue, WorkQueue

KINDS = [WorkQueue, DelayingQueue, RateLimitingQueue, PriorityQueue]


@pytest.fixture
def make() -> Iterator[Callable[..., Any]]:
    """A function that makes a queue of a class."""
    made: list[WorkQueue[Any]] = []

    def new(kind: type[WorkQueue[Any]], *args: Any, **options: Any) -> Any:
        made.append(kind(*args, **options))
        return made[-1]

    yield new
    for queue in made:
        queue.shut_down()


@pytest.fixture(params=KINDS, ids=[kind.__name__ for kind in KINDS])
def any_queue(request: pytest.FixtureRequest, make: Callable[..., Any]) -> WorkQueue[Any]:
    """A queue of each kind in turn."""
    return make(request.param)


@pytest.fixture(params=KINDS[1:], ids=[kind.__name__ for kind in KINDS[1:]])
def delaying_kind(request: pytest.FixtureRequest) -> type[DelayingQueue[Any]]:
    """Each class of queues that has `add_after`."""
    return request.param
