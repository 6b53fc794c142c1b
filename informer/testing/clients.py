"""API clients and kubeconfigs for the servers of this package."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from informer.files import write_private

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

__all__ = ["make_api_client", "write_kubeconfig"]


def make_api_client(url: str, *, ca_file: Path | None, token: str | None) -> ApiClient:
    """Returns a new client of the package `kubernetes`.

    Args:
        url: the server's address.
        ca_file: a PEM file with the certificates to trust; None without TLS.
        token: the bearer token to send; None sends none.
    """
    from kubernetes import client

    configuration = client.Configuration()
    configuration.host = url
    # A proxy that the environment names must not stand between the test and its server.
    configuration.proxy = None
    if ca_file is not None:
        configuration.ssl_ca_cert = str(ca_file)
    if token is not None:
        configuration.api_key["authorization"] = f"Bearer {token}"
    return client.ApiClient(configuration)


def write_kubeconfig(path: Path, url: str, *, user: str, ca: bytes | None, token: str | None) -> Path:
    """Writes a self-contained kubeconfig, which only this user can read, and returns its path.

    Args:
        path: the file to write; one that exists, or a symbolic link, is replaced.
        url: the server's address.
        user: the user's name in the file.
        ca: the certificates to trust, as PEM; None without TLS.
        token: the user's bearer token; None for no token.
    """
    cluster: dict[str, Any] = {"server": url}
    if ca is None:
        # The JavaScript client refuses a plain HTTP server without it.
        cluster["insecure-skip-tls-verify"] = True
    else:
        cluster["certificate-authority-data"] = base64.b64encode(ca).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": user, "user": {} if token is None else {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
        "current-context": "test",
    }
    # JSON is valid YAML.
    write_private(path, json.dumps(config, indent=2).encode() + b"\n")
    return path
