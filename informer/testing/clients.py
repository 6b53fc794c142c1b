"""What both servers have in common: API clients and kubeconfigs for them."""

from __future__ import annotations

import base64
import json
import os
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from informer.files import write_private
from watch.watcher import StopsOnExit

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

__all__ = ["ServerWithClients"]


class ServerWithClients(StopsOnExit):
    """A server for tests, which runs within its `with` block, and to which clients connect as one of its users."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The server's address."""

    @abstractmethod
    def start(self) -> Self:
        """Starts the server and returns it."""

    @property
    @abstractmethod
    def ca_file(self) -> Path | None:
        """A PEM file with the certificates for clients to trust; None without TLS."""

    @abstractmethod
    def token(self, user: str | None = None) -> str | None:
        """Returns the bearer token of a user; None for no token. Raises ValueError for an unknown user."""

    def __enter__(self) -> Self:
        return self.start()

    def api_client(self, user: str | None = None, *, token: str | None = None) -> ApiClient:
        """Returns a new client of the package `kubernetes` for this server. Close it, or use it in a `with` block.

        Args:
            user: the user who sends the requests. None means "admin", or for an `EmbeddedAPIServer` any of `tokens`.
            token: a bearer token to send instead of the user's, such as one that the server refuses.

        Raises:
            ValueError: the server does not have this user.
            RuntimeError: the server is not running.
        """
        from kubernetes import client

        token = self.token(user) if token is None else token
        configuration = client.Configuration()
        configuration.host = self.url
        # A proxy that the environment names must not stand between the test and its server.
        configuration.proxy = None
        if (ca_file := self.ca_file) is not None:
            configuration.ssl_ca_cert = str(ca_file)
        if token is not None:
            configuration.api_key["authorization"] = f"Bearer {token}"
        return client.ApiClient(configuration)

    def kubeconfig(self, path: str | os.PathLike[str], user: str | None = None, *, token: str | None = None) -> Path:
        """Writes a self-contained kubeconfig for a user, which only this system's user can read, and returns its path.

        Args:
            path: the file to write; one that exists, or a symbolic link, is replaced.
            user: as for `api_client`.
            token: as for `api_client`.

        Raises:
            ValueError: the server does not have this user.
            RuntimeError: the server is not running.
        """
        token = self.token(user) if token is None else token
        name = user or "admin"
        cluster: dict[str, Any] = {"server": self.url}
        if (ca_file := self.ca_file) is None:
            # The JavaScript client refuses a plain HTTP server without it.
            cluster["insecure-skip-tls-verify"] = True
        else:
            cluster["certificate-authority-data"] = base64.b64encode(ca_file.read_bytes()).decode()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": name, "user": {} if token is None else {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
            "current-context": "test",
        }
        # JSON is valid YAML.
        write_private(path, json.dumps(config, indent=2).encode() + b"\n")
        return Path(path)
