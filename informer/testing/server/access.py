"""Authentication by bearer token, and rules that forbid requests. What no rule forbids is allowed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from informer.testing.storage.statuses import unauthorized
from informer.testing.storage.write import User
from watch.concurrency import Lock

__all__ = ["Access"]

# The groups of every user.
_GROUPS = ("system:authenticated",)


class _Rule(NamedTuple):
    """Requests that are forbidden: "*" and None match anything."""

    verb: str
    resource: str
    namespace: str | None

    def covers(self, verb: str, resource: str, namespace: str) -> bool:
        return (
            self.verb in ("*", verb)
            and self.resource in ("*", resource, resource.partition(".")[0])
            and self.namespace in (None, namespace)
        )


class Access:
    """Decides who a client is and what it may do.

    Args:
        tokens: user names by bearer token, or only tokens, whose user is then "admin". None accepts every request.

    Threads: any.
    """

    def __init__(self, tokens: Mapping[str, str] | Iterable[str] | None) -> None:
        self._lock = Lock()
        self._rules: list[_Rule] = []  # guarded by _lock
        self._tokens: dict[str, str] | None = None  # guarded by _lock
        self.set_tokens(tokens)

    def set_tokens(self, tokens: Mapping[str, str] | Iterable[str] | None) -> None:
        """Replaces the accepted tokens."""
        if isinstance(tokens, str):
            tokens = [tokens]
        if tokens is not None and not isinstance(tokens, Mapping):
            tokens = dict.fromkeys(tokens, "admin")
        with self._lock:
            self._tokens = None if tokens is None else dict(tokens)

    def token_of(self, user: str | None) -> str | None:
        """Returns an accepted token of a user, or of any user for None; None if the server does not ask for tokens.

        Raises:
            ValueError: the server does not have this user.
        """
        with self._lock:
            tokens = {} if self._tokens is None else self._tokens
        users = set(tokens.values()) or {"admin"}
        if user is not None and user not in users:
            known = ", ".join(sorted(users))
            raise ValueError(
                f"no user {user!r}: there are {known}; the argument `tokens` of EmbeddedAPIServer adds others, "
                'such as tokens={"a-token": "alice"}'
            )
        return next((token for token, name in tokens.items() if user in (None, name)), None)

    def user(self, authorization: str) -> User:
        """Returns the user that an Authorization header names.

        Raises:
            ApiError: 401, the token is missing or not accepted.
        """
        with self._lock:
            if self._tokens is None:
                return User("admin", groups=_GROUPS)
            scheme, _, token = authorization.partition(" ")
            user = self._tokens.get(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise unauthorized()
        return User(user, groups=_GROUPS)

    def forbid(self, verb: str, resource: str, namespace: str | None) -> None:
        """Adds a rule that forbids requests; "*" and None match anything."""
        with self._lock:
            self._rules.append(_Rule(verb, resource, namespace))

    def allow(self, verb: str, resource: str, namespace: str | None) -> None:
        """Removes every rule that lies within these."""
        wanted = _Rule(verb, resource, namespace)
        with self._lock:
            self._rules = [
                rule
                for rule in self._rules
                if not (
                    wanted.verb in ("*", rule.verb)
                    and wanted.resource in ("*", rule.resource)
                    and wanted.namespace in (None, rule.namespace)
                )
            ]

    def is_forbidden(self, verb: str, resource: str, namespace: str) -> bool:
        """Returns whether a rule forbids a request.

        Args:
            verb: such as "list".
            resource: such as "pods", "deployments.apps" or "deployments.apps/scale".
            namespace: of the request; "" means a request for the whole cluster.
        """
        with self._lock:
            return any(rule.covers(verb, resource, namespace) for rule in self._rules)
