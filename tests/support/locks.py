"""A check for all tests: a method whose name ends in `_locked` is called only with its object's lock held."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

# Where classes with such methods are, and the attribute in which each keeps that lock.
_LOCKS = {
    "informer.cache.mutation_cache": "_lock",
    "informer.cache.records": "_lock",
    "informer.handlers.backlog": "_lock",
    "informer.queues.delta_fifo": "_lock",
    "informer.queues.fifo": "_lock",
    "informer.queues.in_order_fifo": "_lock",
    "informer.record.correlator": "_lock",
    "informer.record.sink_recording": "_monitor",
    "informer.shared.factory": "_lock",
    "informer.testing.fake_source": "_monitor",
    "informer.workqueue.delaying": "_lock",
    "informer.workqueue.metrics": "_lock",
    "informer.workqueue.priority": "_lock",
    "informer.workqueue.queue": "_lock",
    "informer.workqueue.rate_limiting": "_lock",
    "watch.broadcaster": "_monitor",
    "watch.channel": "_monitor",
    "watch.filter": "_reading",
}

violations: list[str] = []
"""The calls without the lock, in this process, since the list was last emptied."""


def check_locked_methods() -> int:
    """Wraps every such method, once per process; returns how many there are.

    A call without the lock is noted in `violations`, since an exception might end up in a log only. A plain lock does not know
    its owner: that another thread holds it is not noticed.
    """
    wrapped = 0
    for name, attribute in _LOCKS.items():
        module = import_module(name)
        for kind in vars(module).values():
            if inspect.isclass(kind) and kind.__module__ == name:
                for method, function in list(vars(kind).items()):
                    if method.endswith("_locked") and inspect.isfunction(function):
                        setattr(kind, method, _checked(function, attribute))
                        wrapped += 1
    return wrapped


def _checked(function: Callable[..., Any], attribute: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(self: Any, *args: Any, **options: Any) -> Any:
        lock = getattr(self, attribute, None)
        if lock is None or not _is_held(lock):
            violations.append(f"{function.__qualname__} was called without {attribute}")
        return function(self, *args, **options)

    return call


def _is_held(lock: Any) -> bool:
    """Whether the lock is held: by this thread, where the lock knows its owner."""
    is_owned = getattr(lock, "_is_owned", None)
    return is_owned() if is_owned is not None else lock.locked()
