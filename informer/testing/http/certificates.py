"""A certificate authority and a server certificate, made for one test run.

Needs the package `trustme`, which is imported when the first certificate is made: a server without TLS starts without it.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from trustme import LeafCert

__all__ = ["Certificates", "import_trustme", "make_certificates", "make_minimal_certificates"]

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


def make_minimal_certificates(
    hosts: Sequence[str] = _NAMES,
    *,
    key_usage: bool = False,
    key_identifiers: bool = False,
    critical: bool = False,
    expired: bool = False,
) -> Certificates:
    """Makes an authority and a server certificate with few extensions, as EKS, GKE and microk8s make them.

    kubectl accepts them. Python 3.13 refuses them unless `ssl.VERIFY_X509_STRICT` is taken off.

    Args:
        hosts: the names and addresses that the server's certificate is for.
        key_usage: whether the authority's certificate states its key usage.
        key_identifiers: whether both certificates have key identifiers.
        critical: whether the authority's basic constraints are critical.
        expired: whether the server's certificate expired an hour ago.

    Raises:
        ImportError: the `trustme` package is not installed.
    """
    trustme = import_trustme('tls="minimal"')
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = "minimal-ca"
    ca = _builder(ca_name, ca_name, ca_key, 24).add_extension(x509.BasicConstraints(True, None), critical=critical)
    if key_usage:
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        ca = ca.add_extension(usage, critical=True)
    leaf = _builder("kube-apiserver", ca_name, key, -1 if expired else 24)
    leaf = leaf.add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
    if key_identifiers:
        ca = ca.add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
        leaf = leaf.add_extension(issuer, critical=False)
    ca_pem, leaf_pem = (_signed(builder, ca_key) for builder in (ca, leaf))
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return Certificates(ca_pem, trustme.LeafCert(key_pem, leaf_pem, []))


def _builder(name: str, issuer: str, key: Any, hours: int) -> Any:
    """A certificate without extensions, valid until `hours` from now."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    subject, issued_by = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (name, issuer))
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issued_by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(hours=hours))
    )


def _signed(builder: Any, key: Any) -> bytes:
    from cryptography.hazmat.primitives import hashes, serialization

    pem: bytes = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return pem


def _general_name(host: str) -> Any:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


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
