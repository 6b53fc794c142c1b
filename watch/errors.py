"""The errors of the `watch` package: one family, facts as attributes.

Comes in: a server's answer or a caller's mistake. Goes out: an exception that tells apart the server's answer
(`ApiError`), a stream or channel that has ended, and a condition that failed.
"""

from __future__ import annotations

import json
import math
import queue
from collections.abc import Mapping
from typing import Any

__all__ = [
    "DEFAULT_MAX_RETRY_AFTER",
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
]

_EXPIRED_REASONS = frozenset({"Expired", "Gone"})
_TOO_LARGE_CAUSE = "ResourceVersionTooLarge"
_TOO_LARGE_MESSAGE = "Too large resource version"


DEFAULT_MAX_RETRY_AFTER = 300.0
"""Seconds of a server's wish that are kept to. API servers ask for 30 at most; more would be an outage of ours."""


class WatchError(Exception):
    """Base of all errors that the `watch` package raises of its own."""


class ApiError(WatchError):
    """A Kubernetes API server answered a request, or ended a watch, with a failure.

    Args:
        status: HTTP status code, or the `code` of a `Status` object; 0 when the server gave none.
        reason: machine-readable reason of the `Status` ("Expired", "Forbidden", ...), "" when it gave none.
        message: the server's words for people.
        retry_after: seconds the server asks to wait before the next try, None when it did not say.
        details: the `details` of the `Status`, as decoded JSON; None when there were none.

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
        super().__init__(status, reason, message, retry_after)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.details = details

    def __str__(self) -> str:
        parts = [str(part) for part in (self.status or "", self.reason) if part]
        head = " ".join(parts) or "API error"
        return f"{head}: {self.message}" if self.message else head

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_api_error, (self.status, self.reason, self.message, self.retry_after, self.details)

    @classmethod
    def from_status(cls, status: Any, *, http_status: int = 0, retry_after: float | None = None) -> ApiError:
        """Reads a `Status` object, however oddly it is shaped.

        Args:
            status: decoded JSON, normally a mapping of kind Status; fields of another type than expected are ignored.
            http_status: HTTP status code of the answer, used where the Status has no code.
            retry_after: seconds from the Retry-After header, which wins over `details.retryAfterSeconds`.
        """
        fields: Mapping[str, Any] = status if isinstance(status, Mapping) else {}
        code = fields.get("code")
        reason = fields.get("reason")
        message = fields.get("message")
        details = fields.get("details")
        if not isinstance(details, Mapping):
            details = None
        if retry_after is None and details is not None:
            seconds = details.get("retryAfterSeconds")
            if isinstance(seconds, (int, float)) and not isinstance(seconds, bool):
                retry_after = parse_retry_after(seconds) or None
        return cls(
            code if isinstance(code, int) and not isinstance(code, bool) and code else http_status,
            reason if isinstance(reason, str) else "",
            message if isinstance(message, str) else "",
            retry_after,
            details=details,
        )

    def to_status(self) -> dict[str, Any]:
        """The error as a `Status` object in API form."""
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
            # Whoever reads the Status has no header to look at.
            status["details"] = {**status.get("details", {}), "retryAfterSeconds": math.ceil(self.retry_after)}
        return status

    @property
    def causes(self) -> list[Mapping[str, Any]]:
        """The causes in its details, each with a "reason", a "message" or the like; what is no such thing is left out."""
        causes = self.details.get("causes") if self.details is not None else None
        return [cause for cause in causes if isinstance(cause, Mapping)] if isinstance(causes, list) else []

    @property
    def is_expired(self) -> bool:
        """Whether the resourceVersion or continue token asked for is gone from the server's history (410)."""
        return self.status == 410 or self.reason in _EXPIRED_REASONS

    @property
    def is_too_large_resource_version(self) -> bool:
        """Whether the resourceVersion asked for is ahead of what the server has seen.

        Source: k8s.io/apiserver storage.NewTooLargeResourceVersionError; old servers say it in the message only.
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
        """Whether the server asks for fewer requests (429)."""
        return self.status == 429 or self.reason == "TooManyRequests"


def as_api_error(error: BaseException) -> ApiError | None:
    """The server's answer that an exception carries, or None if it carries none.

    Takes an `ApiError` as it is, and reads the official client's `ApiException` (known by its `status`, `reason`,
    `body` and `headers`, so that this package need not import that client).
    """
    if isinstance(error, ApiError):
        return error
    status = getattr(error, "status", None)
    if not isinstance(status, int) or not hasattr(error, "body") or not hasattr(error, "reason"):
        return None
    retry_after = _retry_after_header(getattr(error, "headers", None))
    answer = ApiError.from_status(_decode_body(error.body), http_status=status, retry_after=retry_after)
    if not answer.reason and not answer.message and isinstance(error.reason, str):
        answer = ApiError(answer.status, error.reason, "", answer.retry_after, details=answer.details)
    return answer


def parse_retry_after(value: Any) -> float | None:
    """Seconds that a Retry-After header asks for; None for no header, a date, more than a day or anything else."""
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds < 86400 else None


def _retry_after_header(headers: Any) -> float | None:
    """Reads headers, which may or may not tell upper from lower case."""
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
    """A channel is closed: nothing more can be put, or everything accepted has been taken."""


class ChannelFullError(WatchError, queue.Full):
    """A buffer that must not block its producer has no room."""


class BroadcasterShutdownError(WatchError):
    """A broadcaster was used after its shutdown."""


class RequestCancelledError(WatchError, ConnectionError):
    """A request was given up because what asked for it was stopped."""


class _LastEventError(WatchError):
    """Carries the last event seen before the failure."""

    def __init__(self, message: str, *, last_event: Any = None) -> None:
        super().__init__(message)
        self.last_event = last_event


class WatchClosedError(_LastEventError):
    """A watch ended before what was waited for came; `last_event` is the last event seen, or None."""


class WatchTimeoutError(_LastEventError, TimeoutError):
    """What was waited for did not come in time; `last_event` is the last event seen, or None."""


class ConditionError(_LastEventError):
    """A condition raised; its exception is the cause, `last_event` the event it was called with."""
