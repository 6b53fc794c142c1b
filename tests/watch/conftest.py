"""Fixtures for tests of watchers: a server that sends exactly the bytes that the test gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3

from tests.support.http_servers import StreamServer


@pytest.fixture
def make_server(make_authority: Callable[[], Any]) -> Iterator[Callable[..., tuple[StreamServer, Any]]]:
    """Starts servers that send the test's bytes; returns each with a connection pool for it."""
    servers: list[StreamServer] = []
    pools: list[Any] = []

    def make(*, tls: bool = False, **options: Any) -> tuple[StreamServer, Any]:
        if tls:
            authority = make_authority()
            servers.append(StreamServer(authority.server_context("127.0.0.1")))
            options["ca_certs"] = authority.path
        else:
            servers.append(StreamServer(None))
        pool = urllib3.HTTPSConnectionPool if tls else urllib3.HTTPConnectionPool
        pools.append(pool("127.0.0.1", servers[-1].port, **options))
        return servers[-1], pools[-1]

    yield make
    for pool in pools:
        pool.close()
    for server in servers:
        server.close()


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def stream_server(request: pytest.FixtureRequest, make_server: Any) -> tuple[StreamServer, Any]:
    """A server and a pool for it, plain and over TLS."""
    made: tuple[StreamServer, Any] = make_server(tls=request.param)
    return made
