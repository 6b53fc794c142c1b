"""The credentials of each request, from the official client's configuration.

Token files are read again and exec plugins run again when their credentials expire, and once more after a 401. The
configuration may be that of `kubernetes_asyncio`: its methods and hooks are coroutines, which run on the thread that asks.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, TypeVar

from informer.transport.answers import shown_address
from informer.transport.coroutines import result_of
from informer.transport.credential_sources import Source, fixed_credentials
from informer.transport.official_loaders import describe_loader_failure, source_of
from watch.concurrency import Lock
from watch.errors import RequestCancelledError
from watch.printable import printable
from watch.request_scope import current_scope, unless_cancelled

__all__ = ["Credentials"]

T = TypeVar("T")


class Credentials:
    """Puts credentials into requests, and renews them.

    Args:
        configuration: the official client's `Configuration`, with the hook that its loader installed.

    Threads: any. One thread at a time makes credentials, so that many informers run an exec plugin only once.
    """

    def __init__(self, configuration: Any) -> None:
        self._configuration = configuration
        self._lock = Lock()
        self._renewals = 0  # guarded by _lock
        self._source_lock = Lock()  # not held during anything that blocks
        self._source: Source | None = None  # guarded by _source_lock

    def put_into(self, headers: MutableMapping[str, str]) -> tuple[list[tuple[str, str]], int]:
        """Adds the current credentials to headers.

        Returns:
            The credentials that belong in the query, and a number to pass to `renew` if the server refuses them.

        Raises:
            ConnectionError: there are no credentials; the message and the cause say why.
            RequestCancelledError: the request's scope was cancelled while waiting.
        """
        made = dict(headers)
        hook, source = self._hook_and_source()
        may_block = hook is not None and (source is None or source.may_block(refused=False))
        with contextlib.nullcontext() if source is None else source.needed():
            found = self._in_turn(lambda: (self._made_into(made), self._renewals), may_block=may_block)
        headers.update(made)
        return found

    def renew(self, renewals: int) -> bool:
        """Renews the credentials after a 401, unless another thread has renewed them since.

        Args:
            renewals: the number that `put_into` returned with the refused credentials.

        Returns:
            Whether there are new credentials to try; False when the configuration offers no way to renew them.

        Raises:
            ConnectionError: renewing failed; the message and the cause say why.
            RequestCancelledError: the request's scope was cancelled while waiting.
        """
        hook, source = self._hook_and_source()
        may_block = source is not None and source.may_block(refused=True)
        with contextlib.nullcontext() if source is None else source.needed():
            return self._in_turn(lambda: self._renew(hook, renewals), may_block=may_block)

    def describe_refused(self, headers: Mapping[str, str]) -> str:
        """Returns which credentials a server has refused, where they come from, and the next step; without a value of theirs.

        Args:
            headers: the headers of the client, which may hold credentials of the user's own.
        """
        configuration = self._configuration
        source = self._hook_and_source()[1]
        described = "" if source is None else source.describe_refused()
        if described:
            return described
        keys = configuration.api_key or {}
        token = keys.get("authorization") or keys.get("BearerToken") or ""
        certificate = configuration.cert_file or getattr(configuration, "client_cert_data", None)
        # `load_client` leaves there which user of which kubeconfig the credentials are from.
        origin = getattr(configuration, "credentials_origin", "")
        if origin:
            # A password is sent as a value of the Authorization header, too.
            kind = "username" if str(token).startswith("Basic ") else "token"
            return fixed_credentials({kind: token, "client-certificate": certificate}, origin)
        if token:
            return "the token in the configuration's api_key: it may have expired or be for another cluster, so set a new one"
        if configuration.username:
            return "the configuration's user name and password: API servers take a token or client certificate in their place"
        if any(name.lower() == "authorization" for name in headers):
            return "the Authorization header that was set on the ApiClient: set a valid one"
        if certificate:
            return f"the client certificate {configuration.cert_file}: renew it, or use one that the cluster has signed"
        return "a request without credentials: load a kubeconfig or the in-cluster configuration, or set api_key"

    def _hook_and_source(self) -> tuple[Any, Source | None]:
        hook = self._configuration.refresh_api_key_hook
        with self._source_lock:
            # One source per loader: it remembers whether the plugin has run.
            # A coroutine function renews its credentials by itself: the loaders have none as their hook.
            self._source = None if inspect.iscoroutinefunction(hook) else source_of(hook, self._source)
            return hook, self._source

    def _in_turn(self, make: Callable[[], T], *, may_block: bool) -> T:
        """Calls a function under the lock. A cancelled request waits neither for the function nor for the lock.

        Args:
            make: the function.
            may_block: whether it may run an exec plugin or a user's hook, which then happens on another thread.
        """
        if not may_block and self._lock.acquire(blocking=False):
            try:
                return make()
            finally:
                self._lock.release()
        scope = current_scope()

        def locked() -> T:
            with self._lock:
                # Cancelled while it waited for the lock: do not run a plugin for a request that has ended.
                if scope is not None and scope.cancelled:
                    raise RequestCancelledError("the request was cancelled: its owner has stopped")
                return make()

        return unless_cancelled(locked, "credentials")

    def _made_into(self, headers: MutableMapping[str, str]) -> list[tuple[str, str]]:
        return self._explained(lambda: self._refresh_and_put_into(headers))

    def _explained(self, make: Callable[[], T]) -> T:
        """Calls a function, and raises a ConnectionError that says why there are no credentials if it fails."""
        try:
            return make()
        # An exec plugin, a missing file or a broken kubeconfig can raise anything; a later attempt may succeed.
        except Exception as error:
            failure = describe_loader_failure(error, self._source)
            if not failure:
                raise ConnectionError(f"no credentials for {self._shown_host}: {printable(str(error), 500)}") from error
        # Raised outside of the handler: the loader's error can quote credentials, and would become the context.
        raise ConnectionError(f"no credentials for {self._shown_host}: {failure}")

    @property
    def _shown_host(self) -> str:
        return shown_address(self._configuration.host)

    def _refresh_and_put_into(self, headers: MutableMapping[str, str]) -> list[tuple[str, str]]:
        source = self._source
        if source is None:
            return self._put_into(headers)
        source.refresh(self._configuration, refused=False)
        source.is_asked = True
        try:
            return self._put_into(headers)
        finally:
            source.is_asked = False

    def _renew(self, hook: Any, renewals: int) -> bool:
        if renewals != self._renewals:
            return True
        if hook is None:
            return False
        self._renewals += 1
        source = self._source
        if source is not None:
            self._explained(lambda: source.refresh(self._configuration, refused=True))
        return True

    def _put_into(self, headers: MutableMapping[str, str]) -> list[tuple[str, str]]:
        configuration = self._configuration
        parameters: list[tuple[str, str]] = []
        # auth_settings() calls the hook of the official client's loader, which reads token files and runs exec plugins.
        for setting in result_of(configuration.auth_settings()).values():
            value = (setting.get("value") or "").strip()
            if value and setting["in"] == "header":
                headers[setting["key"]] = value
            elif value and setting["in"] == "query":
                parameters.append((setting["key"], value))
        if "authorization" not in {name.lower() for name in headers}:
            found = self._token_or_password()
            if found:
                headers["Authorization"] = found
        return parameters

    def _token_or_password(self) -> str | None:
        """The Authorization header for a token or password that a user set on the configuration."""
        configuration = self._configuration
        # Versions of the official client use one or the other name for the token.
        for name in ("authorization", "BearerToken"):
            token = result_of(configuration.get_api_key_with_prefix(name))
            if token and token.strip():
                return str(token).strip()
        if configuration.username:
            return str(result_of(configuration.get_basic_auth_token()))
        return None
