"""AdmissionReviews: what a webhook is asked, and what its answer says. No I/O.

Source: apiserver pkg/admission/plugin/webhook/request and errors.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from informer.listwatch.resources import Resource
from informer.testing.storage.write import Review
from watch.errors import ApiError

__all__ = ["AdmissionAnswer", "CallError", "internal_error", "read_answer", "rejection", "review_for"]

_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}
_GROUP = "admission.k8s.io"
_INVALID = "received invalid webhook response: "
_SCALE = {"group": "autoscaling", "version": "v1", "kind": "Scale"}


class CallError(Exception):
    """A webhook could not be asked; its failurePolicy decides what follows."""


class AdmissionAnswer(NamedTuple):
    """What a webhook answers."""

    allowed: bool
    result: Mapping[str, Any] | None
    patch: list[Any]
    warnings: list[str]


class _Response(msgspec.Struct):
    uid: str = ""
    allowed: bool = False
    status: dict[str, Any] | None = None
    patch: str | None = None
    patchType: str | None = None  # noqa: N815
    warnings: list[str] | None = None


class _AdmissionReview(msgspec.Struct):
    kind: str = ""
    apiVersion: str = ""  # noqa: N815
    response: _Response | None = None


def review_for(
    review: Review, seen: Resource, obj: Any, old: Any, name: str, namespace: str, versions: list[str]
) -> dict[str, Any]:
    """Returns the AdmissionReview that asks about a write.

    Args:
        review: the write.
        seen: the version of the resource in which the webhook sees the objects.
        obj: the new object in that version, or None.
        old: the stored object in that version, or None.
        name: the object's name, if it is known.
        namespace: the namespace that the request is about.
        versions: the versions of AdmissionReview that the webhook accepts.
    """
    requested, subresource = review.target.served.resource, review.target.subresource
    request: dict[str, Any] = {
        "uid": str(uuid.uuid4()),
        "kind": _SCALE if subresource == "scale" else _kind(seen),
        "resource": _resource(seen),
        "subResource": subresource,
        "requestKind": _SCALE if subresource == "scale" else _kind(requested),
        "requestResource": _resource(requested),
        "requestSubResource": subresource,
        "name": name,
        "namespace": namespace,
    }
    request = {key: value for key, value in request.items() if value}
    request |= {
        "operation": review.operation,
        "userInfo": review.write.user.info(),
        "object": obj,
        "oldObject": old,
        "dryRun": review.write.dry_run,
        "options": {**review.write.options, "kind": _OPTIONS[review.operation], "apiVersion": "meta.k8s.io/v1"},
    }
    version = next(each for each in versions if each in ("v1", "v1beta1"))
    return {"kind": "AdmissionReview", "apiVersion": f"{_GROUP}/{version}", "request": request}


def _kind(resource: Resource) -> dict[str, str]:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _resource(resource: Resource) -> dict[str, str]:
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}


def read_answer(body: bytes, asked: Mapping[str, Any], *, mutating: bool) -> AdmissionAnswer:
    """Returns a webhook's answer.

    Args:
        body: the answer's body.
        asked: the AdmissionReview that it answers.
        mutating: whether the webhook may change the object.

    Raises:
        CallError: the answer is not valid.
    """
    try:
        answer = msgspec.json.decode(body, type=_AdmissionReview)
    except msgspec.DecodeError as error:
        raise CallError(f"failed to call webhook: the answer is not an AdmissionReview: {error}") from error
    response = answer.response
    if response is None:
        raise CallError(f"{_INVALID}webhook response was absent")
    if response.uid != asked["request"]["uid"]:
        uids = json.dumps(asked["request"]["uid"]), json.dumps(response.uid)
        raise CallError(f"{_INVALID}expected response.uid={uids[0]}, got {uids[1]}")
    if (answer.apiVersion, answer.kind) != (asked["apiVersion"], asked["kind"]):
        wanted = f"{asked['apiVersion']}, Kind=AdmissionReview"
        got = f"{answer.apiVersion or '/'}, Kind={answer.kind}"
        raise CallError(f"{_INVALID}expected webhook response of {wanted}, got {got}")
    return AdmissionAnswer(
        response.allowed, response.status, _patch_in(response, mutating=mutating), response.warnings or []
    )


def _patch_in(response: _Response, *, mutating: bool) -> list[Any]:
    given = {"patch": response.patch or None, "patchType": response.patchType}
    for name, other in (("patch", "patchType"), ("patchType", "patch")):
        if given[name] is not None and not mutating:
            raise CallError(f"{_INVALID}validating webhook may not return response.{name}")
        if given[name] is not None and given[other] is None:
            raise CallError(f"{_INVALID}webhook returned response.{name} but not response.{other}")
    if not response.patch or not response.allowed:
        return []
    if response.patchType != "JSONPatch":
        raise CallError(f"unsupported patch type {json.dumps(response.patchType)}")
    try:
        return msgspec.json.decode(base64.b64decode(response.patch), type=list[Any])
    except ValueError as error:
        raise CallError(f"received undecodable patch in webhook response: {error}") from error


def rejection(name: str, result: Mapping[str, Any] | None) -> ApiError:
    """Returns the error of a write that a webhook has denied."""
    result = result or {}
    reason, message = result.get("reason") or "", result.get("message") or ""
    denied = f"admission webhook {json.dumps(name)} denied the request"
    text = f"{denied}: {message or reason}" if message or reason else f"{denied} without explanation"
    return ApiError(max(result.get("code") or 0, 400), reason, text, details=result.get("details"))


def internal_error(message: str) -> ApiError:
    """Returns the error of a write that failed within the server."""
    return ApiError(
        500, "InternalError", f"Internal error occurred: {message}", details={"causes": [{"message": message}]}
    )
