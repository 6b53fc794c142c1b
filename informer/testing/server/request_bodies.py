"""Decodes the bodies of requests (objects, patches), and the options of a deletion from body or query.

Source: apiserver pkg/endpoints/handlers/delete.go; apimachinery pkg/apis/meta/v1/conversion.go.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from informer.protobuf.kinds import DELETE_OPTIONS, kind_named
from informer.protobuf.plan import UnknownFieldError, plan_for
from informer.testing.http.messages import Request
from informer.testing.storage.deep_objects import decode_object_json
from informer.testing.storage.object_checks import not_registered
from informer.testing.storage.protobuf_representations import PROTOBUF
from informer.testing.storage.statuses import Cause, bad_request, invalid
from watch.deep_json import TOO_DEEP
from watch.errors import ApiError
from watch.protobuf_wire import open_envelope

__all__ = [
    "check_depth",
    "decode_json",
    "decode_object",
    "decode_yaml",
    "media_type",
    "read_delete_options",
    "unsupported_dry_run",
]

# The depth of what is not JSON, which has no undecoded parts.
_MAX_DEPTH = 200
_TOO_DEEP = "exceeded max depth"
# A pair of surrogates, a single one, or another escape.
_HEX = "[0-9a-fA-F]{2}"
_ESCAPES = re.compile(rf"\\u[dD][89abAB]{_HEX}\\u[dD][c-fC-F]{_HEX}|(\\u[dD][89a-fA-F]{_HEX})|\\.", re.DOTALL)

# Go puts one replacement character in place of each byte; Python's own handler puts one for several.
codecs.register_error("replace-each-byte", lambda error: ("\ufffd" * (error.end - error.start), error.end))  # type: ignore[attr-defined]


class _Preconditions(msgspec.Struct, omit_defaults=True):
    uid: str | None = None
    resourceVersion: str | None = None  # noqa: N815


class _DeleteOptions(msgspec.Struct, omit_defaults=True):
    """The types of a DeleteOptions object's fields."""

    gracePeriodSeconds: int | None = None  # noqa: N815
    preconditions: _Preconditions | None = None
    orphanDependents: bool | None = None  # noqa: N815
    propagationPolicy: str | None = None  # noqa: N815
    dryRun: list[str] | None = None  # noqa: N815
    ignoreStoreReadErrorWithClusterBreakingPotential: bool | None = None  # noqa: N815


def decode_json(body: bytes) -> Any:
    """Decodes JSON, as `decode_object_json`. Invalid UTF-8 and single surrogates become U+FFFD, as in Go.

    Raises:
        ValueError: the body is not JSON, or is nested more deeply than an API server accepts.
    """
    try:
        return decode_object_json(body)
    except ValueError as error:
        if TOO_DEEP in str(error):
            raise ValueError(_TOO_DEEP) from None
        text = body.decode(errors="replace-each-byte")
        mended = _ESCAPES.sub(lambda found: "\\ufffd" if found[1] else found[0], text).encode()
        if mended == body:
            raise ValueError(str(error)) from None
        try:
            return decode_object_json(mended)
        except ValueError:
            raise error from None


def decode_yaml(body: bytes) -> Any:
    """Decodes the first document of a YAML stream, which may be JSON, to the types that JSON has.

    Raises:
        ValueError: the body is not YAML, has no form in JSON, or is nested more deeply than the server can handle.
    """
    with contextlib.suppress(ValueError):
        return decode_json(body)
    import yaml

    try:
        value = next(yaml.safe_load_all(body), None)
        check_depth(value)
        return json.loads(json.dumps(value, allow_nan=False, default=str))
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except (yaml.YAMLError, TypeError) as error:
        raise ValueError(f"yaml: {error}") from error


def check_depth(value: Any) -> None:
    """Raises ValueError if a decoded value is nested more deeply than the server can handle."""
    level = [value]
    for _ in range(_MAX_DEPTH + 1):
        containers = [each for each in level if isinstance(each, (dict, list))]
        if not containers:
            return
        level = [each for one in containers for each in (one.values() if isinstance(one, dict) else one)]
    raise ValueError(_TOO_DEEP)


