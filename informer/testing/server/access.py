"""Who may do what: bearer tokens, and rules that forbid.

Everything is allowed that no rule forbids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from informer.testing.storage.statuses import unauthorized
from watch.concurrency import Lock

__all__ = ["Access"]


class _Rule(NamedTuple):
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
    """Tokens and rules.

    Args:
        tokens: user names by token, or just tokens; None lets everybody in.

    Threads: any.
    """

    def __init__(self, tokens: Mapping[str, str] | Iterable[str] | None) -> None:
        self._lock = Lock()
        self._rules: list[_Rule] = []  # guarded by _lock
        self._tokens: dict[str, str] | None = None  # guarded by _lock
        self.set_tokens(tokens)

    def set_tokens(self, tokens: Mapping[str, str] | Iterable[str] | None) -> None:
        """Takes other tokens from now on."""
        if isinstance(tokens, str):
            tokens = [tokens]
        if tokens is not None and not isinstance(tokens, Mapping):
            tokens = dict.fromkeys(tokens, "admin")
        with self._lock:
            self._tokens = None if tokens is None else dict(tokens)

    def any_token(self) -> str | None:
        """One that is let in; None where none is needed."""
        with self._lock:
            return next(iter(self._tokens), None) if self._tokens is not None else None

    def user(self, authorization: str) -> str:
        """Whom a request's header names.

        Raises:
            ApiError: 401.
        """
        with self._lock:
            if self._tokens is None:
                return "admin"
            scheme, _, token = authorization.partition(" ")
            user = self._tokens.get(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise unauthorized()
        return user

    def forbid(self, verb: str, resource: str, namespace: str | None) -> None:
        """Adds a rule."""
        with self._lock:
            self._rules.append(_Rule(verb, resource, namespace))

    def allow(self, verb: str, resource: str, namespace: str | None) -> None:
        """Takes away every rule that these cover."""
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
        """Whether a rule covers that; `resource` is "pods" or "deployments.apps", `namespace` "" is the cluster."""
        with self._lock:
            return any(rule.covers(verb, resource, namespace) for rule in self._rules)
