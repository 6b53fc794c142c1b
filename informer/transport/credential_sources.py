"""Sources of credentials: token files and exec plugins, read and run again in time.

The official client's loaders do this incompletely. They read a kubeconfig's `tokenFile` only once. They run a plugin again
only when they know that its token has expired, without a time-out, and swallow its failures. They never renew a client
certificate that a plugin returned. A source takes over: it finds the loader behind a configuration's refresh hook, and
updates the credentials that the loader holds.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from informer.rate_limited_log import rate_limited
from informer.transport.exec_plugin import ExecPluginError, run_exec_plugin
from watch.concurrency import OwnerProcess

__all__ = ["Source", "install", "load_kubeconfig", "source_of"]

_log = logging.getLogger(__name__)

_READ_AGAIN = 60.0
"""Seconds after which a token file is read again even if it looks unchanged.

Source: client-go transport NewCachedFileTokenSource.
"""
_EARLY = timedelta(seconds=10)
"""Time before its expiry at which a plugin's credential is renewed."""
_FAILED_FOR = 1.0
"""Seconds for which waiting callers reuse the failure of a plugin instead of running it again."""


class Source:
    """A source of credentials. This base class leaves everything to the loader.

    Args:
        loader: the official client's loader, or None.

    Threads: one at a time.
    """

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.is_asked = False
        """Whether `refresh` was called for the current request, so that the configuration's hook need not call it again."""

    def describe(self) -> str:
        """Returns what the credentials are and where they come from, for messages; without a value of theirs."""
        return f"the token of the auth-provider of {_user_of(self.loader)}: log in again, as with kubectl"

    def may_block(self, *, refused: bool) -> bool:
        """Whether `refresh` or the loader may take long: more than reading a file."""
        return refused or hasattr(self.loader, "expiry")

    def refresh(self, configuration: Any, *, refused: bool) -> None:
        """Updates the credentials that the loader holds.

        Args:
            configuration: the official client's `Configuration`.
            refused: whether a server has refused the current credentials.

        Raises:
            Exception: there are no valid credentials.
        """
        if refused:
            # The loader itself renews only at the expiry that it knows.
            self.loader._load_authentication()  # noqa: SLF001


class _TokenFile(Source):
    """A token in a file that another process rotates, such as a service account's token, rotated by the kubelet."""

    def __init__(self, loader: Any, path: str) -> None:
        super().__init__(loader)
        self._path = path
        self._stamp: Any = None
        self._read_at = float("-inf")
        self._limited = rate_limited(_log)

    def describe(self) -> str:
        return f"the token in the file {self._path}: check that the file is renewed, and is for this cluster"

    def may_block(self, *, refused: bool) -> bool:
        """A file is read at once."""
        return False

    def refresh(self, configuration: Any, *, refused: bool) -> None:
        now = time.monotonic()
        try:
            stat = os.stat(self._path)
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if refused or stamp != self._stamp or now - self._read_at >= _READ_AGAIN:
                token = Path(self._path).read_text(encoding="utf-8").strip()
                if not token:
                    raise OSError("the file is empty")
                self._hold(token)
                self._stamp, self._read_at = stamp, now
        except (OSError, ValueError) as error:
            if refused:
                raise OSError(f"cannot read the token file {self._path}: {_reason(error)}") from None
            # The last token may still be valid, and the file may be about to be written.
            self._limited.warning("cannot read the token file %s, using the last token: %s", self._path, _reason(error))
        self._disable_loader_refresh()

    def _hold(self, token: str) -> None:
        self.loader.token = f"Bearer {token}"

    def _disable_loader_refresh(self) -> None:
        """Keeps the loader from reading the file itself."""


class _InClusterToken(_TokenFile):
    """The token of the service account that a pod runs as."""

    def describe(self) -> str:
        return f"the service account's token in {self._path}: check that the service account and its pod still exist"

    def _hold(self, token: str) -> None:
        self.loader.token = f"bearer {token}"

    def _disable_loader_refresh(self) -> None:
        self.loader.token_expires_at = datetime.now() + timedelta(minutes=5)  # noqa: DTZ005 - as the loader compares


