"""Decodes the bodies of requests, in JSON, YAML and protobuf."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from informer.protobuf.kinds import DELETE_OPTIONS, kind_named
from informer.protobuf.plan import UnknownFieldError, plan_for
from informer.testing.http.messages import Request
from informer.testing.storage.json_values import decode_object_json
from informer.testing.storage.object_checks import not_registered
from informer.testing.storage.protobuf_representations import PROTOBUF
from informer.testing.storage.statuses import bad_request
from watch.errors import ApiError
from watch.protobuf_wire import open_envelope

__all__ = ["decode_object", "decode_yaml", "media_type"]

_YAML = "application/yaml"
_ACCEPTED = f"application/json, {_YAML}, {PROTOBUF}"


def media_type(request: Request) -> str:
    """Returns the media type of a request's body, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def decode_yaml(body: bytes) -> Any:
    """Decodes the first document of a YAML stream, which may be JSON, to the types that JSON has.

    Raises:
        ValueError: the body is not YAML, has no form in JSON, or is nested more deeply than the server can handle.
    """
    with contextlib.suppress(ValueError):
        return decode_object_json(body)
    import yaml

    try:
        value = next(yaml.safe_load_all(body), None)
        return decode_object_json(json.dumps(value, allow_nan=False, default=str).encode())
    except (yaml.YAMLError, TypeError, RecursionError) as error:
        raise ValueError(f"yaml: {error}") from error


def decode_object(request: Request, kind: str, *, null_is_empty: bool = False) -> dict[str, Any]:
    """Returns the object in a request's body.

    Args:
        request: the request.
        kind: the expected kind, which the error names.
        null_is_empty: take the body "null" for an object without fields.

    Raises:
        ApiError: 400, the body is not an object; 415, its media type is neither JSON, YAML nor protobuf.
    """
    media = media_type(request)
    if media not in ("", "application/json", _YAML, PROTOBUF, "*/*"):
        message = f"the body of the request was in an unknown format - accepted media types include: {_ACCEPTED}"
        raise ApiError(415, "UnsupportedMediaType", message)
    unrecognized = f"the object provided is unrecognized (must be of type {kind}): "
    if media == PROTOBUF:
        return _decode_protobuf(request.body, unrecognized)
    try:
        obj = (decode_yaml if media == _YAML else decode_object_json)(request.body)
    except ValueError as error:
        why = "unexpected end of JSON input" if "truncated" in str(error) else str(error)
        shown = request.body[:200].decode(errors="replace") or "<empty>"
        message = f"{unrecognized}couldn't get version/kind; json parse error: {why} ({shown})"
        raise bad_request(message) from error
    if obj is None and null_is_empty:
        return {}
    if not isinstance(obj, dict):
        raise bad_request(f"{unrecognized}couldn't get version/kind; json parse error: it is not a JSON object")
    return obj


def _decode_protobuf(body: bytes, unrecognized: str) -> dict[str, Any]:
    try:
        envelope = open_envelope(body)
    except ValueError as error:
        raise bad_request(f"{unrecognized}{error} ({body[:200].hex() or '<empty>'})") from error
    api_version, kind = envelope.api_version, envelope.kind
    known = kind_named(api_version, kind)
    # Every API group registers DeleteOptions.
    message = DELETE_OPTIONS if kind == "DeleteOptions" else known and known.message
    if message is None:
        raise bad_request(unrecognized + not_registered(api_version, kind))
    try:
        obj = plan_for(message).read(body, envelope.start, envelope.end)
    except (ValueError, RecursionError) as error:
        # The real server drops fields that it does not know. A test is better served by a refusal.
        why = error if isinstance(error, UnknownFieldError) else "unexpected EOF"
        raise bad_request(f'{kind} in version "{api_version}" cannot be handled: {why}') from error
    return {"kind": kind, "apiVersion": api_version, **obj}
