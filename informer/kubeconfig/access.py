"""How to reach a cluster: a frozen description of its address, its authority, the user and the namespace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Cluster", "ClusterAccess", "Pem", "User"]


@dataclass(frozen=True, slots=True, repr=False)
class Pem:
    """Certificates or a key: either the PEM text itself, or the file that contains it. Falsy when there is neither.

    Attributes:
        data: the text, from a key such as `certificate-authority-data`. It has precedence over `path`.
        path: the absolute path of the file, from a key such as `certificate-authority`.
    """

    data: bytes = b""
    path: str = ""

    def __bool__(self) -> bool:
        return bool(self.data or self.path)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where an API server is, and how its certificate is verified.

    Attributes:
        server: the address, with a scheme and without a slash at its end.
        name: the name in the kubeconfig; "" for the cluster that this pod runs in.
        file: the kubeconfig that says it.
        authority: the certificates to trust; those of the machine if there are none.
        verify: whether the server's certificate is verified.
        tls_server_name: the name that the certificate must have; "" for the address's host.
        proxy_url: the proxy to connect through; "" to follow the environment.
        exec_config: the cluster's extension for exec plugins.
        disable_compression: passed on to exec plugins.
    """

    server: str = field(repr=False)
    name: str = ""
    file: str = ""
    authority: Pem = field(default=Pem(), repr=False)
    verify: bool = True
    tls_server_name: str = ""
    proxy_url: str = field(default="", repr=False)
    exec_config: Any = field(default=None, repr=False)
    disable_compression: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """The credentials of a user. The repr shows none of them.

    Attributes:
        name: the name in the kubeconfig; "" for an anonymous user or a service account.
        file: the kubeconfig that says it.
        token: a bearer token.
        token_file: the absolute path of a file that contains the token. It has precedence over `token`.
        username: for basic authentication.
        password: for basic authentication.
        certificate: a client certificate.
        key: the private key of `certificate`.
        exec: the `exec` section: a command that prints credentials. A relative path in `command` is already absolute.
        auth_provider: the `auth-provider` section.
        impersonation: headers that let this user act as another, in the order in which they are sent.
    """

    name: str = ""
    file: str = ""
    token: str = field(default="", repr=False)
    token_file: str = ""
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    certificate: Pem = field(default=Pem(), repr=False)
    key: Pem = field(default=Pem(), repr=False)
    exec: Mapping[str, Any] | None = field(default=None, repr=False)
    auth_provider: Mapping[str, Any] | None = field(default=None, repr=False)
    impersonation: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """A cluster, the user who connects to it, and the namespace to use.

    Attributes:
        context: the name of the kubeconfig's context; "" without one.
    """

    cluster: Cluster
    user: User = User()
    namespace: str = "default"
    context: str = ""
