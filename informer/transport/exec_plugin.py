"""Runs an exec plugin of a kubeconfig, a command that prints a credential.

Errors say what failed and quote nothing of the plugin's output, which may contain a token. The plugin's standard error is
this process's own.

Source: client-go plugin/pkg/client/auth/exec;
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from informer.errors import InformerError

__all__ = ["ExecCredential", "ExecPluginError", "run_exec_plugin"]

PLUGIN_TIMEOUT = 60.0
"""Seconds that a plugin may take: enough for an identity provider, not for a person."""
PLUGIN_MAX_OUTPUT = 1024 * 1024
"""Bytes that a plugin may write. A token, a certificate and its key take some thousands."""
_READ_SIZE = 64 * 1024
_CLUSTER_EXTENSION = "client.authentication.k8s.io/exec"


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
    folder: str | None = None,
    timeout: float = PLUGIN_TIMEOUT,
    max_output: int = PLUGIN_MAX_OUTPUT,
) -> ExecCredential:
    """Runs a plugin and reads its credential.

    Args:
        section: the `exec` section of the kubeconfig's user.
        cluster: the kubeconfig's cluster, passed to the plugin when the section has `provideClusterInfo`.
        folder: the working directory, since commands are relative to the kubeconfig; None for this process's own.
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
    output = _output_of(section, command, _environment(section, version, cluster), folder, timeout, max_output)
    return _credential_in(output, command, version)


def _environment(section: Mapping[str, Any], version: str, cluster: Mapping[str, Any] | None) -> dict[str, str]:
    spec: dict[str, Any] = {"interactive": _is_interactive(section)}
    if cluster is not None and section.get("provideClusterInfo"):
        spec["cluster"] = dict(cluster)
        for extension in cluster.get("extensions") or ():
            if extension.get("name") == _CLUSTER_EXTENSION:
                spec["cluster"]["config"] = extension.get("extension")
    own = {str(item["name"]): str(item["value"]) for item in section.get("env") or ()}
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": spec}
    return {**os.environ, **own, "KUBERNETES_EXEC_INFO": json.dumps(info)}


def _is_interactive(section: Mapping[str, Any]) -> bool:
    if section.get("interactiveMode") == "Never":
        return False
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


def _output_of(
    section: Mapping[str, Any],
    command: str,
    environment: dict[str, str],
    folder: str | None,
    timeout: float,
    max_output: int,
) -> bytes:
    interactive = _is_interactive(section)
    if not interactive and section.get("interactiveMode") == "Always":
        raise ExecPluginError(
            f"exec plugin {command!r} needs a terminal (interactiveMode: Always), which this process does not have"
        )
    # Raised outside of the handlers: the caught errors can hold the output and would become this error's context.
    problem = ""
    output = b""
    try:
        with subprocess.Popen(  # noqa: S603 - the command is what the kubeconfig names
            [command, *map(str, section.get("args") or ())],
            stdin=None if interactive else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=folder or None,
        ) as process:
            try:
                output = _read_all(process, time.monotonic() + timeout, max_output)
                problem = _failure_of(process, output, max_output)
            finally:
                # Has no effect on a process that has ended.
                process.kill()
    except subprocess.TimeoutExpired:
        problem = f"did not end within {timeout:g} s and was killed"
    except OSError as error:
        hint = section.get("installHint")
        problem = f"cannot be run ({error.strerror or type(error).__name__})" + (f": {hint}" if hint else "")
    if problem:
        raise ExecPluginError(f"exec plugin {command!r} {problem}")
    return output


def _failure_of(process: subprocess.Popen[bytes], output: bytes, max_output: int) -> str:
    if len(output) > max_output:
        return f"wrote more than {max_output} bytes, the limit, and was killed"
    if process.returncode:
        return f"ended with exit code {process.returncode}; see its messages on this process's standard error"
    return ""


def _read_all(process: subprocess.Popen[bytes], deadline: float, most: int) -> bytes:
    """Reads a process's output until it ends, or until there are more than `most` bytes.

    Raises:
        subprocess.TimeoutExpired: the process has not ended in time.
    """
    assert process.stdout is not None
    pipe, output = process.stdout.fileno(), b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while len(output) <= most:
            left = deadline - time.monotonic()
            if left <= 0 or not selector.select(left):
                raise subprocess.TimeoutExpired(process.args, left)
            piece = os.read(pipe, _READ_SIZE)
            if not piece:
                process.wait(max(0.0, deadline - time.monotonic()))
                break
            output += piece
    return output


def _credential_in(output: bytes, command: str, version: str) -> ExecCredential:
    answer: Any = None
    is_json = True
    try:
        answer = json.loads(output)
    # Not raised from here: the decoder's error holds the output.
    except (ValueError, RecursionError):
        is_json = False
    where = f"exec plugin {command!r}"
    if not is_json or not isinstance(answer, dict):
        raise ExecPluginError(f"{where} did not write an ExecCredential in JSON (it wrote {len(output)} bytes)")
    if answer.get("kind") != "ExecCredential" or answer.get("apiVersion") != version:
        raise ExecPluginError(
            f"{where} did not write an ExecCredential of apiVersion {version}, which the kubeconfig requires"
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
