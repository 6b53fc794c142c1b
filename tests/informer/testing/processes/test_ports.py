"""Free ports for servers beside the tests."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from informer.testing.processes.kube_programs import free_ports


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
def test_ports_are_free_different_and_outside_the_client_range():
    """Every port can be bound, and lies outside of the range that the system uses for outgoing connections."""
    ports = free_ports(20)
    assert len(set(ports)) == 20
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not [port for port in ports if first <= port <= last]
    for port in ports:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", port))
