"""Certificates for tests, of servers and of clients."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Authority:
    """A certificate authority of the test's own."""

    folder: Path

    def __post_init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec

        self._new_key = lambda: ec.generate_private_key(ec.SECP256R1())
        self._key = self._new_key()
        self._name = self._named("authority")
        self.certificate = self._sign(self._name, self._key, authority=True)
        self.path = self._write("authority.pem", self.certificate)

    def issue(self, *hosts: str, name: str = "server", expired: bool = False) -> str:
        """A certificate for hosts, and its key, in one PEM file."""
        key = self._new_key()
        return self._write(f"{name}.pem", self._sign(self._named(name), key, hosts, expired=expired), key)

    def server_context(self, *hosts: str, wants_client: bool = False, expired: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.issue(*hosts, expired=expired))
        if wants_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.path)
        return context

    @staticmethod
    def _named(name: str) -> Any:
        from cryptography import x509

        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])

    def _sign(
        self, name: Any, key: Any, hosts: tuple[str, ...] = (), *, authority: bool = False, expired: bool = False
    ) -> Any:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes

        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(hours=-1 if expired else 24))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if authority:
            usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        names = [_general_name(host) for host in hosts]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, name: str, certificate: Any, key: Any = None) -> str:
        from cryptography.hazmat.primitives import serialization

        encoding = serialization.Encoding.PEM
        data = certificate.public_bytes(encoding)
        if key is not None:
            data += key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path = self.folder / name
        path.write_bytes(data)
        return str(path)


def _general_name(host: str) -> Any:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
