"""The errors of the `watch` package, all of them `WatchError`s, and how a server's answer becomes an `ApiError`."""

from __future__ import annotations

import json
import math
import queue
from collections.abc import Mapping
from typing import Any

from watch.printable import printable, without_secrets

__all__ = [
    "DEFAULT_MAX_RETRY_AFTER",
    "MAX_MESSAGE",
    "ApiError",
    "BroadcasterShutdownError",
    "ChannelClosedError",
    "ChannelFullError",
    "ConditionError",
    "RequestCancelledError",
    "WatchClosedError",
    "WatchError",
    "WatchTimeoutError",
    "as_api_error",
    "error_in",
]

_EXPIRED_REASONS = frozenset({"Expired", "Gone"})
_TOO_LARGE_CAUSE = "ResourceVersionTooLarge"
_TOO_LARGE_MESSAGE = "Too large resource version"
_MAX_MESSAGE = 16384
"""The most characters of `reason` and `message`."""
_MAX_TEXT = 1024
"""The most characters of an error as text."""


DEFAULT_MAX_RETRY_AFTER = 300.0
"""Upper bound on Retry-After, in seconds. API servers ask for 30 at most."""


MAX_MESSAGE = 1024
"""The most characters of a server's message that are kept."""
_MAX_WORD = 256  # characters of a reason or name; Kubernetes' own have at most 253
_MAX_CAUSES = 16
_MAX_STATUS_CODE = 2**31 - 1


class WatchError(Exception):
    """The base class of the errors of the `watch` package."""


