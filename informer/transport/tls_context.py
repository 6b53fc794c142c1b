"""TLS contexts made from the contents of certificates and keys, so that files may disappear once they were read.

The contexts accept the certificates that kubectl accepts. Python 3.13 refuses certificates that lack key identifiers or key
usage (`VERIFY_X509_STRICT`). EKS, GKE and microk8s make such certificates, and Go accepts them. Chain, validity and host name
are verified as ever.

Source: Go crypto/x509 Certificate.Verify.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import Any, NamedTuple

from urllib3.util.ssl_ import create_urllib3_context

from informer.files import path_of_content, read_file, stamp_of
from informer.transport.settings import ConnectionSettings

__all__ = ["CertificateFiles", "Certificates", "make_context"]


class Certificates(NamedTuple):
    """The contents that a TLS context is made from, compared by value. The repr shows none of them.

    Attributes:
        authority: PEM to trust, besides the configuration's `ca_cert_data`; empty if there is none.
        certificate: a client certificate as PEM; empty for none.
        key: its private key as PEM; empty if `certificate` contains it.
    """

    authority: bytes = b""
    certificate: bytes = b""
    key: bytes = b""

    def __repr__(self) -> str:
        return "<Certificates>"


class CertificateFiles:
    """Reads the certificate files that a configuration names, again when a file has changed.

    While a file is missing or empty, its last content counts: programs that clean /tmp delete the files that the official
    client writes there, and a rotating file may be about to be written.

    Threads: one at a time.
    """

    def __init__(self) -> None:
        self._read: dict[str, tuple[Any, bytes]] = {}  # by path: the file's stamp and content

    def read(self, settings: ConnectionSettings) -> Certificates:
        """Returns the contents as they are now.

        Raises:
            OSError: a file cannot be read, and never could.
        """
        if not settings.host.startswith("https"):
            return Certificates()
        authority = self._content(settings.ssl_ca_cert)
        if settings.client_cert_data:
            return Certificates(authority, settings.client_cert_data, settings.client_key_data or b"")
        return Certificates(authority, self._content(settings.cert_file), self._content(settings.key_file))

    def _content(self, path: str | None) -> bytes:
        if not path:
            return b""
        known = self._read.get(path)
        try:
            stamp = stamp_of(path)
            if known is None or known[0] != stamp:
                content = read_file(path)
                if known is None or content:
                    known = self._read[path] = (stamp, content)
        except OSError:
            if known is None:
                raise
        return known[1]


def make_context(settings: ConnectionSettings, certificates: Certificates) -> ssl.SSLContext:
    """Makes the TLS context of a configuration's connections.

    Args:
        settings: says whether certificates are verified.
        certificates: what to trust and to show. Without an authority, the machine's are trusted.

    Raises:
        ssl.SSLError: the certificates or the key cannot be used.
    """
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED if settings.verify_ssl else ssl.CERT_NONE)
    # An authority may be an intermediate one: Go ends a chain at any certificate that is trusted, as Python does from 3.13 on.
    context.verify_flags = (context.verify_flags & ~ssl.VERIFY_X509_STRICT) | ssl.VERIFY_X509_PARTIAL_CHAIN
    if certificates.authority:
        # Comments in a bundle may be in any encoding; the certificates are ASCII.
        context.load_verify_locations(cadata=certificates.authority.decode("ascii", "ignore"))
    if settings.ca_cert_data is not None:
        context.load_verify_locations(cadata=settings.ca_cert_data)
    elif not certificates.authority:
        context.load_default_certs()
    if certificates.certificate:
        _load_client_certificate(context, certificates)
    return context


def _load_client_certificate(context: ssl.SSLContext, certificates: Certificates) -> None:
    key = certificates.key or certificates.certificate
    if b"-----BEGIN ENCRYPTED" in key or b"Proc-Type: 4,ENCRYPTED" in key:
        # OpenSSL would ask for the password on the terminal.
        raise ssl.SSLError("the client key is encrypted with a password: use one that is not")
    # OpenSSL reads keys only from files.
    with contextlib.ExitStack() as paths:
        certificate = paths.enter_context(path_of_content(certificates.certificate))
        context.load_cert_chain(
            certificate, paths.enter_context(path_of_content(certificates.key)) if certificates.key else None
        )
