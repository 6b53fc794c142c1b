"""TLS contexts that accept the certificates that kubectl accepts.

Python 3.13 refuses certificates that lack key identifiers or key usage (`VERIFY_X509_STRICT`). EKS, GKE and microk8s make such
certificates, and Go accepts them. Chain, validity and host name are verified as ever.

Source: Go crypto/x509 Certificate.Verify.
"""

from __future__ import annotations

import ssl

from urllib3.util.ssl_ import create_urllib3_context

from informer.transport.settings import ConnectionSettings

__all__ = ["make_proxy_tls_context", "make_tls_context"]


def make_tls_context(settings: ConnectionSettings) -> ssl.SSLContext:
    """Returns a new context for connections to the API server, with the certificate files read.

    Raises:
        OSError: a certificate file cannot be read or used; an `ssl.SSLError` is one.
    """
    context = _context(settings)
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file or None, password=_no_password)
    return context


def make_proxy_tls_context(settings: ConnectionSettings) -> ssl.SSLContext:
    """Returns a new context for connections to an https:// proxy: as for the API server, without a client certificate."""
    return _context(settings)


def _context(settings: ConnectionSettings) -> ssl.SSLContext:
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED if settings.verify_ssl else ssl.CERT_NONE)
    # An authority may be an intermediate one: Go ends a chain at any certificate that is trusted, as Python does from 3.13 on.
    context.verify_flags = (context.verify_flags & ~ssl.VERIFY_X509_STRICT) | ssl.VERIFY_X509_PARTIAL_CHAIN
    if settings.ssl_ca_cert or settings.ca_cert_data:
        _trust(context, settings)
    else:
        context.load_default_certs()
    return context


def _trust(context: ssl.SSLContext, settings: ConnectionSettings) -> None:
    problem = ""
    try:
        context.load_verify_locations(settings.ssl_ca_cert or None, None, settings.ca_cert_data or None)
    except ValueError as error:  # not PEM text
        problem = str(error)
    if problem:
        raise ConnectionError(f"the certificate authority's data cannot be used: {problem}")


def _no_password() -> str:
    """Keeps OpenSSL from asking for a password on the terminal."""
    raise ConnectionError("the client key is encrypted: decrypt it, for example by: openssl pkey")
