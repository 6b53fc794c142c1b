"""A test kit for code that uses informers or the Kubernetes API.

- `EmbeddedAPIServer`: an API server in the test's process, over real HTTP, with faults on demand.
- `ControlPlane`: a real etcd and kube-apiserver, as child processes.
- `FakeControllerSource`: a list-watch in memory, without HTTP.
- Pytest fixtures `embedded_apiserver` and `control_plane`, in `informer.testing.pytest_plugin`.

Each of these is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from informer.testing.api_server import EmbeddedAPIServer as EmbeddedAPIServer
    from informer.testing.control_plane import ControlPlane as ControlPlane, ControlPlaneError as ControlPlaneError
    from informer.testing.fake_source import FakeControllerSource as FakeControllerSource

__all__ = ["ControlPlane", "ControlPlaneError", "EmbeddedAPIServer", "FakeControllerSource"]

_MODULES = {
    "ControlPlane": "control_plane",
    "ControlPlaneError": "control_plane",
    "EmbeddedAPIServer": "api_server",
    "FakeControllerSource": "fake_source",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import_module("informer.watch_check")
    return getattr(import_module(f"{__name__}.{module}"), name)
