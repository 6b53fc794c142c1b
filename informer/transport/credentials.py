"""The credentials of a moment, from the official client's configuration.

Comes in: a configuration, with whatever its loader hooked into it. Goes out: headers. Tokens are read again, and exec plugins
run, when the configuration says so, and once more when a server has refused what it was given.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, TypeVar

from informer.transport.credential_sources import Source, source_of
from watch.concurrency import Lock
from watch.errors import RequestCancelledError
from watch.request_scope import current_scope, unless_cancelled

__all__ = ["Credentials", "shown_address"]

T = TypeVar("T")


class Credentials:
    """See the module.

    Args:
        configuration: the official client's.

    Threads: any; credentials are made by one thread at a time, so that many informers run one exec plugin once.
    """

    def __init__(self, configuration: Any) -> None:
        self._configuration = configuration
        self._lock = Lock()
        self._renewals = 0  # guarded by _lock
        self._source_lock = Lock()  # never held while anything blocks
        self._source: Source | None = None  # guarded by _source_lock

    def put_into(self, headers: MutableMapping[str, str]) -> tuple[list[tuple[str, str]], int]:
        """Puts the credentials of this moment into the headers.

        Returns:
            Those that go into the query, and a number to give to `renew` should the server refuse them.

        Raises:
            ConnectionError: they could not be made; the cause says why.
        """
        made = dict(headers)
        hook, source = self._where_from()
        may_block = hook is not None and (source is None or source.may_block(refused=False))
        found = self._in_turn(lambda: (self._made_into(made), self._renewals), may_block=may_block)
        headers.update(made)
        return found

    def renew(self, renewals: int) -> bool:
        """After a 401: has credentials made anew, unless that was done since; returns whether there is any way to.

        Args:
            renewals: what `put_into` returned with those that were refused.
        """
        hook, source = self._where_from()
        may_block = source is not None and source.may_block(refused=True)
        return self._in_turn(lambda: self._renew(hook, renewals), may_block=may_block)

    def _where_from(self) -> tuple[Any, Source | None]:
        hook = getattr(self._configuration, "refresh_api_key_hook", None)
        with self._source_lock:
            # One a loader: it knows whether a plugin has run.
            self._source = source_of(hook, self._source)
            return hook, self._source

    def _in_turn(self, make: Callable[[], T], *, may_block: bool) -> T:
        """Calls a function under the lock; whoever has stopped waits neither for it nor for the lock."""
        if not may_block and self._lock.acquire(blocking=False):
            try:
                return make()
            finally:
                self._lock.release()
        scope = current_scope()

        def locked() -> T:
            with self._lock:
                # Given up while it waited for its turn: a plugin need not run for nobody.
                if scope is not None and scope.cancelled:
                    raise RequestCancelledError("the request was given up: its owner has stopped")
                return make()

        return unless_cancelled(locked, "credentials")

    def _made_into(self, headers: MutableMapping[str, str]) -> list[tuple[str, str]]:
        try:
            return self._asked_for(headers)
        # Whatever an exec plugin, a missing file or a broken kubeconfig raises passes, as a broken connection does.
        except Exception as error:
            raise ConnectionError(f"no credentials for {shown_address(self._configuration.host)}: {error}") from error

    def _asked_for(self, headers: MutableMapping[str, str]) -> list[tuple[str, str]]:
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
        try:
            if self._source is not None:
                self._source.refresh(self._configuration, refused=True)
        except Exception as error:
            raise ConnectionError(f"no credentials for {shown_address(self._configuration.host)}: {error}") from error
        return True

    def _put_into(self, headers: MutableMapping[str, str]) -> list[tuple[str, str]]:
        configuration = self._configuration
        parameters: list[tuple[str, str]] = []
        # The hook of the official client's loaders runs in here: token files are read again, exec plugins run.
        for setting in configuration.auth_settings().values():
            value = (setting.get("value") or "").strip()
            if value and setting["in"] == "header":
                headers[setting["key"]] = value
            elif value and setting["in"] == "query":
                parameters.append((setting["key"], value))
        if "authorization" not in {name.lower() for name in headers}:
            found = self._by_hand()
            if found:
                headers["Authorization"] = found
        return parameters

    def _by_hand(self) -> str | None:
        """A token or a password that a user of whichever version has set."""
        configuration = self._configuration
        # Versions know the token under either name.
        for name in ("authorization", "BearerToken"):
            token = configuration.get_api_key_with_prefix(name)
            if token and token.strip():
                return str(token).strip()
        if getattr(configuration, "username", None):
            return str(configuration.get_basic_auth_token())
        return None


def shown_address(address: Any) -> str:
    """A server's address for people: without a password that may stand in it."""
    scheme, mark, rest = str(address).rstrip("/").partition("://")
    return scheme + mark + rest.rpartition("@")[2]
