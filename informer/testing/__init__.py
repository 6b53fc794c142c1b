"""A test kit: API servers for tests, a list-watch in memory, and pytest fixtures.

Names are loaded when first used, as those of `informer` are.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from informer.testing.control_plane import ControlPlane as ControlPlane, ControlPlaneError as ControlPlaneError
    from informer.testing.fake_source import FakeControllerSource as FakeControllerSource

_MODULE_OF = {
    "ControlPlane": "informer.testing.control_plane",
    "ControlPlaneError": "informer.testing.control_plane",
    "FakeControllerSource": "informer.testing.fake_source",
}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'informer.testing' has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
