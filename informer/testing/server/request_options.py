"""Reads the options of requests that write, from query and headers; those of a deletion also from its body.

Source: apiserver pkg/endpoints/handlers/create.go, update.go, patch.go, delete.go.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from informer.testing.http.messages import Request
from informer.testing.server.request_bodies import decode_object, media_type
from informer.testing.storage.object_checks import not_registered
from informer.testing.storage.statuses import Cause, bad_request, invalid
from informer.testing.storage.write import User, Write

__all__ = ["read_delete_options", "read_write"]

_KINDS = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions"}
_VALIDATIONS = ("", "Ignore", "Strict", "Warn")
_MAX_MANAGER_BYTES = 128


class _Preconditions(msgspec.Struct, omit_defaults=True, rename="camel"):
    uid: str | None = None
    resource_version: str | None = None


class _DeleteOptions(msgspec.Struct, omit_defaults=True, rename="camel"):
    """The types of a DeleteOptions object's fields."""

    grace_period_seconds: int | None = None
    preconditions: _Preconditions | None = None
    orphan_dependents: bool | None = None
    propagation_policy: str | None = None
    dry_run: list[str] | None = None
    ignore_store_read_error_with_cluster_breaking_potential: bool | None = None


def read_write(request: Request, user: User) -> Write:
    """Returns the options of a user's request.

    Raises:
        ApiError: 422, an option has an unknown value.
    """
    kind, query, dry_run = _KINDS[request.method], request.query, request.values("dryRun")
    _check_dry_run(kind, dry_run)
    applies = media_type(request) == "application/apply-patch+yaml"
    manager, validation = query.get("fieldManager", ""), query.get("fieldValidation", "")
    causes = []
    if request.method == "PATCH" and not applies and "force" in query:
        causes.append(Cause.forbidden("force", "may not be specified for non-apply patch"))
    if applies and not manager:
        causes.append(Cause.required("fieldManager", "is required for apply patch"))
    if len(manager.encode()) > _MAX_MANAGER_BYTES:
        text = f"Too long: may not be more than {_MAX_MANAGER_BYTES} bytes"
        causes.append(Cause("FieldValueTooLong", text, "fieldManager"))
    if validation not in _VALIDATIONS:
        causes.append(Cause.unsupported("fieldValidation", validation, _VALIDATIONS))
    if causes:
        raise invalid("meta.k8s.io", kind, "", causes)
    media = request.headers.get("content-type", "")
    find_duplicates = validation != "Ignore" and "protobuf" not in media
    options = {name: query[name] for name in ("fieldManager", "fieldValidation") if query.get(name)}
    agent = request.headers.get("user-agent", "").partition("/")[0]
    return Write(
        user=user,
        dry_run=bool(dry_run),
        patches=request.method == "PATCH",
        applies=applies,
        force=query.get("force", "false").lower() not in ("false", "0"),
        # Without a field manager, the first part of the User-Agent names it.
        field_manager=manager or agent[:_MAX_MANAGER_BYTES],
        options={**({"dryRun": dry_run} if dry_run else {}), **options},
        field_validation=validation or "Warn",
        duplicates=duplicate_fields(request.body, media) if find_duplicates else (),
    )


def duplicate_fields(body: bytes, media: str) -> list[str]:
    """Returns what the real server says about each key that occurs twice.

    Args:
        body: the body of a request; one that is not JSON has no such keys.
        media: its media type.
    """
    with contextlib.suppress(ValueError, RecursionError):
        # A key that is dropped takes its quotes with it. Only then is it worth it to look for the key.
        if msgspec.json.encode(msgspec.json.decode(body)).count(b'"') == body.count(b'"'):
            return []
        prefix = "json patch " if "json-patch" in media else ""
        return [
            f'{prefix}duplicate field "{path}"' for path in _in_json(json.loads(body, object_pairs_hook=_Pairs), "")
        ]
    return []


class _Pairs(list[Any]):
    """The keys and values of a JSON object, as they come."""


def _in_json(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Pairs):
        seen = set()
        for key, each in value:
            inner = f"{path}.{key}" if path else key
            if key in seen:
                yield inner
            seen.add(key)
            yield from _in_json(each, inner)
    elif isinstance(value, list):
        for i, each in enumerate(value):
            yield from _in_json(each, f"{path}[{i}]")


def read_delete_options(request: Request) -> Mapping[str, Any]:
    """Returns the options of a deletion: those in the body if there is one, otherwise those in the query.

    Raises:
        ApiError: the options are not valid.
    """
    if request.body:
        given = decode_object(request, "DeleteOptions", null_is_empty=True)
        if given.get("kind") not in (None, "", "DeleteOptions"):
            raise bad_request(not_registered(str(given.get("apiVersion", "v1")), str(given["kind"])))
    else:
        given = {**request.query, "dryRun": request.values("dryRun") or None}
        if request.query.get("uid"):
            given["preconditions"] = {"uid": request.query["uid"]}
    try:
        read = msgspec.convert(given, _DeleteOptions, strict=bool(request.body))
    except msgspec.ValidationError as error:
        raise bad_request(f"json: cannot unmarshal DeleteOptions: {error}") from error
    _check_dry_run("DeleteOptions", read.dry_run or [])
    options: dict[str, Any] = msgspec.to_builtins(read)
    return options


def _check_dry_run(kind: str, values: list[str]) -> None:
    if any(each != "All" for each in values):
        listed = ",".join(json.dumps(each) for each in values)
        cause = Cause("FieldValueNotSupported", f'Unsupported value: [{listed}]: supported values: "All"', "dryRun")
        raise invalid("meta.k8s.io", kind, "", [cause])
