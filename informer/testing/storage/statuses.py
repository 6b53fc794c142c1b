"""The errors that the server answers with, and their Status bodies.

Source: apimachinery pkg/api/errors. The messages are those of kube-apiserver 1.37.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from informer.listwatch.resources import Resource
from watch.errors import ApiError

__all__ = [
    "Cause",
    "ExpiredContinueError",
    "already_exists",
    "bad_request",
    "conflict",
    "denied",
    "expired",
    "forbidden",
    "generic",
    "invalid",
    "method_not_allowed",
    "not_found",
    "page_not_found",
    "shown",
    "status_of",
    "success",
    "too_large_resource_version",
    "unauthorized",
    "unreadable",
    "wrong_patch",
]

# Reason and message of a code without a more specific error.
_GENERIC = {
    404: ("NotFound", "the server could not find the requested resource"),
    405: ("MethodNotAllowed", "the server does not allow this method on the requested resource"),
    406: ("NotAcceptable", "the server was unable to respond with a content type that the client supports"),
    409: ("Conflict", "the server reported a conflict"),
    413: ("RequestEntityTooLarge", "the request is too large"),
    415: ("UnsupportedMediaType", "the body of the request was in an unknown format"),
    422: ("Invalid", "the server rejected our request due to an error in our request"),
    429: ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
    500: ("InternalError", "an internal error occurred"),
    502: ("InternalError", "an error on the server has prevented the request from succeeding"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "the server was unable to return a response in the time allotted"),
    410: ("Expired", "The resourceVersion for the provided watch is too old."),
    400: ("BadRequest", "the server rejected our request for an unknown reason"),
    401: ("Unauthorized", "Unauthorized"),
    403: ("Forbidden", "forbidden"),
}


class ExpiredContinueError(ApiError):
    """410 for a continue token that is too old; `continue_` is a token for continuing with the newest state."""

    def __init__(self, message: str, continue_: str) -> None:
        super().__init__(410, "Expired", message)
        self.continue_ = continue_


def status_of(error: ApiError) -> dict[str, Any]:
    """Returns the Status body of an error."""
    status: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    if isinstance(error, ExpiredContinueError):
        status["metadata"] = {"continue": error.continue_}
    if error.message:
        status["message"] = error.message
    if error.reason:
        status["reason"] = error.reason
    details = None if error.details is None else dict(error.details)
    if error.retry_after:
        details = {**(details or {}), "retryAfterSeconds": math.ceil(error.retry_after)}
    if details is not None:
        status["details"] = details
    status["code"] = error.status
    return status


def success(resource: Resource, name: str, uid: str) -> dict[str, Any]:
    """Returns the Status body of a successful deletion."""
    details = {**_details(resource, name), "uid": uid}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


class Cause(NamedTuple):
    """Why a field is not valid: one cause in the details of a 422."""

    reason: str
    message: str
    field: str

    @classmethod
    def required(cls, field: str, message: str) -> Cause:
        """A required field is missing."""
        return cls("FieldValueRequired", f"Required value: {message}" if message else "Required value", field)

    @classmethod
    def bad(cls, field: str, value: str, message: str) -> Cause:
        """A field has an invalid value; `value` is that value as JSON."""
        return cls("FieldValueInvalid", f"Invalid value: {value}: {message}", field)

    @classmethod
    def forbidden(cls, field: str, message: str) -> Cause:
        """A field must not be set."""
        return cls("FieldValueForbidden", f"Forbidden: {message}", field)

    @classmethod
    def duplicate(cls, field: str, value: str) -> Cause:
        """A value is there twice; `value` is that value as JSON."""
        return cls("FieldValueDuplicate", f"Duplicate value: {value}", field)

    @classmethod
    def not_found(cls, field: str, value: str) -> Cause:
        """A field names something that does not exist; `value` is the name as JSON."""
        return cls("FieldValueNotFound", f"Not found: {value}", field)

    @classmethod
    def unsupported(cls, field: str, value: str, supported: Sequence[str]) -> Cause:
        """A field has a value that is not one of the supported ones."""
        listed = ", ".join(f'"{each}"' for each in supported)
        return cls("FieldValueNotSupported", f'Unsupported value: "{value}": supported values: {listed}', field)


def shown(value: Any) -> str:
    """Returns a value as it stands in a message."""
    return msgspec.json.encode(value, order="sorted").decode()


def generic(code: int, message: str | None = None, *, retry_after: float | None = None) -> ApiError:
    """Returns an error with a code's usual reason and message, or with the given message."""
    reason, text = _GENERIC.get(code, ("InternalError" if code >= 500 else "BadRequest", f"{code}"))
    return ApiError(code, reason, text if message is None else message, retry_after, details={})


