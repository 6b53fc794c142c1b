"""Carries out reviews: who a user is, and what it may do. The answers follow the rules of `forbid`, not RBAC objects.

Source: kubernetes pkg/registry/authorization and pkg/registry/authentication.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from informer.testing.server.access import Access
from informer.testing.storage.object_checks import Target
from informer.testing.storage.statuses import Cause, bad_request, invalid
from informer.testing.storage.storage import Stored
from informer.testing.storage.system_fields import now
from informer.testing.storage.write import User

__all__ = ["Reviews"]

_AUTHORIZATION = "authorization.k8s.io"
_AUTHENTICATION = "authentication.k8s.io"
_AUDIENCE = "https://kubernetes.default.svc"
_SHORTEST = 600
_LONGEST = 2**32
_DEFAULT = 3600
_ALL = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}


class Reviews:
    """Answers the reviews of authentication.k8s.io and authorization.k8s.io, and requests for tokens.

    Threads: any.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    def answer(self, target: Target, obj: dict[str, Any], user: User) -> dict[str, Any]:
        """Returns a review with its status.

        Raises:
            ApiError: 400 or 422, the review is not complete.
        """
        resource = target.served.resource
        spec: dict[str, Any] = obj.get("spec") or {}
        metadata = {key: value for key, value in (obj.get("metadata") or {}).items() if value is not None}
        made = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        match resource.kind:
            case "SelfSubjectReview":
                return {**made, "metadata": {"creationTimestamp": now()}, "status": {"userInfo": user.info()}}
            case "TokenReview":
                return {**made, "spec": spec, "status": self._token_status(spec)}
            case "SelfSubjectRulesReview":
                return {**made, "spec": {}, "status": self._rules(spec)}
        _check_review(target, spec)
        return {**made, "spec": spec, "status": {"allowed": self._is_allowed(spec)}}

    def issue_token(self, target: Target, account: Stored, request: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a TokenRequest with a new token of a service account, which the server accepts until it expires.

        Raises:
            ApiError: 422, the token would expire too early.
        """
        spec = request.get("spec") or {}
        seconds = spec.get("expirationSeconds") or _DEFAULT
        given = (request.get("metadata") or {}).get("name")
        causes = []
        if given not in (None, "", account.name):
            causes.append(
                Cause.bad("metadata.name", json.dumps(given), "must match the service account name if specified")
            )
        if seconds < _SHORTEST:
            message = "may not specify a duration less than 10 minutes"
            causes.append(Cause.bad("spec.expirationSeconds", str(seconds), message))
        if seconds > _LONGEST:
            message = "may not specify a duration larger than 2^32 seconds"
            causes.append(Cause.bad("spec.expirationSeconds", str(seconds), message))
        if causes:
            name = account.name if given else ""
            raise invalid(_AUTHENTICATION, "TokenRequest", name, causes)
        end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)
        audiences = spec.get("audiences") or [_AUDIENCE]
        user = f"system:serviceaccount:{account.namespace}:{account.name}"
        claims = {"aud": audiences, "exp": int(end.timestamp()), "iss": _AUDIENCE, "sub": user}
        # It looks like a token of the real server, so that clients can read when it expires; nothing checks the signature.
        parts = [json.dumps(each).encode() for each in ({"alg": "RS256", "kid": "embedded"}, claims)]
        token = ".".join(
            base64.urlsafe_b64encode(each).decode().rstrip("=") for each in (*parts, secrets.token_bytes(32))
        )
        self._access.issue(token, user, end.timestamp())
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

    def _is_allowed(self, spec: Mapping[str, Any]) -> bool:
        wanted = spec.get("resourceAttributes")
        if wanted is None:
            return True
        name = ".".join(filter(None, (wanted.get("resource"), wanted.get("group"))))
        if wanted.get("subresource"):
            name += f"/{wanted['subresource']}"
        return not self._access.is_forbidden(wanted.get("verb") or "", name, wanted.get("namespace") or "")

    def _token_status(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        token = spec.get("token")
        if not token:
            raise bad_request("token is required for TokenReview in authentication")
        user = self._access.user_of_token(token)
        if user is None:
            return {"user": {}, "error": "invalid bearer token"}
        return {"authenticated": True, "user": user.info(), "audiences": [_AUDIENCE]}

    def _rules(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        namespace = spec.get("namespace")
        if not namespace:
            raise bad_request("no namespace on request")
        forbids = self._access.is_forbidden("*", "*", namespace)
        return {
            "resourceRules": [] if forbids else [_ALL],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": self._access.has_rules,  # a list of what is allowed cannot tell what is not
        }


def _check_review(target: Target, spec: Mapping[str, Any]) -> None:
    causes = []
    resources, others = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resources is None) == (others is None):
        value = "null"
        if others is not None:
            value = json.dumps({"Path": others.get("path", ""), "Verb": others.get("verb", "")}, separators=(",", ":"))
        message = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        causes.append(Cause.bad("spec", value, message))
    if target.served.resource.kind != "SelfSubjectAccessReview" and not (spec.get("user") or spec.get("groups")):
        causes.append(Cause.bad("spec.user", '""', "at least one of user or group must be specified"))
    if target.namespace and resources is not None and resources.get("namespace") != target.namespace:
        value = json.dumps(resources.get("namespace") or "")
        causes.append(Cause.bad("spec.resourceAttributes.namespace", value, "must match metadata.namespace"))
    if causes:
        raise invalid(_AUTHORIZATION, "", "", causes)
