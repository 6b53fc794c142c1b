"""The errors of `informer.runtime`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from informer.errors import ApiError, InformerError
from watch.errors import MAX_MESSAGE

__all__ = ["ConflictError", "ManagerError"]

_MANAGER = re.compile(r'conflict with "([^"]*)"')
_FIELD_CONFLICT = "FieldManagerConflict"


class ManagerError(InformerError):
    """A `Manager` cannot go on; the message says why, and its cause is the exception behind it, if there is one."""


class ConflictError(ApiError):
    """The server refused a write with 409: another client has changed the object, or owns fields of it.

    A controller need not catch it: the key is requeued with backoff, without an error in the log.

    Attributes:
        managers: the field managers that own the fields in question, by field, such as
            {".spec.replicas": "kubectl"}. Empty where the write was refused for another reason.
    """

    managers: Mapping[str, str]

    @classmethod
    def of(cls, error: ApiError) -> ConflictError:
        """Makes one of a server's answer with status 409."""
        managers: dict[str, str] = {}
        for cause in error.causes:
            found = _MANAGER.match(str(cause.get("message") or ""))
            if cause.get("reason") == _FIELD_CONFLICT and found is not None:
                managers[str(cause.get("field") or "")] = found[1]
        message = error.message
        if managers:
            owners = ", ".join(f"{field} is owned by {manager}" for field, manager in managers.items())
            message = f"{owners}: pass force=True to take these fields over, or leave them out"[:MAX_MESSAGE]
        made = cls(error.status, error.reason, message, error.retry_after, details=error.details)
        made.managers = managers
        return made
