"""Sources of credentials for a configuration that the official client's own loaders filled.

These loaders read a kubeconfig's `tokenFile` only once. They run a plugin again only when they know that its token has
expired, without a time-out, and swallow its failures. They never renew a client certificate that a plugin returned. Their
errors can quote a whole user with all credentials. So a source finds the loader behind a configuration's refresh hook, and
updates the credentials that the loader holds.
"""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from informer.transport.credential_sources import (
    ExecPlugin,
    Source,
    TokenFile,
    describe_provider_failure,
    fixed_credentials,
)
from informer.transport.exec_plugin import ExecCredential

_LOADERS = ("kubernetes.config.", "kubernetes_asyncio.config.")
"""The names of the modules with loaders begin like this."""

__all__ = ["LoaderSource", "describe_loader_failure", "source_of"]


class LoaderSource(Source):
    """Leaves making credentials to a loader, as for the auth-provider section of older kubeconfigs.

    Args:
        loader: the official client's loader.
    """

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def may_block(self, *, refused: bool) -> bool:
        """Whether the loader may ask an identity provider."""
        return refused or hasattr(self.loader, "expiry")

    def refresh(self, configuration: Any, *, refused: bool) -> None:
        """Calls the loader after a refusal. At other times the configuration's hook does it."""
        if refused:
            # The loader itself renews only at the expiry that it knows.
            self.loader._load_authentication()  # noqa: SLF001

    def describe_refused(self) -> str:
        """See `Source.describe_refused`."""
        return f"the token from the auth-provider of {self._origin()}: log in again"

    def _origin(self) -> str:
        file = getattr(getattr(self.loader, "_user", None), "path", None) or "the loaded kubeconfig"
        return f"user {self._user_name()!r} in {file}"

    def describe(self, failure: str) -> str:
        """Says that the loader failed: names the file and the user, and no value.

        Args:
            failure: the type of the loader's error.
        """
        node = getattr(self.loader, "_user", None)
        user, file = getattr(node, "value", None), getattr(node, "path", None) or "the loaded kubeconfig"
        if isinstance(user, Mapping) and "auth-provider" in user:
            return describe_provider_failure(user["auth-provider"], self._user_name(), file, failure)
        return f"the official client's loader failed for user {self._user_name()!r} in {file} ({failure})"

    def _user_name(self) -> str:
        context = getattr(getattr(self.loader, "_current_context", None), "value", None)
        info = context.get("context") if isinstance(context, Mapping) else None
        return str(info.get("user", "")) if isinstance(info, Mapping) else ""


class _Static(LoaderSource):
    """Credentials that stand in the kubeconfig itself."""

    def describe_refused(self) -> str:
        user = getattr(getattr(self.loader, "_user", None), "value", None)
        return fixed_credentials(user if isinstance(user, Mapping) else {}, self._origin())

    def may_block(self, *, refused: bool) -> bool:
        """Nothing can block."""
        return False

    def refresh(self, configuration: Any, *, refused: bool) -> None:
        """Does nothing: the credentials do not change."""


class _LoaderTokenFile(TokenFile):
    """A kubeconfig's token file."""

    def __init__(self, loader: Any, path: str) -> None:
        super().__init__(path, "" if not hasattr(loader, "token") else str(loader.token).partition(" ")[2].strip())
        self.loader = loader

    def _hold(self, configuration: Any, token: str) -> None:
        self.loader.token = f"Bearer {token}"


class _InClusterToken(_LoaderTokenFile):
    """The token of the service account that a pod runs as."""

    def describe_refused(self) -> str:
        return f"the service account's token in {self._path}: check that the service account and its pod still exist"

    def _hold(self, configuration: Any, token: str) -> None:
        self.loader.token = f"bearer {token}"
        # Keeps the loader from reading the file itself.
        self.loader.token_expires_at = datetime.now() + timedelta(minutes=5)  # noqa: DTZ005 - as the loader compares


class _LoaderExecPlugin(ExecPlugin):
    """The exec plugin of a kubeconfig's user. The loader has run it once."""

    def __init__(self, loader: Any) -> None:
        user, cluster = loader._user, loader._cluster  # noqa: SLF001
        super().__init__(
            user.value["exec"],
            cluster=cluster.value,
            cluster_folder=_folder(loader, cluster),
            folder=_folder(loader, user),
            has_run=True,
            expires=getattr(loader, "expiry", None),
        )
        self.loader = loader
        self._disable_loader_plugin()

    def _hold(self, configuration: Any, given: ExecCredential) -> None:
        super()._hold(configuration, given)
        if given.token:
            self.loader.token = f"Bearer {given.token}"
        self._disable_loader_plugin()

    def _disable_loader_plugin(self) -> None:
        # Without a known expiry the loader does not run the plugin itself.
        self.loader.__dict__.pop("expiry", None)


def source_of(hook: Any, known: Source | None) -> Source | None:
    """Finds the source behind a configuration's refresh hook.

    Args:
        hook: the configuration's `refresh_api_key_hook`, or None.
        known: what the last call returned; it is returned again as long as the loader is the same.

    Returns:
        None when the hook belongs neither to `load_client` nor to a loader of the official client.
    """
    for owner in _owners(hook):
        if isinstance(owner, Source):
            return owner
        if known is not None and getattr(known, "loader", None) is owner:
            return known
        if hasattr(owner, "_token_filename") and hasattr(owner, "_read_token_file"):
            return _InClusterToken(owner, owner._token_filename)  # noqa: SLF001
        if hasattr(owner, "_load_authentication"):
            return _source_of_loader(owner)
    return None


def describe_loader_failure(error: BaseException, source: Source | None) -> str:
    """Describes an error that a loader of the official client raised, without its message, which can quote a whole user.

    Args:
        error: any error that was raised while credentials were made.
        source: the source that made them; None if it is not known, as for a user's hook.

    Returns:
        "" when no loader raised the error.
    """
    if not _comes_from_loader(error):
        return ""
    if isinstance(source, LoaderSource):
        return source.describe(type(error).__name__)
    return (
        f"the official client's loader failed ({type(error).__name__}); its message can contain credentials and is not shown: "
        "check the kubeconfig with `kubectl get --raw /version`"
    )


def _comes_from_loader(error: BaseException) -> bool:
    """Whether a loader is on the way from where the error, or one behind it, was raised."""
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or each in seen:
            continue
        seen.append(each)
        waiting += [each.__cause__, each.__context__]
        modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(each.__traceback__)]
        if any(str(module).startswith(_LOADERS) for module in (*modules, type(each).__module__)):
            return True
    return False


def _source_of_loader(loader: Any) -> Source:
    user = getattr(getattr(loader, "_user", None), "value", None)
    if not isinstance(user, dict) or "auth-provider" in user:
        return LoaderSource(loader)
    if user.get("token"):
        return _Static(loader)
    if user.get("tokenFile"):
        folder = _folder(loader, loader._user)  # noqa: SLF001
        return _LoaderTokenFile(loader, os.path.normpath(os.path.join(folder, user["tokenFile"])))
    return _LoaderExecPlugin(loader) if "exec" in user else _Static(loader)


def _folder(loader: Any, node: Any) -> str:
    """The folder of the file that says a part of the kubeconfig."""
    return str(loader._get_base_path(node.path))  # noqa: SLF001


def _owners(hook: Any) -> Iterator[Any]:
    for cell in getattr(hook, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # an empty cell
            yield cell.cell_contents