def media_type(request: Request) -> str:
    """Returns the media type of a request's body, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _reworded(error: ValueError) -> str:
    return "unexpected end of JSON input" if "truncated" in str(error) else str(error)


def decode_object(request: Request, kind: str, *, null_is_empty: bool = False) -> dict[str, Any]:
    """Returns the object in a request's body.

    Args:
        request: the request.
        kind: the expected kind, which the error names; "" leaves it out.
        null_is_empty: take the body "null" for an object without fields.

    Raises:
        ApiError: 400, the body is not an object; 415, its media type is neither JSON, YAML nor protobuf.
    """
    unrecognized = f"the object provided is unrecognized (must be of type {kind}): " if kind else ""
    media = media_type(request)
    if media == PROTOBUF:
        return _decode_protobuf(request.body, kind)
    if media not in ("", "application/json", "application/yaml", "*/*"):
        message = "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf"  # noqa: E501
        raise ApiError(415, "UnsupportedMediaType", message)
    try:
        obj = (decode_yaml if media == "application/yaml" else decode_json)(request.body)
    except ValueError as error:
        shown = f" ({request.body[:200].decode(errors='replace') or '<empty>'})" if kind else ""
        raise bad_request(
            f"{unrecognized}couldn't get version/kind; json parse error: {_reworded(error)}{shown}"
        ) from error
    if obj is None and null_is_empty:
        return {}
    if not isinstance(obj, dict):
        raise bad_request(f"{unrecognized}couldn't get version/kind; json parse error: it is not a JSON object")
    return obj


def _decode_protobuf(body: bytes, kind: str) -> dict[str, Any]:
    unrecognized = f"the object provided is unrecognized (must be of type {kind}): " if kind else ""
    try:
        envelope = open_envelope(body)
    except ValueError as error:
        raise bad_request(f"{unrecognized}{error} ({body[:200].hex() or '<empty>'})") from error
    api_version, name = envelope.api_version, envelope.kind
    message = _message_named(api_version, name)
    if message is None:
        wanted = f"{name} in version {json.dumps(api_version)} cannot be handled as a {kind}: " if kind else ""
        raise bad_request(f"{wanted}{not_registered(api_version, name)}")
    try:
        obj = plan_for(message).read(body, envelope.start, envelope.end)
    except UnknownFieldError as error:
        # The real server drops what it does not know. A test is better served by a refusal.
        raise bad_request(f"{name} in version {json.dumps(api_version)} cannot be handled: {error}") from error
    except (ValueError, RecursionError) as error:
        raise bad_request(f"{name} in version {json.dumps(api_version)} cannot be handled: unexpected EOF") from error
    return {"kind": name, "apiVersion": api_version, **obj}


def _message_named(api_version: str, kind: str) -> str | None:
    if kind == "DeleteOptions":  # every API group registers it
        return DELETE_OPTIONS
    known = kind_named(api_version, kind)
    return None if known is None else known.message


def read_delete_options(request: Request) -> Mapping[str, Any]:
    """Returns the options of a deletion: those in the body if there is one, otherwise those in the query.

    Raises:
        ApiError: the options are not valid.
    """
    options = _options_in_body(request) if request.body else _options_in_query(request)
    dry_run = options.get("dryRun") or []
    if any(each != "All" for each in dry_run):
        raise unsupported_dry_run("DeleteOptions", dry_run)
    return options


def _options_in_body(request: Request) -> Mapping[str, Any]:
    obj = decode_object(request, "", null_is_empty=True)
    if obj.get("kind") not in (None, "", "DeleteOptions"):
        raise bad_request(not_registered(str(obj.get("apiVersion", "v1")), str(obj["kind"])))
    try:
        options: dict[str, Any] = msgspec.to_builtins(msgspec.convert(obj, _DeleteOptions))
    except msgspec.ValidationError as error:
        raise bad_request(f"json: cannot unmarshal DeleteOptions: {error}") from error
    return options


def _options_in_query(request: Request) -> Mapping[str, Any]:
    query = request.query
    options: dict[str, Any] = {}
    if "gracePeriodSeconds" in query:
        try:
            options["gracePeriodSeconds"] = int(query["gracePeriodSeconds"])
        except ValueError as error:
            text = json.dumps(query["gracePeriodSeconds"])
            raise bad_request(f"strconv.ParseInt: parsing {text}: invalid syntax") from error
    for name in ("orphanDependents", "ignoreStoreReadErrorWithClusterBreakingPotential"):
        if name in query:
            options[name] = query[name].lower() not in ("false", "0")
    if "propagationPolicy" in query:
        options["propagationPolicy"] = query["propagationPolicy"]
    if query.get("uid"):
        options["preconditions"] = {"uid": query["uid"]}
    if dry_run := request.values("dryRun"):
        options["dryRun"] = dry_run
    return options


def unsupported_dry_run(kind: str, values: list[str]) -> ApiError:
    """Returns the refusal of an unknown value of dryRun, for options of a kind."""
    listed = ",".join(json.dumps(each) for each in values)
    cause = Cause("FieldValueNotSupported", f'Unsupported value: [{listed}]: supported values: "All"', "dryRun")
    return invalid("meta.k8s.io", kind, "", [cause])