class ApiError(WatchError):
    """A Kubernetes API server answered a request, or ended a watch, with a failure.

    The arguments are attributes of the error.

    Args:
        status: the HTTP status code, or the `code` of the `Status` object; 0 where the server sent neither.
        reason: the machine-readable reason of the `Status` ("Expired", "Forbidden", ...), or "".
        message: the human-readable message of the `Status`, or "".
        retry_after: seconds that the server asks to wait before a retry; None where it does not ask.
        details: the `details` of the `Status`, in API form; None where there are none.

    Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
    """

    def __init__(
        self,
        status: int,
        reason: str = "",
        message: str = "",
        retry_after: float | None = None,
        *,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        # A proxy or server may repeat the request's credentials.
        reason, message = without_secrets(reason[:_MAX_MESSAGE]), without_secrets(message[:_MAX_MESSAGE])
        super().__init__(status, reason, message, retry_after)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.details = details

    def __str__(self) -> str:
        parts = [str(part) for part in (self.status or "", self.reason) if part]
        head = " ".join(parts) or "API error"
        return printable(f"{head}: {self.message}" if self.message else head, _MAX_TEXT)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_api_error, (self.status, self.reason, self.message, self.retry_after, self.details)

    @classmethod
    def from_status(cls, status: Any, *, http_status: int = 0, retry_after: float | None = None) -> ApiError:
        """Converts a `Status` object to an error.

        A server may send megabytes, and the error may be kept and logged for long. So the message is cut to 1,024 characters
        and the reason to 256. Of the details, only name, kind, uid, group, retryAfterSeconds and the first 16 causes are kept,
        and their texts are cut too.

        Args:
            status: decoded JSON, normally a mapping of kind Status. Fields of an unexpected type are ignored.
            http_status: the HTTP status code of the answer, used where the Status has no code.
            retry_after: seconds from the Retry-After header; None reads `details.retryAfterSeconds` instead.
        """
        fields: Mapping[str, Any] = status if isinstance(status, Mapping) else {}
        code = fields.get("code")
        reason = fields.get("reason")
        message = fields.get("message")
        details = _bounded_details(fields.get("details"))
        if retry_after is None and details is not None:
            seconds = details.get("retryAfterSeconds")
            if isinstance(seconds, (int, float)) and not isinstance(seconds, bool):
                retry_after = parse_retry_after(seconds) or None
        return cls(
            code if type(code) is int and 0 < code <= _MAX_STATUS_CODE else http_status,
            _cut(reason),
            _cut(message, MAX_MESSAGE),
            retry_after,
            details=details,
        )

    def to_status(self) -> dict[str, Any]:
        """Returns the error as a `Status` object in API form."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.status,
        }
        if self.details is not None:
            status["details"] = dict(self.details)
        if self.retry_after is not None:
            # A reader of the Status cannot see the Retry-After header.
            status["details"] = {**status.get("details", {}), "retryAfterSeconds": math.ceil(self.retry_after)}
        return status

    @property
    def causes(self) -> list[Mapping[str, Any]]:
        """The `causes` in the details that are mappings, each with a "reason", a "message" or the like."""
        causes = self.details.get("causes") if self.details is not None else None
        return [cause for cause in causes if isinstance(cause, Mapping)] if isinstance(causes, list) else []

    @property
    def is_expired(self) -> bool:
        """Whether the server's history does not reach back to the requested resourceVersion or continue token (410)."""
        return self.status == 410 or self.reason in _EXPIRED_REASONS

    @property
    def is_too_large_resource_version(self) -> bool:
        """Whether the requested resourceVersion is newer than what the server has seen.

        Old servers report it in the message only. Source: k8s.io/apiserver storage.NewTooLargeResourceVersionError.
        """
        if self.reason != "Timeout" and self.status != 504:
            return False
        for cause in self.causes:
            if _TOO_LARGE_CAUSE in (cause.get("reason"), cause.get("type")):
                return True
            if _TOO_LARGE_MESSAGE in str(cause.get("message")):
                return True
        return _TOO_LARGE_MESSAGE in self.message

    @property
    def is_too_many_requests(self) -> bool:
        """Whether the server refused because of too many requests (429)."""
        return self.status == 429 or self.reason == "TooManyRequests"


def as_api_error(error: BaseException) -> ApiError | None:
    """Returns the server's answer that an exception stands for, or None where it stands for none.

    An `ApiError` is returned as it is. The official client's `ApiException` is recognised by its attributes `status`,
    `reason`, `body` and `headers`, so that this package need not import that client.
    """
    if isinstance(error, ApiError):
        return error
    status = getattr(error, "status", None)
    if not isinstance(status, int) or not hasattr(error, "body") or not hasattr(error, "reason"):
        return None
    retry_after = _retry_after_header(getattr(error, "headers", None))
    answer = ApiError.from_status(_decode_body(error.body), http_status=status, retry_after=retry_after)
    if not answer.reason and not answer.message and isinstance(error.reason, str):
        answer = ApiError(answer.status, _cut(error.reason), "", answer.retry_after, details=answer.details)
    return answer


def error_in(obj: Any) -> ApiError | None:
    """Reads the object of an ERROR event.

    Args:
        obj: a `Status` in API form, the official client's `V1Status`, or an exception.

    Returns:
        The error that it describes; None for any other object.
    """
    if isinstance(obj, BaseException):
        return as_api_error(obj)
    if isinstance(obj, Mapping):
        return ApiError.from_status(obj)
    fields = {name: getattr(obj, name, None) for name in ("code", "reason", "message", "details")}
    if all(value is None for value in fields.values()):
        return None
    if not isinstance(fields["details"], Mapping):
        fields["details"] = {"retryAfterSeconds": getattr(fields["details"], "retry_after_seconds", None)}
    return ApiError.from_status(fields)


def _cut(text: Any, most: int = _MAX_WORD) -> str:
    """Returns the first characters of a text; "" for a value that is not text."""
    if not isinstance(text, str):
        return ""
    return text if len(text) <= most else text[:most] + "..."


def _bounded_details(details: Any) -> dict[str, Any] | None:
    """Copies the known fields of a `Status`'s details, with bounds; None if the details are not a mapping."""
    if not isinstance(details, Mapping):
        return None
    kept: dict[str, Any] = {
        name: text for name in ("name", "kind", "uid", "group") if (text := _cut(details.get(name)))
    }
    seconds = details.get("retryAfterSeconds")
    if isinstance(seconds, (int, float)) and parse_retry_after(seconds) is not None:
        kept["retryAfterSeconds"] = seconds
    causes = details.get("causes")
    if isinstance(causes, list):
        kept["causes"] = [_bounded_cause(cause) for cause in causes[:_MAX_CAUSES] if isinstance(cause, Mapping)]
    return kept


def _bounded_cause(cause: Mapping[str, Any]) -> dict[str, str]:
    bounds = (("reason", _MAX_WORD), ("type", _MAX_WORD), ("field", _MAX_WORD), ("message", MAX_MESSAGE))
    return {name: text for name, most in bounds if (text := _cut(cause.get(name), most))}


def parse_retry_after(value: Any) -> float | None:
    """Reads a Retry-After header in seconds; None for a missing header, a date, more than a day or any other value."""
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds < 86400 else None


def _retry_after_header(headers: Any) -> float | None:
    """Reads Retry-After from headers, which may be case-sensitive."""
    get = getattr(headers, "get", None)
    return parse_retry_after(get("Retry-After", get("retry-after"))) if callable(get) else None


def _decode_body(body: Any) -> Any:
    try:
        return json.loads(body)
    except (TypeError, ValueError, RecursionError):
        return None


def _rebuild_api_error(
    status: int, reason: str, message: str, retry_after: float | None, details: Mapping[str, Any] | None
) -> ApiError:
    return ApiError(status, reason, message, retry_after, details=details)


class ChannelClosedError(WatchError):
    """A channel is closed: it accepts no items, and where this is raised by a `get`, it is empty too."""


class ChannelFullError(WatchError, queue.Full):
    """A buffer is full, and its producer must not wait."""


class BroadcasterShutdownError(WatchError):
    """A broadcaster was used after its shutdown."""


class RequestCancelledError(WatchError, ConnectionError):
    """A request was cancelled because its owner was stopped."""


class _LastEventError(WatchError):
    """An error with `last_event`: the last event seen before it, or None."""

    def __init__(self, message: str, *, last_event: Any = None) -> None:
        super().__init__(message)
        self.last_event = last_event


class WatchClosedError(_LastEventError):
    """A watch has ended. `last_event` is the last event that `until` saw, or None."""


class WatchTimeoutError(_LastEventError, TimeoutError):
    """Conditions on a watch did not come true in time. `last_event` is the last event seen, or None."""


class ConditionError(_LastEventError):
    """A condition raised an exception, which is the cause. `last_event` is the event that it was called with."""