class _Static(Source):
    """Credentials that stand in the kubeconfig itself and never change."""

    def describe(self) -> str:
        user = getattr(getattr(self.loader, "_user", None), "value", None)
        names = user if isinstance(user, dict) else {}
        if names.get("token"):
            kind = "the token"
        elif names.get("username"):
            kind = "the user name and password"
        elif names.get("client-certificate") or names.get("client-certificate-data"):
            kind = "the client certificate"
        else:
            return f"a request without credentials: {_user_of(self.loader)} has none, so add some"
        return (
            f"{kind} of {_user_of(self.loader)}: it may have expired or be for another cluster, so renew the kubeconfig"
        )

    def may_block(self, *, refused: bool) -> bool:
        """Nothing can block."""
        return False

    def refresh(self, configuration: Any, *, refused: bool) -> None:
        """Does nothing: the credentials do not change."""


class _ExecPlugin(Source):
    """An exec plugin of a kubeconfig, which returns tokens or client certificates."""

    def __init__(self, loader: Any, *, has_run: bool) -> None:
        super().__init__(loader)
        self._expires: datetime | None = getattr(loader, "expiry", None)
        self._has_run = has_run
        self._failure: tuple[str, float] | None = None
        self._files: Path | None = None
        self._disable_loader_plugin()

    def describe(self) -> str:
        command = self.loader._user.value["exec"].get("command")  # noqa: SLF001
        return (
            f"the credentials from exec plugin {command!r} of {_user_of(self.loader)}: log in again, and check that the plugin "
            "is set up for this cluster"
        )

    def refresh(self, configuration: Any, *, refused: bool) -> None:
        if not self.may_block(refused=refused):
            return
        if self._failure is not None and time.monotonic() - self._failure[1] < _FAILED_FOR:
            raise ExecPluginError(self._failure[0])
        try:
            self._run(configuration)
        except ExecPluginError as error:
            self._failure = (str(error), time.monotonic())
            raise
        self._failure = None
        self._has_run = True

    def may_block(self, *, refused: bool) -> bool:
        """True when the plugin has to run: for the first time, after a refusal, or because its credential expires."""
        expired = self._expires is not None and datetime.now(UTC) >= self._expires - _EARLY
        return refused or expired or not self._has_run

    def _run(self, configuration: Any) -> None:
        loader = self.loader
        folder = loader._get_base_path(loader._cluster.path)  # noqa: SLF001
        user, cluster = loader._user.value, loader._cluster.value  # noqa: SLF001
        given = run_exec_plugin(user["exec"], cluster=cluster, folder=folder)
        self._expires = given.expires
        if given.token:
            loader.token = f"Bearer {given.token}"
            _put_token(configuration, loader.token)
        if given.certificate:
            certificate, key = self._write(given.certificate, given.key)
            loader.cert_file = configuration.cert_file = certificate
            loader.key_file = configuration.key_file = key
        self._disable_loader_plugin()

    def _disable_loader_plugin(self) -> None:
        # Without a known expiry the loader does not run the plugin itself.
        self.loader.__dict__.pop("expiry", None)

    def _write(self, certificate: str, key: str) -> tuple[str, str]:
        """Writes a client certificate and its key to a private file, since the ssl module reads them only from files."""
        if self._files is None or not self._files.is_dir():
            self._files = Path(tempfile.mkdtemp(prefix="kube-informer-"))
            weakref.finalize(self, _remove, self._files, OwnerProcess())
        # One file for both, replaced at once: a certificate is never read together with the key of another.
        path = self._files / "client.pem"
        new = self._files / "client.pem.new"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(f"{certificate}\n{key}\n")
        new.replace(path)
        return str(path), str(path)


