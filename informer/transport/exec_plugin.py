"""Runs an exec plugin of a kubeconfig, a command that prints a credential.

Errors say what failed and quote nothing of the plugin's output, which may contain a token. The plugin's standard error is
this process's own.

Source: client-go plugin/pkg/client/auth/exec;
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from informer.errors import InformerError
from informer.files import read_file
from informer.kubeconfig.merge import quoted
from informer.transport.plugin_process import PluginProcess, RelativePathError
from watch.printable import printable
from watch.request_scope import current_scope

__all__ = ["ExecCredential", "ExecPluginError", "run_exec_plugin"]

PLUGIN_TIMEOUT = 60.0
"""Seconds that a plugin may take: enough for an identity provider, not for a person."""
PLUGIN_MAX_OUTPUT = 1024 * 1024
"""Bytes that a plugin may write. A token, a certificate and its key take some thousands."""
_MAX_HINT = 300
_CLUSTER_EXTENSION = "client.authentication.k8s.io/exec"
_CLUSTER_KEYS = ("server", "tls-server-name", "insecure-skip-tls-verify", "proxy-url", "disable-compression")
_VERSION = re.compile(r"client\.authentication\.k8s\.io/v\d{1,2}((alpha|beta)\d{1,2})?")


class ExecPluginError(InformerError):
    """An exec plugin did not return a credential.

    The message names the plugin's command and the reason. It quotes nothing of the plugin's output.
    """


class ExecCredential(NamedTuple):
    """The credential that a plugin returned: a token, a client certificate, or both. The repr shows neither.

    Attributes:
        token: a bearer token; "" for none.
        certificate: a client certificate as PEM; "" for none.
        key: the certificate's private key as PEM; "" for none.
        expires: when the credential expires; None when the plugin did not say.
    """

    token: str
    certificate: str
    key: str
    expires: datetime | None

    def __repr__(self) -> str:
        kind = " and ".join(word for word, value in (("token", self.token), ("certificate", self.certificate)) if value)
        return f"<ExecCredential {kind}, expires {self.expires}>"


def run_exec_plugin(
    section: Mapping[str, Any],
    *,
    cluster: Mapping[str, Any] | None = None,
    cluster_folder: str = "",
    folder: str | None = None,
    timeout: float = PLUGIN_TIMEOUT,
    max_output: int = PLUGIN_MAX_OUTPUT,
) -> ExecCredential:
    """Runs a plugin and reads its credential.

    Args:
        section: the `exec` section of the kubeconfig's user.
        cluster: the kubeconfig's cluster, passed to the plugin when the section has `provideClusterInfo`.
        cluster_folder: the folder beside which the cluster's relative paths lie.
        folder: the working directory, in which a relative command is looked for; None for this process's own.
        timeout: seconds after which the plugin is killed.
        max_output: bytes of output; the plugin is killed when it writes more.

    Raises:
        ExecPluginError: the plugin cannot be run, fails, takes too long, writes too much, or does not write a credential.

    Threads: blocks for at most `timeout` seconds.
    """
    command = str(section.get("command") or "")
    version = str(section.get("apiVersion") or "")
    if not command or not version:
        raise ExecPluginError("the exec section of the kubeconfig's user lacks a command or an apiVersion: add it")
    info = _cluster_info(cluster, cluster_folder) if cluster is not None and section.get("provideClusterInfo") else None
    arguments = _texts(section, "args", section.get("args"))
    environment = _environment(section, version, info)
    output = _output_of(section, [command, *arguments], environment, folder, timeout, max_output)
    return _credential_in(output, command, version)


def _environment(section: Mapping[str, Any], version: str, cluster: Mapping[str, Any] | None) -> dict[str, str]:
    spec: dict[str, Any] = {"interactive": _is_interactive(section)}
    if cluster is not None:
        spec["cluster"] = cluster
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": spec}
    text = ""
    with contextlib.suppress(TypeError, ValueError):
        text = json.dumps(info, allow_nan=False)
    # Raised outside of the handler, since the error's context could quote the extension.
    if not text:
        raise ExecPluginError(
            "the cluster's extension for exec plugins in the kubeconfig is not JSON: "
            "write text, numbers, lists and mappings only"
        )
    return {**os.environ, **_own_environment(section), "KUBERNETES_EXEC_INFO": text}


def _own_environment(section: Mapping[str, Any]) -> dict[str, str]:
    """The variables of the section. An entry whose value is null is left out."""
    where = f"the env of exec plugin {quoted(section.get('command'))} in the kubeconfig"
    own: dict[str, str] = {}
    entries = section.get("env") or ()
    if not isinstance(entries, list | tuple):
        raise ExecPluginError(f"{where} is not a list of names and values")
    for number, entry in enumerate(entries, 1):
        name = entry.get("name") if isinstance(entry, Mapping) else None
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise ExecPluginError(f"{where} is malformed: entry {number} has no name that a variable can have")
        if "value" not in entry:
            raise ExecPluginError(f"{where} is malformed: entry {quoted(name)} has no value (null leaves it out)")
        if entry["value"] is not None:
            own[name] = _texts(section, f"env {quoted(name)}", [entry["value"]])[0]
    return own


def _texts(section: Mapping[str, Any], key: str, values: Any) -> list[str]:
    """Checks that all values are strings. A number would be another text than the one in the file, such as 0x1F."""
    if not isinstance(values or [], list | tuple) or not all(isinstance(value, str) for value in values or ()):
        raise ExecPluginError(
            f"{key} of exec plugin {quoted(section.get('command'))} in the kubeconfig has to be text: "
            "put numbers, true and false in quotes"
        )
    return list(values or ())


def _cluster_info(cluster: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """The cluster as an ExecCredential has it: the authority as data, since a plugin cannot resolve a path of a kubeconfig.

    Source: client-go tools/auth/exec.ConfigToExecCluster.
    """
    data, path = cluster.get("certificate-authority-data"), cluster.get("certificate-authority")
    if not data and path:
        path = os.path.normpath(os.path.join(folder, path))
        try:
            data = base64.b64encode(read_file(path)).decode()
        except OSError as error:
            raise ExecPluginError(f"cannot read the certificate-authority {path}: {error.strerror}") from error
    info = {key: cluster[key] for key in _CLUSTER_KEYS if cluster.get(key)}
    info |= {"certificate-authority-data": data} if data else {}
    for extension in cluster.get("extensions") or ():
        if extension.get("name") == _CLUSTER_EXTENSION and extension.get("extension") is not None:
            info["config"] = extension["extension"]
    return info


def _is_interactive(section: Mapping[str, Any]) -> bool:
    if section.get("interactiveMode") == "Never":
        return False
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


def _output_of(
    section: Mapping[str, Any],
    command_line: list[str],
    environment: dict[str, str],
    folder: str | None,
    timeout: float,
    max_output: int,
) -> bytes:
    command = command_line[0]
    interactive = _is_interactive(section)
    if not interactive and section.get("interactiveMode") == "Always":
        raise ExecPluginError(
            f"exec plugin {quoted(command)} needs a terminal (interactiveMode: Always), which this process does not have"
        )
    # Raised outside of the handlers: the caught errors can hold the output and would become this error's context.
    problem = ""
    output = b""
    try:
        process = PluginProcess(command_line, environment=environment, folder=folder, interactive=interactive)
        with contextlib.closing(process), _killed_on_cancel(process):
            output = process.read(time.monotonic() + timeout, max_output)
            problem = _failure_of(process, output, max_output)
    except subprocess.TimeoutExpired:
        problem = f"did not end within {timeout:g} s and was killed"
    except RelativePathError as error:
        problem = (
            f"was found only through the entry {quoted(str(error))} of PATH, which depends on the working directory, "
            "where another user may have put it: take the entry out of PATH, or write the plugin's absolute path into the "
            "kubeconfig"
        )
    except ValueError:
        problem = "cannot be run (its arguments or its env contain a null character, or text that is not Unicode)"
    except OSError as error:
        hint = printable(str(section.get("installHint") or "").encode(errors="replace"), _MAX_HINT)
        problem = f"cannot be run ({error.strerror or type(error).__name__})" + (f": {hint}" if hint else "")
    if problem:
        raise ExecPluginError(f"exec plugin {quoted(command)} {problem}")
    return output


@contextlib.contextmanager
def _killed_on_cancel(process: PluginProcess) -> Iterator[None]:
    """Returns a context in which cancelling the thread's request scope kills the plugin."""
    scope = current_scope()
    withdraw = scope.on_cancel(process.kill) if scope is not None else lambda: None
    try:
        yield
    finally:
        withdraw()


