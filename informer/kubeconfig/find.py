"""Finds the cluster to connect to, as kubectl does: KUBECONFIG, else ~/.kube/config, else the cluster that this pod runs in.

Source: client-go tools/clientcmd loader.go, merged_client_builder.go; rest.InClusterConfig.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from informer.errors import KubeconfigError
from informer.files import read_file
from informer.kubeconfig.access import Cluster, ClusterAccess, Pem, User
from informer.kubeconfig.merge import KubeconfigText, merge, quoted
from watch.logs import get_logger

__all__ = ["SERVICE_ACCOUNT", "find_access"]

_log = get_logger(__name__)

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""The folder that contains the token, the authority and the namespace of a pod's service account."""
_PIPE_SECONDS = 30.0
"""Seconds to wait for the end of a kubeconfig that a command writes into a pipe."""
_MAX_NAMESPACE = 64 * 1024


def find_access(
    kubeconfig: str | os.PathLike[str] | None = None,
    context: str | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    service_account: Path | None = None,
) -> ClusterAccess:
    """Finds out how to reach the cluster that kubectl would use.

    Args:
        kubeconfig: the path of a kubeconfig that has to exist; None or "" for those of `KUBECONFIG`, `~/.kube/config` if it is
            unset or empty, and the service account if no kubeconfig sets a current context.
        context: the kubeconfig's context; None or "" for its current one.
        environment: the environment; None for this process's.
        service_account: the folder of a pod's service account; None for where the kubelet mounts it.

    Raises:
        KubeconfigError: no cluster is configured, or what is configured is malformed. The message names the file, and no value.

    Threads: any; reads files.
    """
    environment = os.environ if environment is None else environment
    paths, origin = _paths(kubeconfig, environment)
    in_cluster = None if kubeconfig else _in_cluster(environment, service_account or SERVICE_ACCOUNT)
    try:
        texts = [text for path in paths if (text := _read(path)) is not None]
    except KubeconfigError:
        # A pod's user often may not read the home folder that the image sets.
        if in_cluster is None or origin == "KUBECONFIG":
            raise
        return in_cluster
    missing = [path for path in paths if path not in {text.path for text in texts}]
    if kubeconfig and missing:
        raise KubeconfigError(f"the kubeconfig {missing[0]} does not exist: check the path")
    merged = merge(texts)
    pod = None if context or merged.current_context else in_cluster
    if pod is None and not (kubeconfig or merged.clusters or merged.contexts):
        raise KubeconfigError(_nothing_found(merged.files, missing, origin, context))
    if missing and origin == "KUBECONFIG":
        _log.warning("KUBECONFIG names %s, which does not exist", ", ".join(missing))
    return merged.access(context) if pod is None else pod


def _paths(kubeconfig: str | os.PathLike[str] | None, environment: Mapping[str, str]) -> tuple[list[str], str]:
    """The files to read, and who names them."""
    if kubeconfig:
        return [_absolute(os.fspath(kubeconfig))], "the caller"
    named = environment.get("KUBECONFIG") or ""
    if named:
        # The same file twice is read once.
        return list(dict.fromkeys(_absolute(path) for path in named.split(os.pathsep) if path)), "KUBECONFIG"
    home = environment.get("HOME") or os.path.expanduser("~")
    return [os.path.join(home, ".kube", "config")], "the default"


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))


def _read(path: str) -> KubeconfigText | None:
    """The file's content; None if the file does not exist."""
    try:
        return KubeconfigText(path, read_file(path, within=_PIPE_SECONDS))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise KubeconfigError(f"cannot read the kubeconfig {path}: {error.strerror}") from error


def _in_cluster(environment: Mapping[str, str], folder: Path) -> ClusterAccess | None:
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    token, authority = folder / "token", folder / "ca.crt"
    if not host or not port or not token.is_file():
        return None
    namespace = ""
    try:
        namespace = read_file(folder / "namespace", most=_MAX_NAMESPACE).decode().strip()
    except (OSError, ValueError):
        _log.debug("%s cannot be read: the namespace is taken to be default", folder / "namespace")
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    # Without a file of its own the cluster's certificate is verified as any other.
    trusted = Pem(path=str(authority)) if authority.is_file() else Pem()
    return ClusterAccess(
        Cluster(f"https://{address}", authority=trusted, file=str(folder)),
        User(token_file=str(token), file=str(folder)),
        namespace or "default",
    )


def _nothing_found(empty: list[str], missing: list[str], origin: str, context: str | None) -> str:
    by = " (named by KUBECONFIG)" if origin == "KUBECONFIG" else ""
    found = [f"{path}{by} is empty" for path in empty] + [f"{path}{by} does not exist" for path in missing]
    if origin != "KUBECONFIG":
        found.insert(0, "KUBECONFIG is not set")
    sought = f"context {quoted(context)} does not exist" if context else "no cluster is configured"
    return (
        f"{sought}: {', '.join(found)}, and this process does not run in a pod with a service account "
        f"({SERVICE_ACCOUNT}). Create a kubeconfig, or set KUBECONFIG to the path of one"
    )
