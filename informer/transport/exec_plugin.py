"""An exec plugin of a kubeconfig, run once.

Comes in: the `exec` section of a kubeconfig's user. Goes out: the credential it gave, or an error that says what to do and
quotes nothing of what it wrote: that may be a token. What it says on its standard error goes to this process's own.

Source: client-go plugin/pkg/client/auth/exec;
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

from __future__ import annotations

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
"""Seconds a plugin may take: it may have to ask an identity provider, never a person."""
PLUGIN_MAX_OUTPUT = 1024 * 1024
"""Bytes a plugin may write: a token, a certificate and its key are some thousands."""
_READ_SIZE = 64 * 1024
_CLUSTER_EXTENSION = "client.authentication.k8s.io/exec"


class ExecPluginError(InformerError):
    """An exec plugin gave no credential; the message names its command and quotes nothing that it wrote."""


class ExecCredential(NamedTuple):
    """What a plugin gave."""

    token: str
    certificate: str
    """A client certificate and its key, as PEM; "" for none."""
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
        section: the kubeconfig's `exec`.
        cluster: the kubeconfig's cluster, told to the plugin where the section asks for that.
        folder: where it runs, as commands are relative to the kubeconfig; None for here.
        timeout: seconds after which it is killed.
        max_output: so many bytes it may write; it is killed when it writes more.

    Raises:
        ExecPluginError: it cannot be run, fails, takes too long, writes too much, or does not write a credential.

    Threads: blocks up to the time-out.
    """
    command = str(section.get("command") or "")
    version = str(section.get("apiVersion") or "")
    if not command or not version:
        raise ExecPluginError("the kubeconfig's exec section needs a command and an apiVersion")
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
        raise ExecPluginError(f"exec plugin {command!r} wants a terminal (interactiveMode: Always), and there is none")
    # Raised outside of the handlers: an error's context would have the output in it.
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
                if len(output) > max_output:
                    problem = f"wrote more than {max_output} bytes, the most allowed, and was killed"
                elif process.returncode:
                    problem = (
                        f"ended with exit code {process.returncode}; its own words are on this process's standard error"
                    )
            finally:
                # Unless it has ended by itself.
                process.kill()
    except subprocess.TimeoutExpired:
        problem = f"gave nothing within {timeout:g} s and was killed"
    except OSError as error:
        hint = section.get("installHint")
        problem = f"cannot be run ({error.strerror or type(error).__name__})" + (f": {hint}" if hint else "")
    if problem:
        raise ExecPluginError(f"exec plugin {command!r} {problem}")
    return output


def _read_all(process: subprocess.Popen[bytes], deadline: float, most: int) -> bytes:
    """What a process writes until it ends, or a little more than what it may.

    Raises:
        subprocess.TimeoutExpired: it has not ended in time.
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
    # The error holds what was to be decoded.
    except (ValueError, RecursionError):
        is_json = False
    where = f"exec plugin {command!r}"
    if not is_json or not isinstance(answer, dict):
        raise ExecPluginError(f"{where} did not write an ExecCredential in JSON ({len(output)} bytes came)")
    if answer.get("kind") != "ExecCredential" or answer.get("apiVersion") != version:
        raise ExecPluginError(f"{where} did not write an ExecCredential of {version}, which the kubeconfig asks for")
    status = answer.get("status")
    fields = status if isinstance(status, dict) else {}
    token, certificate, key = (
        _text(fields, name, where) for name in ("token", "clientCertificateData", "clientKeyData")
    )
    if bool(certificate) != bool(key):
        raise ExecPluginError(f"{where} gave one of clientCertificateData and clientKeyData without the other")
    if not token and not certificate:
        raise ExecPluginError(f"{where} gave neither a token nor a client certificate")
    return ExecCredential(token, certificate, key, _time(_text(fields, "expirationTimestamp", where), where))


def _text(fields: Mapping[str, Any], name: str, where: str) -> str:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise ExecPluginError(f"{where} gave a {name} that is no text")
    return (value or "").strip()


def _time(text: str, where: str) -> datetime | None:
    if not text:
        return None
    found = None
    try:
        # Python 3.10 reads neither a Z nor any number of digits behind the seconds.
        head, _, fraction = text.replace("Z", "+00:00").replace("z", "+00:00").partition(".")
        zone = fraction.lstrip("0123456789")
        found = datetime.fromisoformat(head + zone)
    except ValueError:
        pass
    if found is None:
        raise ExecPluginError(f"{where} gave an expirationTimestamp that is no time")
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
