"""Checks of what users pass to a shared informer."""

from __future__ import annotations

from typing import Any

__all__ = ["check_lister_watcher", "check_period"]


def check_lister_watcher(lister_watcher: Any) -> None:
    """Raises a TypeError unless the argument is an object with methods `list` and `watch`."""
    methods = [getattr(lister_watcher, name, None) for name in ("list", "watch")]
    if isinstance(lister_watcher, type) or not all(callable(method) for method in methods):
        raise TypeError(
            f"a {type(lister_watcher).__name__} does not list and watch: pass ListWatch.for_resource(api_client, 'pods') "
            "or ListWatch.from_api(list_method)"
        )


def check_period(resync_period: float) -> None:
    """Raises a ValueError if a resync period is negative."""
    if resync_period < 0:
        raise ValueError(f"resync_period must be 0 or more seconds, not {resync_period}")
