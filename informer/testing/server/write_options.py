"""Reads the options of a create, update or patch from the query and headers of its request.

Source: apiserver pkg/endpoints/handlers/create.go, update.go, patch.go.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import msgspec

from informer.testing.http.messages import Request
from informer.testing.server.request_bodies import media_type, unsupported_dry_run
from informer.testing.storage.statuses import Cause, invalid
from informer.testing.storage.write import User, Write

__all__ = ["read_write"]

_KINDS = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions"}
_MAX_MANAGER_BYTES = 128


_VALIDATIONS = ("", "Ignore", "Strict", "Warn")


def read_write(request: Request, user: User) -> Write:
    """Returns the options of a user's request.

    Raises:
        ApiError: 422, an option has an unknown value.
    """
    dry_run = request.values("dryRun")
    if any(each != "All" for each in dry_run):
        raise unsupported_dry_run(_KINDS[request.method], dry_run)
    applies = media_type(request) == "application/apply-patch+yaml"
    _check_manager(request, applies=applies)
    validation = request.query.get("fieldValidation", "")
    if validation not in _VALIDATIONS:
        cause = Cause.unsupported("fieldValidation", validation, _VALIDATIONS)
        raise invalid("meta.k8s.io", _KINDS[request.method], "", [cause])
    media = request.headers.get("content-type", "")
    find_duplicates = validation != "Ignore" and "protobuf" not in media
    options = {name: request.query[name] for name in ("fieldManager", "fieldValidation") if request.query.get(name)}
    agent = request.headers.get("user-agent", "").partition("/")[0]
    return Write(
        user=user,
        dry_run=bool(dry_run),
        patches=request.method == "PATCH",
        applies=applies,
        force=request.query.get("force", "false").lower() not in ("false", "0"),
        # Without a field manager, the first part of the User-Agent names it.
        field_manager=request.query.get("fieldManager") or agent[:_MAX_MANAGER_BYTES],
        options={**({"dryRun": dry_run} if dry_run else {}), **options},
        field_validation=validation or "Warn",
        duplicates=duplicate_fields(request.body, media) if find_duplicates else (),
    )


def _check_manager(request: Request, *, applies: bool) -> None:
    manager, causes = request.query.get("fieldManager", ""), []
    if request.method == "PATCH" and not applies and "force" in request.query:
        causes.append(Cause.forbidden("force", "may not be specified for non-apply patch"))
    if applies and not manager:
        causes.append(Cause.required("fieldManager", "is required for apply patch"))
    if len(manager.encode()) > _MAX_MANAGER_BYTES:
        text = f"Too long: may not be more than {_MAX_MANAGER_BYTES} bytes"
        causes.append(Cause("FieldValueTooLong", text, "fieldManager"))
    for at, char in enumerate(manager):
        if not char.isprintable():
            shown = json.dumps(manager).replace("\\u00", "\\x")
            text = f"invalid character U+{ord(char):04X} (at position {at})"
            causes.append(Cause.bad("fieldManager", shown, text))
            break
    if causes:
        raise invalid("meta.k8s.io", _KINDS[request.method], "", causes)


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
