"""A certificate authority and a server certificate, made for one test run.

Needs the package `trustme`, which is imported when the first certificate is made: a server without TLS starts without it.
"""

from __future__ import annotations

import ssl
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from trustme import LeafCert

__all__ = ["Certificates", "import_trustme", "make_certificates"]

_NAMES = ("127.0.0.1", "::1", "localhost", "kubernetes", "kubernetes.default.svc")


class Certificates(NamedTuple):
    """A server certificate, and the authority that signed it."""

    authority: bytes
    """The authority's certificate as PEM, for clients to trust."""
    server: LeafCert
    """The server's certificate and private key."""

    def server_context(self) -> ssl.SSLContext:
        """Returns a new TLS context for a server that presents the certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        self.server.configure_cert(context)
        return context


def make_certificates() -> Certificates:
    """Makes an authority and a server certificate for the loopback addresses and a few host names.

    Raises:
        ImportError: the `trustme` package is not installed.
    """
    authority = import_trustme("tls=True").CA(organization_name="embedded-apiserver-ca")
    server = authority.issue_cert(*_NAMES, common_name="kube-apiserver")
    return Certificates(authority.cert_pem.bytes(), server)


def import_trustme(needed_by: str) -> ModuleType:
    """Returns the module `trustme`.

    Args:
        needed_by: what the caller cannot do without it, for the error.

    Raises:
        ImportError: it is not installed; the message says how to install it.
    """
    try:
        import trustme
    except ImportError as error:
        raise ImportError(f"{needed_by} needs the package trustme: pip install 'kube-informer[testing]'") from error
    return trustme
