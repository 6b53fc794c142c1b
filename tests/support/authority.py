"""Certificates for tests, of servers and of clients."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from informer.testing.http.certificates import Certificates


@dataclass
class Authority:
    """A certificate authority for one test, whose files are in `folder`."""

    folder: Path

    def __post_init__(self) -> None:
        import trustme  # here, since most tests need no certificates

        self._authority = trustme.CA(organization_name="authority")
        self.path = str(self.folder / "authority.pem")
        self._authority.cert_pem.write_to_path(self.path)

    def issue(self, *hosts: str, name: str = "server", expired: bool = False) -> str:
        """Writes a new certificate and its key to one PEM file, and returns the file's path.

        Args:
            hosts: the host names and addresses that it is valid for.
            name: its common name, which kube-apiserver takes for a client's user name; also the file's name.
            expired: whether it expired an hour ago.
        """
        # A certificate without any host would have an empty critical extension, which kube-apiserver refuses.
        not_after = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=-1 if expired else 24)
        pair = self._authority.issue_cert(*(hosts or ("client.test",)), common_name=name, not_after=not_after)
        path = self.folder / f"{name}.pem"
        path.write_bytes(pair.cert_chain_pems[0].bytes() + pair.private_key_pem.bytes())
        return str(path)

    def server_context(self, *hosts: str, wants_client: bool = False, expired: bool = False) -> ssl.SSLContext:
        """Returns a TLS context for a server, which may demand a client certificate of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.issue(*hosts, expired=expired))
        if wants_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.path)
        return context


def certificates_of_a_cluster(
    hosts: Sequence[str] = ("127.0.0.1",),
    *,
    key_usage: bool = False,
    key_identifiers: bool = False,
    critical: bool = False,
    expired: bool = False,
) -> Certificates:
    """Makes an authority and a server certificate with some extensions, as EKS, GKE and microk8s make them.

    Args:
        hosts: the names and addresses that the server's certificate is for.
        key_usage: whether the authority's certificate states its key usage.
        key_identifiers: whether both certificates have key identifiers.
        critical: whether the authority's basic constraints are critical.
        expired: whether the server's certificate expired an hour ago.
    """
    import trustme
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
