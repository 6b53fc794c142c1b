"""A server that decides every byte of its answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.http_servers import HTTPServer


@pytest.fixture
def serve() -> Iterator[Callable[..., HTTPServer]]:
    """Starts HTTP servers, whose connections are closed after the test."""
    servers: list[HTTPServer] = []

    def start(handler: Callable[[Any, Any], None], **options: Any) -> HTTPServer:
        servers.append(HTTPServer(handler, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
