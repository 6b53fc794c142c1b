"""A view of an official `ApiClient` whose writes are checked just before they are sent."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NoReturn

from informer.transport.answers import shown_address

__all__ = ["GatedClient", "WriteGate", "gated_client"]

_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class WriteGate:
    """Checks each request before it is sent, and lets reads (GET, HEAD, OPTIONS) pass.

    Args:
        checks: each is called with a text such as "PUT https://host/path" for a write, and raises to refuse it.

    Threads: any.
    """

    def __init__(self, *checks: Callable[[str], object]) -> None:
        self.checks = checks

    def check(self, method: str, url: str) -> None:
        """Raises what a check raises, if the request is a write and the check refuses it."""
        if method.upper() in _READS:
            return
        request = f"{method.upper()} {shown_address(url)}"
        for check in self.checks:
            check(request)


class GatedClient:
    """A view of an official `ApiClient` with a gate. `gated_client` makes one, of a class that is also the client's own.

    The methods of `ApiClient` run on the view. Its attributes are those of the client at that moment: configuration, default
    headers, cookie. Requests go through the client's own connections. Only the thread pool for `async_req` is the view's own.

    Args:
        ungated: the client.
        write_gate: checks each request.

    Attributes:
        ungated: the client.
        write_gate: the gate.

    Threads: as of the client.
    """

    def __init__(self, ungated: Any, write_gate: WriteGate) -> None:
        self.ungated = ungated
        self.write_gate = write_gate

    def __getattr__(self, name: str) -> Any:
        # For the attributes that the client's `__init__` has set. `vars` does not recurse into this method.
        try:
            ungated = vars(self)["ungated"]
        except KeyError:
            raise AttributeError(name) from None
        return getattr(ungated, name)

    @property
    def rest_client(self) -> _GatedRest:
        """Sends requests. Every version of the official client calls it for each request, once the credentials are there."""
        return _GatedRest(self.ungated.rest_client, self.write_gate)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a gated ApiClient cannot be copied or pickled: call gate() where it is needed")


class _GatedRest:
    """The `RESTClientObject` of a view. Each version of the official client calls `request`, or one method per HTTP method."""

    def __init__(self, rest: Any, gate: WriteGate) -> None:
        self._rest = rest
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        # GET, HEAD, OPTIONS and `pool_manager`.
        return getattr(self._rest, name)

    # kubernetes_asyncio: they return a coroutine, and its caller awaits it at once.

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        self._gate.check(method, url)
        return self._rest.request(method, url, *args, **options)

    def POST(self, url: str, *args: Any, **options: Any) -> Any:  # noqa: N802 - the official client's name
        self._gate.check("POST", url)
        return self._rest.POST(url, *args, **options)

    def PUT(self, url: str, *args: Any, **options: Any) -> Any:  # noqa: N802
        self._gate.check("PUT", url)
        return self._rest.PUT(url, *args, **options)

    def PATCH(self, url: str, *args: Any, **options: Any) -> Any:  # noqa: N802
        self._gate.check("PATCH", url)
        return self._rest.PATCH(url, *args, **options)

    def DELETE(self, url: str, *args: Any, **options: Any) -> Any:  # noqa: N802
        self._gate.check("DELETE", url)
        return self._rest.DELETE(url, *args, **options)

    def close(self) -> Any:
        """Does nothing: the connections are the client's, which may be in use elsewhere."""
        return _nothing() if inspect.iscoroutinefunction(self._rest.close) else None


async def _nothing() -> None:
    pass


def gated_client(api_client: Any, check: Callable[[str], object]) -> Any:
    """Returns a view of an official `ApiClient` whose writes are checked. A view of a view has the checks of both.

    Args:
        api_client: a client of `kubernetes` or `kubernetes_asyncio`.
        check: called with a text such as "PUT https://host/path" just before each write is sent; raises to refuse it.

    Raises:
        TypeError: it is not such a client.
    """
    checks: tuple[Callable[[str], object], ...] = ()
    if isinstance(api_client, GatedClient):
        checks = api_client.write_gate.checks
        api_client = api_client.ungated
    try:
        api_client.rest_client.request, api_client.configuration, api_client.default_headers  # noqa: B018
    except AttributeError:
        raise TypeError(
            f"gate needs an ApiClient of the official client, not {type(api_client).__name__}: pass load_client() to connect "
            "as kubectl does"
        ) from None
    # `__class__`, so that a mock with a spec counts as its spec.
    return _view_class(api_client.__class__)(api_client, WriteGate(*checks, check))


@functools.cache
def _view_class(client_class: type) -> type:
    """The class of views of a client's class, so that `isinstance(view, ApiClient)` is true."""
    return type(f"Gated{client_class.__name__}", (GatedClient, client_class), {"__doc__": GatedClient.__doc__})
