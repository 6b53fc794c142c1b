"""The settings in an official client's `Configuration` that decide where a connection goes and how it is secured."""

from __future__ import annotations

import contextlib
import hashlib
import urllib.request
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from informer.files import read_file

__all__ = ["ConnectionSettings", "server_address"]


# No repr: addresses and proxy headers can contain passwords.
@dataclass(frozen=True, slots=True, repr=False)
class ConnectionSettings:
    """A snapshot of a `Configuration`, compared by value: connections are opened anew when it changes.

    The names are the official client's, except `client_cert_data` and `client_key_data`: a client certificate and its key as
    PEM, which `load_client` sets and which replace the two files. An attribute that is not there gets the default given here.
    """

    host: str
    verify_ssl: bool = True
    ssl_ca_cert: str | None = None
    ca_cert_data: str | bytes | None = None
    cert_file: str | None = None
    key_file: str | None = None
    client_cert_data: bytes | None = None
    client_key_data: bytes | None = None
    assert_hostname: Any = None
    tls_server_name: str | None = None
    proxy: str | None = None
    no_proxy: str | None = None
    proxy_headers: Any = None
    proxy_ssl_context: Any = None
    socket_options: Any = None

    @classmethod
    def of(cls, configuration: Any) -> Self:
        """Reads the settings of an official client's `Configuration` as they are now.

        A proxy that the configuration or its kubeconfig names is taken for every server, as kubectl does: NO_PROXY applies to
        the proxies of the environment.
        """
        values = {name: getattr(configuration, name) for name in _NAMES if hasattr(configuration, name)}
        if values.get("proxy") and values.get("no_proxy"):
            environment = urllib.request.getproxies()
            # Versions of the official client that do not keep where the proxy comes from are judged by its value.
            from_environment = getattr(configuration, "_proxy_from_env", values["proxy"] in environment.values())
            # The official client puts NO_PROXY there in either case.
            if not from_environment and values["no_proxy"] == environment.get("no"):
                values["no_proxy"] = None
        return cls(**{**values, "host": server_address(configuration)})

    def authority(self) -> str:
        """Returns a digest of the certificate authority; "" if there is none or it cannot be read.

        Unlike the address, it differs between clusters that were created at one address after another.
        """
        found: str | bytes = self.ca_cert_data or b""
        if not found and self.ssl_ca_cert:
            with contextlib.suppress(OSError):
                found = read_file(self.ssl_ca_cert)
        content = found.encode() if isinstance(found, str) else found
        return hashlib.sha256(content).hexdigest()[:32] if content else ""

    def without_files(self) -> Self:
        """Returns the same settings without the paths of certificate files."""
        return replace(self, ssl_ca_cert=None, cert_file=None, key_file=None)

    def files(self) -> list[tuple[str, str]]:
        """The certificate files that are set, each with its name in a kubeconfig."""
        named = [("certificate-authority", self.ssl_ca_cert)]
        if not self.client_cert_data:
            named += [("client-certificate", self.cert_file), ("client-key", self.key_file)]
        return [(name, path) for name, path in named if path]


_NAMES = tuple(field.name for field in fields(ConnectionSettings))


def server_address(configuration: Any) -> str:
    """Returns the address of a configuration's server, without a slash at its end.

    An address without a scheme gets one as in kubectl: https:// if certificates or their verification are configured.

    Source: client-go rest DefaultServerURL and defaultServerUrlFor.
    """
    host = str(configuration.host).rstrip("/")
    if not host or "://" in host or host == "None":
        return host
    wanted = [getattr(configuration, name, None) for name in ("ssl_ca_cert", "ca_cert_data", "cert_file")]
    uses_tls = any(wanted) or not getattr(configuration, "verify_ssl", True)
    return f"{'https' if uses_tls else 'http'}://{host}"
