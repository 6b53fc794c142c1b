"""A certificate authority and a server certificate, made for one test run.

Needs the package `trustme`, which is imported when the first certificate is made: a server without TLS starts without it.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from trustme import LeafCert

__all__ = ["Certificates", "import_trustme", "make_certificates", "make_minimal_certificates"]

_ADDRESSES = ("127.0.0.1", "::1")
_HOSTS = ("localhost", "kubernetes", "kubernetes.default.svc")


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
    server = authority.issue_cert(*_ADDRESSES, *_HOSTS, common_name="kube-apiserver")
    return Certificates(authority.cert_pem.bytes(), server)


def make_minimal_certificates() -> Certificates:
    """Makes an authority and a server certificate with few extensions, as microk8s makes them.

    They have neither key identifiers nor key usage, as at EKS and GKE, and constraints that are not critical. kubectl
    accepts them. Python 3.13 refuses them unless `ssl.VERIFY_X509_STRICT` is taken off.

    Raises:
        ImportError: the `trustme` package is not installed.
    """
    trustme = import_trustme('tls="minimal"')
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    # The authority and the server have the same key.
    key = ec.generate_private_key(ec.SECP256R1())
    day, now = datetime.timedelta(days=1), datetime.datetime.now(datetime.UTC)

    def certificate(name: str, extension: x509.ExtensionType) -> bytes:
        subject, issuer = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (name, "minimal-ca"))
        builder = (
            x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + day)
            .add_extension(extension, critical=False)
        )
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    addresses = [x509.IPAddress(ipaddress.ip_address(each)) for each in _ADDRESSES]
    names = x509.SubjectAlternativeName([*addresses, *map(x509.DNSName, _HOSTS)])
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    server = trustme.LeafCert(key_pem, certificate("kube-apiserver", names), [])
    return Certificates(certificate("minimal-ca", x509.BasicConstraints(True, None)), server)


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