def _user_of(loader: Any) -> str:
    """The user of a kubeconfig for messages, with the file's path if it is known."""
    user = getattr(loader, "_user", None)
    name, path = getattr(user, "name", None), getattr(user, "path", None)
    named = str(name).rpartition("name=")[2].rstrip("]")
    return f"the kubeconfig's user {named!r}" + (f" in {path}" if path else "")


def _put_token(configuration: Any, token: str) -> None:
    # Older official clients read only the second name.
    for name in ("BearerToken", "authorization"):
        configuration.api_key[name] = token


def _remove(folder: Path, process: OwnerProcess) -> None:
    # In a forked child the folder still belongs to the parent.
    if process.is_current:
        shutil.rmtree(folder, ignore_errors=True)


def source_of(hook: Any, known: Source | None) -> Source | None:
    """Finds the source behind a configuration's refresh hook.

    Args:
        hook: the configuration's `refresh_api_key_hook`, or None.
        known: what the last call returned; it is returned again as long as the loader is the same.

    Returns:
        None when the hook does not belong to a loader of the official client.
    """
    for owner in _owners(hook):
        if isinstance(owner, Source):
            return owner
        if known is not None and known.loader is owner:
            return known
        if hasattr(owner, "_token_filename") and hasattr(owner, "_read_token_file"):
            return _InClusterToken(owner, owner._token_filename)  # noqa: SLF001
        if hasattr(owner, "_load_authentication"):
            return _source_of_loader(owner, has_run=True)
    return None


def _source_of_loader(loader: Any, *, has_run: bool) -> Source:
    user = getattr(getattr(loader, "_user", None), "value", None)
    if not isinstance(user, dict) or "auth-provider" in user:
        return Source(loader)
    if user.get("token"):
        return _Static(loader)
    if user.get("tokenFile"):
        folder = loader._get_base_path(loader._user.path)  # noqa: SLF001
        return _TokenFile(loader, os.path.normpath(os.path.join(folder, user["tokenFile"])))
    return _ExecPlugin(loader, has_run=has_run) if "exec" in user else _Static(loader)


def install(loader: Any, configuration: Any) -> None:
    """Loads a kubeconfig into a configuration. An exec plugin is not run now, but when a request first needs it.

    Args:
        loader: the official client's `KubeConfigLoader`, before it has loaded anything.
        configuration: the official client's `Configuration`.
    """
    user = getattr(getattr(loader, "_user", None), "value", None)
    if isinstance(user, dict) and "exec" in user and not user.get("token") and not user.get("tokenFile"):
        # The loader would run the plugin now, without a time-out, and swallow its error message.
        loader._load_from_exec_plugin = lambda: True  # noqa: SLF001
    loader.load_and_set(configuration)
    if "token" not in vars(loader) and isinstance(user, dict) and "exec" in user:
        source = _source_of_loader(loader, has_run=False)

        def refresh(_: Any) -> None:
            if not source.is_asked:
                source.refresh(configuration, refused=False)

        configuration.refresh_api_key_hook = refresh


def load_kubeconfig(configuration: Any) -> None:
    """Loads the kubeconfig that kubectl would use into a configuration; see `install`.

    Raises:
        kubernetes.config.ConfigException: no kubeconfig exists, or it is malformed.
    """
    from kubernetes.config import kube_config

    module: Any = kube_config
    make = getattr(module, "_get_kube_config_loader", None)
    if make is None:
        module.load_kube_config(client_configuration=configuration)
    else:
        install(make(filename=module.KUBE_CONFIG_DEFAULT_LOCATION, persist_config=True), configuration)


def _owners(hook: Any) -> Iterator[Any]:
    for cell in getattr(hook, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # an empty cell
            yield cell.cell_contents


def _reason(error: Exception) -> str:
    """Why reading failed, without the file's name, which the message has already."""
    if isinstance(error, UnicodeError):
        return "it is not UTF-8 text"
    return (isinstance(error, OSError) and error.strerror) or str(error)
