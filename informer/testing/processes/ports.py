"""Free TCP ports on the loopback address."""

from __future__ import annotations

import contextlib
import errno
import secrets
import socket
from pathlib import Path

__all__ = ["free_ports"]

_LOOPBACK = "127.0.0.1"
_TRIES = 200


def free_ports(count: int) -> list[int]:
    """Returns `count` different ports on which no process listens; another process may still take one first.

    The ports lie outside of the range that the system uses for outgoing connections. Otherwise a client that connects
    while the server is down could be given the server's own port, and keep the server from restarting.

    Raises:
        OSError: no free port was found.
    """
    with contextlib.ExitStack() as held:
        return [_hold_one(held) for _ in range(count)]


def _hold_one(held: contextlib.ExitStack) -> int:
    lowest, highest = _range()
    for _ in range(_TRIES):
        sock = held.enter_context(socket.socket())
        try:
            sock.bind((_LOOPBACK, lowest + secrets.randbelow(highest - lowest)))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
        else:
            return int(sock.getsockname()[1])
    raise OSError(errno.EADDRINUSE, f"no free port between {lowest} and {highest}")


def _range() -> tuple[int, int]:
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first = 32768
    return (first - 10_000, first) if first >= 12_000 else (20_000, 32_000)
