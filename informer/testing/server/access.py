"""Authentication by bearer token, and rules that forbid requests. What no rule forbids is allowed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import unquote

from informer.listwatch.resources import Resource
from informer.testing.storage.statuses import bad_request, forbidden, unauthorized
from informer.testing.storage.write import User
from watch.concurrency import Lock

__all__ = ["Access"]

# The groups of every user.
_GROUPS = ("system:authenticated",)
_EXTRA = "impersonate-extra-"
_ACCOUNT = "system:serviceaccount:"


class _Rule(NamedTuple):
    """Requests that are forbidden: "*" and None match anything."""

    verb: str
    resource: str
    namespace: str | None

    def covers(self, verb: str, resource: str, namespace: str | None) -> bool:
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
        self._issued: dict[str, tuple[User, float]] = {}  # users and ends of issued tokens; guarded by _lock
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
        scheme, _, token = authorization.partition(" ")
        user = self.user_of_token(token.strip()) if scheme.lower() == "bearer" else None
        with self._lock:
            asks_for_tokens = self._tokens is not None
        if user is None and asks_for_tokens:
            raise unauthorized()
        return user or User("admin", groups=_GROUPS)

    def user_of_token(self, token: str) -> User | None:
        """Returns the user of a bearer token; None if it is not accepted."""
        with self._lock:
            user, end = self._issued.get(token, (None, 0.0))
            if user is not None and end > datetime.now(UTC).timestamp():
                return user
            name = (self._tokens or {}).get(token)
        return None if name is None else User(name, groups=_GROUPS)

    def issue(self, token: str, account: str, end: float) -> None:
        """Accepts a token of a service account, such as "system:serviceaccount:default:robot", until a time since the epoch."""
        with self._lock:
            self._issued[token] = (User(account, groups=_groups_of(account)), end)

    def impersonated(self, user: User, headers: Mapping[str, str]) -> User:
        """Returns the user that a user's request is to be carried out for, as its Impersonate headers say.

        Raises:
            ApiError: 400, the headers name no user; 403, the user may not impersonate.
        """
        name, groups = headers.get("impersonate-user", ""), _words(headers.get("impersonate-group", ""))
        extra = {
            unquote(key.removeprefix(_EXTRA)): _words(value) for key, value in headers.items() if key.startswith(_EXTRA)
        }
        uid = headers.get("impersonate-uid", "")
        if not name:
            if not (groups or extra or uid):
                return user
            raise bad_request("requested groups, a uid or extra fields without impersonating a user name")
        plural = "serviceaccounts" if name.startswith(_ACCOUNT) else "users"
        namespace, _, account = (
            name.removeprefix(_ACCOUNT).partition(":") if plural == "serviceaccounts" else ("", "", name)
        )
        if self.is_forbidden("impersonate", plural, namespace):
            resource = Resource("", "v1", plural, "", namespaced=bool(namespace))
            raise forbidden(user.name, "impersonate", resource, account, namespace)
        return User(name, uid, (*groups, *_GROUPS) if groups else _groups_of(name), extra)

    def forbid(self, verb: str, resource: str, namespace: str | None) -> None:
        """Adds a rule that forbids requests; "*" and None match anything."""
        with self._lock:
            self._rules.append(_Rule(verb, resource, namespace))

    def allow(self, verb: str, resource: str, namespace: str | None) -> None:
        """Removes every rule that lies within these."""
        wanted = _Rule(verb, resource, namespace)
        with self._lock:
            self._rules = [rule for rule in self._rules if not wanted.covers(*rule)]

    def is_forbidden(self, verb: str, resource: str, namespace: str) -> bool:
        """Returns whether a rule forbids a request.

        Args:
            verb: such as "list".
            resource: such as "pods", "deployments.apps" or "deployments.apps/scale".
            namespace: of the request; "" means a request for the whole cluster.
        """
        with self._lock:
            return any(rule.covers(verb, resource, namespace) for rule in self._rules)


def _groups_of(user: str) -> tuple[str, ...]:
    """Returns the groups of a user; a service account is in those of all accounts and of its namespace."""
    if not user.startswith(_ACCOUNT):
        return _GROUPS
    namespace = user.removeprefix(_ACCOUNT).partition(":")[0]
    return "system:serviceaccounts", f"system:serviceaccounts:{namespace}", *_GROUPS


def _words(header: str) -> tuple[str, ...]:
    """Returns the values of a header that was sent once for each value."""
    return tuple(word for word in header.split(", ") if word)
