"""The credentials of a moment, from the official client's configuration.

Comes in: a configuration, with whatever its loader hooked into it. Goes out: headers. Tokens are read again, and exec plugins
run, when the configuration says so, and once more when a server has refused what it was given.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from watch.concurrency import Lock

__all__ = ["Credentials"]


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

    def put_into(self, headers: MutableMapping[str, str]) -> tuple[list[tuple[str, str]], int]:
        """Puts the credentials of this moment into the headers.

        Returns:
            Those that go into the query, and a number to give to `renew` should the server refuse them.

        Raises:
            ConnectionError: they could not be made; the cause says why.
        """
        with self._lock:
            try:
                parameters = self._put_into(headers)
            # Whatever an exec plugin, a missing file or a broken kubeconfig raises passes, as a broken connection does.
            except Exception as error:
                raise ConnectionError(f"no credentials for {self._configuration.host}: {error}") from error
            return parameters, self._renewals

    def renew(self, renewals: int) -> bool:
        """After a 401: has credentials made anew, unless that was done since; returns whether there is any way to.

        Args:
            renewals: what `put_into` returned with those that were refused.
        """
        with self._lock:
            if renewals != self._renewals:
                return True
            hook = getattr(self._configuration, "refresh_api_key_hook", None)
            if hook is None:
                return False
            self._renewals += 1
            try:
                _load_again(hook)
            except Exception as error:
                raise ConnectionError(f"no credentials for {self._configuration.host}: {error}") from error
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


def _load_again(hook: Any) -> None:
    # The official client's loaders look again only when a time that they keep has come. Each has a way to look at once,
    # and hides behind its hook.
    for cell in getattr(hook, "__closure__", None) or ():
        for name in ("_read_token_file", "_load_authentication"):
            load = getattr(cell.cell_contents, name, None)
            if callable(load):
                load()