def _failure_of(process: PluginProcess, output: bytes, max_output: int) -> str:
    if len(output) > max_output:
        return f"wrote more than {max_output} bytes, the limit, and was killed"
    if process.exit_code:
        return f"ended with exit code {process.exit_code}; see its messages on this process's standard error"
    return ""


def _credential_in(output: bytes, command: str, version: str) -> ExecCredential:
    answer: Any = None
    is_json = True
    try:
        answer = json.loads(output)
    # Not raised from here: the decoder's error holds the output.
    except (ValueError, RecursionError):
        is_json = False
    where = f"exec plugin {quoted(command)}"
    if not is_json or not isinstance(answer, dict):
        raise ExecPluginError(f"{where} did not write an ExecCredential in JSON (it wrote {len(output)} bytes)")
    if answer.get("kind") != "ExecCredential":
        raise ExecPluginError(
            f"{where} did not write an ExecCredential of apiVersion {version}, but another kind of object"
        )
    if answer.get("apiVersion") != version:
        came = str(answer.get("apiVersion"))
        # Any other text may be a credential in the wrong place.
        shown = came if _VERSION.fullmatch(came) else "another apiVersion"
        raise ExecPluginError(
            f"{where} did not write an ExecCredential of apiVersion {version}, which the kubeconfig asks for, but of {shown}: "
            "regenerate the kubeconfig with the tool that made it, or update the plugin"
        )
    status = answer.get("status")
    fields = status if isinstance(status, dict) else {}
    token, certificate, key = (
        _text(fields, name, where) for name in ("token", "clientCertificateData", "clientKeyData")
    )
    if bool(certificate) != bool(key):
        raise ExecPluginError(f"{where} returned only one of clientCertificateData and clientKeyData: both are needed")
    if not token and not certificate:
        raise ExecPluginError(f"{where} returned neither a token nor a client certificate")
    return ExecCredential(token, certificate, key, _time(_text(fields, "expirationTimestamp", where), where))


def _text(fields: Mapping[str, Any], name: str, where: str) -> str:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise ExecPluginError(f"{where} returned a {name} that is not a string")
    return (value or "").strip()


def _time(text: str, where: str) -> datetime | None:
    if not text:
        return None
    found = None
    with contextlib.suppress(ValueError):
        found = datetime.fromisoformat(text.upper())  # Python 3.11 does not read a "z"
    # Raised outside of the handler: the ValueError quotes the output.
    if found is None:
        raise ExecPluginError(f"{where} returned an expirationTimestamp that is not a time in RFC 3339 form")
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
