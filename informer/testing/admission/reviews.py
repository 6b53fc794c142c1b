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
from informer.testing.storage.admission import Review
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.write import User
from watch.errors import ApiError

__all__ = ["AdmissionAnswer", "CallError", "internal_error", "read_answer", "rejection", "review_for"]

_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}
_GROUP = "admission.k8s.io"
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
    review: Review, seen: ServedResource, obj: Any, old: Any, name: str, namespace: str, versions: list[str]
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
        "kind": _SCALE if subresource == "scale" else _kind(seen.resource),
        "resource": _resource(seen.resource),
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
        "userInfo": _user_info(review.write.user),
        "object": obj,
        "oldObject": old,
        "dryRun": review.write.dry_run,
        "options": {"kind": _OPTIONS[review.operation], "apiVersion": "meta.k8s.io/v1"}
        | {key: value for key, value in review.write.options.items() if key not in ("kind", "apiVersion")},
    }
    version = next(each for each in versions if each in ("v1", "v1beta1"))
    return {"kind": "AdmissionReview", "apiVersion": f"{_GROUP}/{version}", "request": request}


def _kind(resource: Resource) -> dict[str, str]:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _resource(resource: Resource) -> dict[str, str]:
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}


def _user_info(user: User) -> dict[str, Any]:
    info = {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": dict(user.extra)}
    return {key: value for key, value in info.items() if value}


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
    invalid = "received invalid webhook response: "
    if response is None:
        raise CallError(f"{invalid}webhook response was absent")
    if response.uid != asked["request"]["uid"]:
        uids = json.dumps(asked["request"]["uid"]), json.dumps(response.uid)
        raise CallError(f"{invalid}expected response.uid={uids[0]}, got {uids[1]}")
    if (answer.apiVersion, answer.kind) != (asked["apiVersion"], asked["kind"]):
        group_version = answer.apiVersion or "/"
        wanted = f"{asked['apiVersion']}, Kind=AdmissionReview"
        raise CallError(f"{invalid}expected webhook response of {wanted}, got {group_version}, Kind={answer.kind}")
    if not mutating:
        for name in ("patch", "patchType"):
            if getattr(response, name) is not None:
                raise CallError(f"{invalid}validating webhook may not return response.{name}")
    return AdmissionAnswer(response.allowed, response.status, _patch_in(response, invalid), response.warnings or [])


def _patch_in(response: _Response, invalid: str) -> list[Any]:
    if response.patch and response.patchType is None:
        raise CallError(f"{invalid}webhook returned response.patch but not response.patchType")
    if response.patchType is not None and not response.patch:
        raise CallError(f"{invalid}webhook returned response.patchType but not response.patch")
    if not response.patch or not response.allowed:
        return []
    if response.patchType != "JSONPatch":
        raise CallError(f"unsupported patch type {json.dumps(response.patchType)}")
    try:
        patch = msgspec.json.decode(base64.b64decode(response.patch))
    except ValueError as error:
        raise CallError(f"received undecodable patch in webhook response: {error}") from error
    if not isinstance(patch, list):
        raise CallError("received undecodable patch in webhook response: a JSON patch is a list of operations")
    return patch


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
