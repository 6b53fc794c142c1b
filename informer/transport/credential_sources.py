"""Where the official client's loaders have their credentials from, to look there again in time.

Comes in: a configuration's refresh hook. Goes out: a source that refreshes what its loader holds: token files, exec plugins,
or whatever else the loader knows to do.

The loaders read a kubeconfig's `tokenFile` once; run a plugin only when they know that its token has run out, without a
time-out, and log and swallow its failures; and never renew the client certificates that a plugin gave.
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

from informer.rate_limited_log import LimitedLog
from informer.transport.exec_plugin import ExecPluginError, run_exec_plugin

__all__ = ["Source", "install", "load_kubeconfig", "source_of"]

_log = logging.getLogger(__name__)

# Source: client-go transport NewCachedFileTokenSource.
_READ_AGAIN = 60.0
# A token that runs out while it is on its way is refused, and renewed then.
_EARLY = timedelta(seconds=10)
# Those who waited for a run that failed have their answer.
_FAILED_FOR = 1.0


class Source:
    """Where credentials come from; this one leaves all to its loader.

    Args:
        loader: the official client's, or None.

    Threads: one at a time.
    """

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.is_asked = False
        """Whether it was refreshed for the request that is being made: its hook need not do so again."""

    def may_block(self, *, refused: bool) -> bool:
        """Whether `refresh`, or the loader after it, may do more than read a file."""
        return refused or hasattr(self.loader, "expiry")

    def refresh(self, configuration: Any, *, refused: bool) -> None:
        """Has the loader hold what is good now.

        Args:
            configuration: the official client's.
            refused: whether a server has refused what there was.

        Raises:
            Exception: there is nothing to be had.
        """
        if refused:
            # The loader looks again only when a time that it keeps has come; this has it look at once.
            self.loader._load_authentication()  # noqa: SLF001


class _TokenFile(Source):
    """A file that somebody else renews, such as a service account's token that a kubelet rotates."""

    def __init__(self, loader: Any, path: str) -> None:
        super().__init__(loader)
        self._path = path
        self._stamp: Any = None
        self._read_at = float("-inf")
        self._limited = LimitedLog(_log)

    def may_block(self, *, refused: bool) -> bool:
        """See `Source`."""
        return False

    def refresh(self, configuration: Any, *, refused: bool) -> None:
        now = time.monotonic()
        try:
            stat = os.stat(self._path)
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if refused or stamp != self._stamp or now - self._read_at >= _READ_AGAIN:
                token = Path(self._path).read_text(encoding="utf-8").strip()
                if not token:
                    raise OSError(f"{self._path} is empty")
                self._hold(token)
                self._stamp, self._read_at = stamp, now
        except (OSError, ValueError) as error:
            if refused:
                raise OSError(f"the token file {self._path} cannot be read: {_reason(error)}") from None
            # What there is may be good for long, and whoever writes the file may be about to.
            self._limited.log(
                logging.WARNING, "token file %s cannot be read, the last token is used: %s", self._path, _reason(error)
            )
        self._put_off()

    def _hold(self, token: str) -> None:
        self.loader.token = f"Bearer {token}"

    def _put_off(self) -> None:
        """Keeps the loader from looking by itself."""


class _InClusterToken(_TokenFile):
    def _hold(self, token: str) -> None:
        self.loader.token = f"bearer {token}"

    def _put_off(self) -> None:
        self.loader.token_expires_at = datetime.now() + timedelta(minutes=5)  # noqa: DTZ005 - as the loader compares


class _Static(Source):
    def may_block(self, *, refused: bool) -> bool:
        """See `Source`."""
        return False

    def refresh(self, configuration: Any, *, refused: bool) -> None:
        """There is nothing to look at."""


class _ExecPlugin(Source):
    """A plugin that gives tokens or client certificates."""

    def __init__(self, loader: Any, *, has_run: bool) -> None:
        super().__init__(loader)
        self._expires: datetime | None = getattr(loader, "expiry", None)
        self._has_run = has_run
        self._failure: tuple[str, float] | None = None
        self._files: Path | None = None
        self._keep_from_running()

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
        """See `Source`."""
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
        self._keep_from_running()

    def _keep_from_running(self) -> None:
        # Knowing of no end, the loader does not run the plugin by itself.
        self.loader.__dict__.pop("expiry", None)

    def _write(self, certificate: str, key: str) -> tuple[str, str]:
        """The ssl module reads both from files only."""
        if self._files is None or not self._files.is_dir():
            self._files = Path(tempfile.mkdtemp(prefix="kube-informer-"))
            weakref.finalize(self, _remove, self._files, os.getpid())
        # Both in one, so that no certificate is ever read with another's key.
        path = self._files / "client.pem"
        new = self._files / "client.pem.new"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(f"{certificate}\n{key}\n")
        new.replace(path)
        return str(path), str(path)


def _put_token(configuration: Any, token: str) -> None:
    # Older official clients look under the second name only.
    for name in ("BearerToken", "authorization"):
        configuration.api_key[name] = token


def _remove(folder: Path, process: int) -> None:
    # A forked child's copy of the source is not the last.
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def source_of(hook: Any, known: Source | None) -> Source | None:
    """The source behind a configuration's refresh hook; None where nobody knows what is behind it.

    Args:
        hook: the configuration's.
        known: what the last call returned, which is returned again while its loader is the same.
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
    """Has a kubeconfig's loader set a configuration, but its plugin run when the first request needs it, and ever after.

    Args:
        loader: the official client's `KubeConfigLoader`, which has not loaded anything.
        configuration: the official client's.
    """
    user = getattr(getattr(loader, "_user", None), "value", None)
    if isinstance(user, dict) and "exec" in user and not user.get("token") and not user.get("tokenFile"):
        # Its own way would run the plugin now, without a time-out, and lose what it says.
        loader._load_from_exec_plugin = lambda: True  # noqa: SLF001
    loader.load_and_set(configuration)
    if "token" not in vars(loader) and isinstance(user, dict) and "exec" in user:
        source = _source_of_loader(loader, has_run=False)

        def refresh(_: Any) -> None:
            if not source.is_asked:
                source.refresh(configuration, refused=False)

        configuration.refresh_api_key_hook = refresh


def load_kubeconfig(configuration: Any) -> None:
    """Sets a configuration as the kubeconfig says that kubectl would read; see `install`.

    Raises:
        kubernetes.config.ConfigException: there is none, or it is broken.
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
    return getattr(error, "strerror", None) or str(error)
