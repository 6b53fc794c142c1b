"""Reconcile functions that run on threads or on an event loop, and a queue that retries at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from informer.workqueue import ItemExponentialFailureRateLimiter, PriorityQueue, RateLimitingQueue

KINDS = pytest.mark.parametrize("kind", [RateLimitingQueue, PriorityQueue], ids=lambda kind: kind.__name__)
MODES = pytest.mark.parametrize("mode", ["sync", "async"])


def as_async(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """An async function that calls a plain one."""

    async def reconcile(key: Any) -> Any:
        await asyncio.sleep(0)
        return function(key)

    return reconcile


def in_mode(mode: str, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The function itself, or an async function that calls it."""
    return function if mode == "sync" else as_async(function)


def quick(make: Callable[..., Any], kind: Any, **options: Any) -> Any:
    """A queue that retries after a millisecond."""
    return make(kind, ItemExponentialFailureRateLimiter(0.001, 0.001), **options)
