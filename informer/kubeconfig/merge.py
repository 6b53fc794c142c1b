"""Merges kubeconfig files, and describes the cluster and user of one context.

Pure: texts in, a description out. Errors name the file, the entry and the key, never a value.

Source: client-go tools/clientcmd/loader.go and client_config.go.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote

from informer.errors import KubeconfigError
from informer.kubeconfig.access import Cluster, ClusterAccess, Pem, User
from informer.kubeconfig.schema import AuthInfo, ClusterInfo, ContextInfo, parse

__all__ = ["KubeconfigText", "MergedKubeconfig", "merge", "quoted"]

T = TypeVar("T")

_MAX_NAMES = 20
"""The most names that a message lists."""
_MAX_NAME = 200
_EXEC_EXTENSION = "client.authentication.k8s.io/exec"


class KubeconfigText(NamedTuple):
    """The content of a kubeconfig file.

    Attributes:
        path: the file's absolute path, beside which the file's relative paths lie.
        text: the content.
    """

    path: str
    text: str | bytes


class Said(NamedTuple, Generic[T]):
    """An entry of a kubeconfig, and the path of the file that says it."""

    value: T
    file: str

    @property
    def folder(self) -> str:
        """The folder beside which relative paths lie."""
        return os.path.dirname(self.file)


@dataclass(slots=True)
class MergedKubeconfig:
    """Several kubeconfig files as one: for each name, the first file that has it decides the whole entry.

    Attributes:
        files: the paths of the files, in their order.
        current_context: the first one that is not empty.
    """

    files: list[str] = field(default_factory=list)
    current_context: str = ""
    clusters: dict[str, Said[ClusterInfo]] = field(default_factory=dict)
    contexts: dict[str, Said[ContextInfo]] = field(default_factory=dict)
    users: dict[str, Said[AuthInfo]] = field(default_factory=dict)

    def access(self, context: str | None = None) -> ClusterAccess:
        """Describes how to reach the cluster of a context.

        Args:
            context: the context's name; None or "" for the current one.

        Raises:
            KubeconfigError: the context, its cluster or its user does not exist or lacks something.
        """
        name = context or self.current_context
        if not name:
            raise KubeconfigError(
                f"{self._shown()} sets no current-context: run kubectl config use-context NAME, or name a context"
            )
        found = _named(self.contexts, name, f"no context is named {quoted(name)} in {self._shown()}")
        in_context = f"context {quoted(name)} in {found.file}"
        info = found.value
        if not info.cluster:
            raise KubeconfigError(f"{in_context} names no cluster: add one")
        cluster = _named(
            self.clusters,
            info.cluster,
            f"{in_context} names the cluster {quoted(info.cluster)}, which {self._shown()} lacks",
        )
        user = User()
        if info.user:
            said = _named(
                self.users, info.user, f"{in_context} names the user {quoted(info.user)}, which {self._shown()} lacks"
            )
            user = _user(info.user, said)
        return ClusterAccess(_cluster(info.cluster, cluster, user), user, info.namespace or "default", name)

    def _shown(self) -> str:
        return ", ".join(self.files)


def merge(texts: Iterable[KubeconfigText]) -> MergedKubeconfig:
    """Merges kubeconfig files in the order of `KUBECONFIG`.

    Raises:
        KubeconfigError: a file is not a kubeconfig, or has two entries of one name.
    """
    merged = MergedKubeconfig()
    for path, text in texts:
        config = parse(text, path)
        merged.files.append(path)
        merged.current_context = merged.current_context or config.current_context or ""
        clusters = ((each.name, each.cluster or ClusterInfo()) for each in config.clusters or () if each)
        contexts = ((each.name, each.context or ContextInfo()) for each in config.contexts or () if each)
        users = ((each.name, each.user or AuthInfo()) for each in config.users or () if each)
        _add(merged.clusters, clusters, path, "clusters")
        _add(merged.contexts, contexts, path, "contexts")
        _add(merged.users, users, path, "users")
    return merged


def _add(known: dict[str, Said[T]], entries: Iterable[tuple[str | None, T]], path: str, kind: str) -> None:
    own: dict[str, Said[T]] = {}
    for name, value in entries:
        if (name or "") in own:
            raise KubeconfigError(f"{path} has two {kind} named {quoted(name)}: delete or rename one")
        own[name or ""] = Said(value, path)
    for name, said in own.items():
        known.setdefault(name, said)


def quoted(name: object) -> str:
    """Returns a name of a kubeconfig for messages: in quotes, escaped, and shortened."""
    return repr(name if not isinstance(name, str) or len(name) <= _MAX_NAME else name[:_MAX_NAME] + "...")


def _named(entries: Mapping[str, Said[T]], name: str, problem: str) -> Said[T]:
    found = entries.get(name)
    if found is None:
        names = sorted(entries)
        there = ", ".join(quoted(each) for each in names[:_MAX_NAMES]) or "none"
        if len(names) > _MAX_NAMES:
            there += f" and {len(names) - _MAX_NAMES} more"
        raise KubeconfigError(f"{problem} (there: {there})")
    return found


def _cluster(name: str, said: Said[ClusterInfo], user: User) -> Cluster:
    info, where = said.value, f"cluster {quoted(name)} in {said.file}"
    if not info.server:
        raise KubeconfigError(f"{where} has no server: add its address")
    authority = _pem(info, "certificate-authority", said.folder, where)
    extensions = {each.name: each.extension for each in info.extensions or () if each}
    insecure = bool(info.insecure_skip_tls_verify)
    # Source: client-go rest.DefaultServerURL: TLS is meant if anything about it is set.
    scheme = "https" if authority or insecure or user.certificate else "http"
    return Cluster(
        server=(info.server if "://" in info.server else f"{scheme}://{info.server}").rstrip("/"),
        name=name,
        file=said.file,
        authority=authority,
        verify=not insecure,
        tls_server_name=info.tls_server_name or "",
        proxy_url=info.proxy_url or "",
        exec_config=extensions.get(_EXEC_EXTENSION),
        disable_compression=bool(info.disable_compression),
    )


def _user(name: str, said: Said[AuthInfo]) -> User:
    info, where = said.value, f"user {quoted(name)} in {said.file}"
    certificate = _pem(info, "client-certificate", said.folder, where)
    key = _pem(info, "client-key", said.folder, where)
    if bool(certificate) != bool(key):
        there, missing = ("client-certificate", "client-key") if certificate else ("client-key", "client-certificate")
        raise KubeconfigError(f"{where} has a {there}, but no {missing} or {missing}-data: add it")
    if info.exec is not None and info.auth_provider is not None:
        raise KubeconfigError(f"{where} has both exec and auth-provider: delete one")
    return User(
        name=name,
        file=said.file,
        token=info.token or "",
        token_file=_absolute(info.token_file, said.folder),
        username=info.username or "",
        password=info.password or "",
        certificate=certificate,
        key=key,
        exec=_exec(info.exec, said.folder),
        auth_provider=info.auth_provider,
        impersonation=_impersonation(info, where),
    )


def _pem(info: ClusterInfo | AuthInfo, key: str, folder: str, where: str) -> Pem:
    attribute = key.replace("-", "_")
    encoded: str | None = getattr(info, f"{attribute}_data")
    data = b""
    is_base64 = True
    try:
        data = base64.b64decode("".join((encoded or "").split()), validate=True)
    # Raised outside of the handler: a UnicodeEncodeError holds the value.
    except ValueError:
        is_base64 = False
    if not is_base64:
        raise KubeconfigError(f"{where}: {key}-data is not base64")
    return Pem(data, "" if data else _absolute(getattr(info, attribute), folder))


def _absolute(path: str | None, folder: str) -> str:
    return os.path.normpath(os.path.join(folder, path)) if path else ""


def _exec(section: dict[str, Any] | None, folder: str) -> dict[str, Any] | None:
    command = (section or {}).get("command")
    # A command without a slash is looked for in PATH.
    if section is None or not isinstance(command, str) or os.sep not in command:
        return section
    return {**section, "command": _absolute(command, folder)}


def _impersonation(info: AuthInfo, where: str) -> tuple[tuple[str, str], ...]:
    headers = [("Impersonate-User", info.as_ or ""), ("Impersonate-Uid", info.as_uid or "")]
    headers += [("Impersonate-Group", group) for group in info.as_groups or ()]
    for key, values in (info.as_user_extra or {}).items():
        # Source: client-go transport.headerKeyEscape.
        name = f"Impersonate-Extra-{quote(key, safe=_HEADER_SAFE)}"
        headers += [(name, value) for value in values or ()]
    headers = [(name, value) for name, value in headers if value]
    if headers and not info.as_:
        raise KubeconfigError(f"{where} has as-uid, as-groups or as-user-extra, but no as: add the user to act as")
    return tuple(headers)


_HEADER_SAFE = "!#$&'*+-.^_`|~"
"""Characters that a header's name may contain besides letters and digits, without "%", which escapes the others."""
