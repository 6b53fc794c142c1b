"""Certificates for tests, of servers and of clients."""

from __future__ import annotations

import datetime
import ssl
from dataclasses import dataclass
from pathlib import Path


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
