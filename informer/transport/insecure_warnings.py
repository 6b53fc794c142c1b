"""Warns of connections on which an attacker in the network can read credentials or answer in the server's place."""

from __future__ import annotations

import ipaddress
import urllib.parse

from informer.transport.answers import shown_address
from informer.transport.settings import ConnectionSettings
from watch.logs import get_logger

__all__ = ["InsecureWarnings"]

_log = get_logger(__name__)


class InsecureWarnings:
    """Logs one warning per address and kind of risk.

    Threads: any.
    """

    def __init__(self) -> None:
        self._warned: dict[tuple[str, str], object] = {}

    def check(self, settings: ConnectionSettings, *, has_credentials: bool) -> None:
        """Warns if other machines of the network could read or change a request.

        A request over http:// to this machine, such as to `kubectl proxy`, does not enter the network and is not warned of.

        Args:
            settings: the settings of the connection.
            has_credentials: whether the request has a token or password.
        """
        if settings.host.startswith("https"):
            if not settings.verify_ssl:
                self._warn_once(
                    settings,
                    "the certificate of %s is not verified (verify_ssl=False or insecure-skip-tls-verify): an attacker in the "
                    "network can pose as the server, read credentials and Secrets, and change answers. Set ssl_ca_cert, or the "
                    "kubeconfig's certificate-authority, to the cluster's authority",
                )
        elif has_credentials and not _is_this_machine(settings.host):
            self._warn_once(
                settings,
                "credentials are sent to %s without TLS: an attacker in the network can read and use them, and change answers. "
                "Write https:// in the server's address",
            )

    def _warn_once(self, settings: ConnectionSettings, message: str) -> None:
        mine = object()
        if self._warned.setdefault((settings.host, message), mine) is mine:
            _log.warning(message, shown_address(settings.host))


def _is_this_machine(address: str) -> bool:
    try:
        name = (urllib.parse.urlsplit(address).hostname or "").rstrip(".")
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
