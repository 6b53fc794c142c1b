"""Answers requests whose object is not stored: reviews of users and their rights, tokens, bindings and evictions.

Reviews follow the rules of `forbid`, not RBAC objects.

Source: kubernetes pkg/registry/authorization, pkg/registry/authentication and pkg/registry/core.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from informer.testing.http.messages import Request
from informer.testing.server.access import Access
from informer.testing.server.pod_requests import bind, evict
from informer.testing.server.request_bodies import decode_object
from informer.testing.storage.object_checks import Target, metadata_of, set_namespace
from informer.testing.storage.registry import Registry
from informer.testing.storage.statuses import Cause, bad_request, invalid, method_not_allowed
from informer.testing.storage.storage import Stored
from informer.testing.storage.system_fields import now
from informer.testing.storage.write import Write

__all__ = ["answer_action", "is_action"]

_KINDS = {"binding": "Binding", "eviction": "Eviction", "token": "TokenRequest"}
_SUCCESS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
_AUTHORIZATION, _AUTHENTICATION = "authorization.k8s.io", "authentication.k8s.io"
_AUDIENCE = "https://kubernetes.default.svc"
_SHORTEST, _DEFAULT = 600, 3600  # lifetimes of tokens, in seconds


def is_action(target: Target) -> bool:
    """Returns whether a request for a target is carried out here."""
    return target.served.is_action or target.subresource in _KINDS


def answer_action(
    registry: Registry, access: Access, verb: str, target: Target, request: Request, write: Write
) -> dict[str, Any]:
    """Returns the answer to a request.

    Raises:
        ApiError: the request is refused.
    """
    resource = target.served.resource
    kind = _KINDS.get(target.subresource) or resource.kind
    if verb != "create" or (resource.namespaced and not target.namespace):
        raise method_not_allowed()
    obj = decode_object(request, kind, null_is_empty=True)
    metadata = metadata_of(obj, resource)
    set_namespace(target, metadata)
    spec: dict[str, Any] = obj.get("spec") or {}
    made: dict[str, Any] = {"kind": kind, "apiVersion": resource.api_version}
    made["metadata"] = {key: value for key, value in metadata.items() if value is not None}
    match kind:
        case "Binding":
            pods = registry.find("", "v1", "pods")
            assert pods is not None
            name = target.name or metadata.get("name") or ""
            bind(registry, target._replace(served=pods, name=name), obj, write)
            return _SUCCESS
        case "Eviction":
            evict(registry, target, obj, write)
            return _SUCCESS
        case "TokenRequest":
            return _token(access, registry.get(target._replace(subresource="")), spec)
        case "SelfSubjectReview":
            return {**made, "metadata": {"creationTimestamp": now()}, "status": {"userInfo": write.user.info()}}
        case "TokenReview":
            return {**made, "spec": spec, "status": _token_status(access, spec)}
    _check_access_review(kind, spec)
    return {**made, "spec": spec, "status": {"allowed": _is_allowed(access, spec)}}


def _token(access: Access, account: Stored, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a TokenRequest with a new token of a service account, which the server accepts until it expires."""
    seconds = spec.get("expirationSeconds") or _DEFAULT
    if seconds < _SHORTEST:
        message = "may not specify a duration less than 10 minutes"
        cause = Cause.bad("spec.expirationSeconds", str(seconds), message)
        raise invalid(_AUTHENTICATION, "TokenRequest", "", [cause])
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)
    audiences = spec.get("audiences") or [_AUDIENCE]
    user = f"system:serviceaccount:{account.namespace}:{account.name}"
    claims = {"aud": audiences, "exp": int(end.timestamp()), "iss": _AUDIENCE, "sub": user}
    # It looks like a token of the real server, so that clients can read when it expires; nothing checks the signature.
    head, body = (json.dumps(each).encode() for each in ({"alg": "RS256", "kid": "embedded"}, claims))
    parts = (head, body, secrets.token_bytes(32))
    token = ".".join(base64.urlsafe_b64encode(each).decode().rstrip("=") for each in parts)
    access.issue(token, user, end.timestamp())
    metadata = account.to_dict()["metadata"]
    return {
        "kind": "TokenRequest",
        "apiVersion": f"{_AUTHENTICATION}/v1",
        "metadata": {key: metadata[key] for key in ("name", "namespace", "uid")} | {"creationTimestamp": now()},
        "spec": {
            "audiences": audiences,
            "expirationSeconds": seconds,
            "boundObjectRef": spec.get("boundObjectRef"),
        },
        "status": {"token": token, "expirationTimestamp": end.strftime("%Y-%m-%dT%H:%M:%SZ")},
    }


def _token_status(access: Access, spec: Mapping[str, Any]) -> dict[str, Any]:
    if not spec.get("token"):
        raise bad_request("token is required for TokenReview in authentication")
    user = access.user_of_token(spec["token"])
    if user is None:
        return {"user": {}, "error": "invalid bearer token"}
    return {"authenticated": True, "user": user.info(), "audiences": [_AUDIENCE]}


def _is_allowed(access: Access, spec: Mapping[str, Any]) -> bool:
    wanted = spec.get("resourceAttributes")
    if wanted is None:
        return True
    name = ".".join(filter(None, (wanted.get("resource"), wanted.get("group"))))
    if wanted.get("subresource"):
        name += f"/{wanted['subresource']}"
    return not access.is_forbidden(wanted.get("verb") or "", name, wanted.get("namespace") or "")


def _check_access_review(kind: str, spec: Mapping[str, Any]) -> None:
    causes = []
    if (spec.get("resourceAttributes") is None) == (spec.get("nonResourceAttributes") is None):
        message = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        causes.append(Cause.bad("spec", "null", message))
    if kind == "SubjectAccessReview" and not (spec.get("user") or spec.get("groups")):
        causes.append(Cause.bad("spec.user", '""', "at least one of user or group must be specified"))
    if causes:
        raise invalid(_AUTHORIZATION, "", "", causes)
