"""Proxies: which one a connection takes, which servers bypass it, and what went wrong with it."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass

import urllib3

from informer.transport.settings import ConnectionSettings
from watch.printable import printable

__all__ = ["Proxy", "explain_proxy_error", "proxy_for"]

_VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL")
_TUNNEL_FAILED = "Tunnel connection failed: "
_DEFAULT_PORTS = {"http": "80", "https": "443"}


# No repr: the address can contain a password.
@dataclass(frozen=True, slots=True, repr=False)
class Proxy:
    """The proxy of a connection.

    Attributes:
        url: its address, with a scheme, and with user name and password if it has them.
        variable: the environment variable that sets it; "" if a kubeconfig or the configuration does.
    """

    url: str
    variable: str

    @property
    def scheme(self) -> str:
        """Such as "http" or "socks5"."""
        return self.url.partition("://")[0].lower()

    def __str__(self) -> str:
        """The proxy for messages, without a user name and password."""
        scheme, mark, rest = self.url.partition("://")
        address = scheme + mark + rest.rpartition("@")[2].partition("/")[0]
        return f"the proxy {address} (from {self.variable or _ELSEWHERE})"

    @property
    def remedy(self) -> str:
        """What a user changes when the proxy is the wrong one."""
        if not self.variable:
            return f"correct {_ELSEWHERE}"
        return f"correct {self.variable}, or name the server in NO_PROXY"


_ELSEWHERE = "the kubeconfig's proxy-url or the configuration's proxy"


def proxy_for(settings: ConnectionSettings) -> Proxy | None:
    """Returns the proxy that connections with these settings take; None if they go straight to the server."""
    proxy = (settings.proxy or "").strip()
    if not proxy or _bypasses_proxy(settings.host, settings.no_proxy):
        return None
    # Source: Go golang.org/x/net/http/httpproxy, for an address without a scheme.
    return Proxy(proxy if "://" in proxy else f"http://{proxy}", _variable_of(proxy, settings.host))


def _variable_of(proxy: str, host: str) -> str:
    names = _VARIABLES if host.startswith("https") else (*_VARIABLES[2:4], *_VARIABLES[4:], *_VARIABLES[:2])
    return next((name for name in names if os.environ.get(name, "").strip() == proxy), "")


def _bypasses_proxy(host: str, no_proxy: str | None) -> bool:
    """Whether a server matches `no_proxy`, a comma-separated list.

    An entry is "*", an address, a network ("10.0.0.0/8"), a name (which includes its subdomains), or ".name" or "*.name".
    An address or a name may have a port.

    Source: Go golang.org/x/net/http/httpproxy.
    """
    if not no_proxy:
        return False
    parts = urllib.parse.urlsplit(host if "://" in host else f"//{host}")
    name = (parts.hostname or "").lower()
    _, _, port = _split_port(parts.netloc.rpartition("@")[2])
    port = port or _DEFAULT_PORTS.get(parts.scheme or "http", "")
    return any(_matches(entry.strip(), name, port) for entry in no_proxy.lower().split(","))


def _matches(entry: str, name: str, port: str) -> bool:
    if entry == "*":
        return True
    address = _address(name)
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    wanted, colon, wanted_port = _split_port(entry)
    if not wanted or (colon and wanted_port != port):
        return False
    wanted_address = _address(wanted)
    if wanted_address is not None:
        return wanted_address == address
    if wanted.startswith("*."):
        wanted = wanted[1:]
    # The rule of Go leaves out the domain itself for ".name"; the official client and curl include it.
    bare = wanted.lstrip(".") if not entry.startswith("*.") else ""
    return bool(name) and (name == bare or name.endswith(wanted if wanted.startswith(".") else f".{wanted}"))


def _split_port(text: str) -> tuple[str, str, str]:
    """Splits "name:port", "[address]:port" or either without a port; an IPv6 address needs no brackets if it has no port."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest[:1], rest[1:]
    return text.partition(":") if text.count(":") == 1 else (text, "", "")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def explain_proxy_error(error: BaseException, proxy: Proxy) -> str:
    """Returns what went wrong with a proxy, and the remedy, as one sentence; "" if the proxy is not to blame.

    Args:
        error: the exception that connecting raised.
        proxy: the proxy that the connection takes.
    """
    chain = [*_chain(error)]
    root = chain[-1]
    text = " ".join(str(root).split())
    if text.startswith(_TUNNEL_FAILED):
        answer = printable(text.removeprefix(_TUNNEL_FAILED).encode())
        needed = (
            "it requires a user name and password" if answer.startswith("407") else "check that it allows this server"
        )
        return f"{proxy} did not open a connection to the server ({answer}): {needed}, or {proxy.remedy}"
    if not any(isinstance(each, urllib3.exceptions.ProxyError) for each in chain):
        return ""
    return f"{proxy} {_failure(root, text)}: {proxy.remedy}"


def _failure(root: BaseException, text: str) -> str:
    if isinstance(root, ConnectionRefusedError):
        return "refused the connection"
    if isinstance(root, socket.gaierror):
        return f"has a name that cannot be resolved ({root.strerror or text})"
    if isinstance(root, (TimeoutError, urllib3.exceptions.TimeoutError)):
        return "did not accept a connection in time"
    if isinstance(root, ssl.SSLCertVerificationError):
        return f"has a certificate that was not accepted ({root.verify_message})"
    if isinstance(root, ssl.SSLError) and root.reason in _NOT_TLS:
        return f"does not speak TLS, so its address should probably begin with http:// (TLS: {root.reason})"
    return f"cannot be used ({text.rpartition('>: ')[2] or type(root).__name__})"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An urllib3 error and the errors nested in it, outermost first."""
    for _ in range(10):
        yield error
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((each for each in error.args if isinstance(each, BaseException)), None)
        if inner is None:
            return
        error = inner