def bad_request(message: str) -> ApiError:
    """400: the request is malformed."""
    return ApiError(400, "BadRequest", message)


def unreadable(resource: Resource, why: str) -> ApiError:
    """400: a field of an object has a wrong type, or is not known."""
    kind = resource.kind
    return bad_request(f'{kind} in version "{resource.version}" cannot be handled as a {kind}: {why}')


def unauthorized() -> ApiError:
    """401: the token is missing or unknown."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(user: str, verb: str, resource: Resource, name: str, namespace: str, subresource: str = "") -> ApiError:
    """403: the user is not allowed to do this."""
    plural = f"{resource.plural}/{subresource}" if subresource else resource.plural
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    why = f'User "{user}" cannot {verb} resource "{plural}" in API group "{resource.group}" {where}'
    return denied(resource, name, why)


def denied(resource: Resource, name: str, why: str, causes: Sequence[Mapping[str, str]] = ()) -> ApiError:
    """403: the object must not be written now."""
    which = f'{resource.name} "{name}"' if name else resource.name
    return _refused(403, "Forbidden", resource, name, f"{which} is forbidden: {why}", causes)


def not_found(resource: Resource, name: str) -> ApiError:
    """404: the object does not exist."""
    return _refused(404, "NotFound", resource, name, f'{resource.name} "{name}" not found')


def page_not_found() -> ApiError:
    """404: the server does not serve this path."""
    return generic(404)


def method_not_allowed() -> ApiError:
    """405: the path does not support the method."""
    return generic(405)


def already_exists(resource: Resource, name: str) -> ApiError:
    """409: an object of this name exists already."""
    return _refused(409, "AlreadyExists", resource, name, f'{resource.name} "{name}" already exists')


def conflict(resource: Resource, name: str, message: str | None = None) -> ApiError:
    """409: the object has changed since the writer read it."""
    text = message or "the object has been modified; please apply your changes to the latest version and try again"
    text = f'Operation cannot be fulfilled on {resource.name} "{name}": {text}'
    return _refused(409, "Conflict", resource, name, text)


def wrong_patch(changed: Mapping[str, Any] | str, why: str) -> ApiError:
    """422: what a patch makes of an object cannot be decoded."""
    text = changed if isinstance(changed, str) else msgspec.json.encode(changed).decode()
    return invalid("", "", "", [Cause.bad("patch", msgspec.json.encode(text).decode(), why)])


def expired(message: str) -> ApiError:
    """410: the resourceVersion is older than the history."""
    return ApiError(410, "Expired", message)


def invalid(group: str, kind: str, name: str, causes: Sequence[Cause]) -> ApiError:
    """422: fields of the object are not valid."""
    texts = [f"{field}: {message}" for _, message, field in causes]
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details: dict[str, Any] = {"name": name} if name else {}
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    details["causes"] = [{"reason": reason, "message": message, "field": field} for reason, message, field in causes]
    full = f"{kind}.{group}" if group else kind
    return ApiError(422, "Invalid", f'{full} "{name}" is invalid: {text}', details=details)


def too_large_resource_version(wanted: int, current: int) -> ApiError:
    """504: the resourceVersion does not exist yet.

    Source: apiserver pkg/storage/errors.go, NewTooLargeResourceVersionError.
    """
    return ApiError(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {wanted}, current: {current}",
        1,
        details={"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]},
    )


def _refused(
    code: int, reason: str, resource: Resource, name: str, message: str, causes: Sequence[Mapping[str, str]] = ()
) -> ApiError:
    details = {**_details(resource, name), **({"causes": causes} if causes else {})}
    return ApiError(code, reason, message, details=details)


def _details(resource: Resource, name: str) -> dict[str, Any]:
    details = {"name": name} if name else {}
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.plural
    return details
