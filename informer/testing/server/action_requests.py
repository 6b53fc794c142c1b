"""Answers requests that create nothing: reviews, bindings, evictions, and requests for tokens.

Source: https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/, kubernetes pkg/registry.
"""

from __future__ import annotations

from typing import Any

from informer.testing.http.messages import Request
from informer.testing.server.access import Access
from informer.testing.server.pod_requests import bind, evict
from informer.testing.server.request_bodies import decode_object
from informer.testing.server.reviews import Reviews
from informer.testing.storage.object_checks import Target, metadata_of, set_namespace
from informer.testing.storage.registry import Registry
from informer.testing.storage.statuses import method_not_allowed
from informer.testing.storage.write import Write

__all__ = ["ActionRequests"]

_KINDS = {"binding": "Binding", "eviction": "Eviction", "token": "TokenRequest"}
_SUCCESS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


class ActionRequests:
    """Carries out requests whose object is not stored.

    Threads: any.
    """

    def __init__(self, registry: Registry, access: Access) -> None:
        self._registry = registry
        self._reviews = Reviews(access)

    @staticmethod
    def has(target: Target) -> bool:
        """Returns whether a target belongs here."""
        return target.served.is_action or target.subresource in _KINDS

    def answer(self, verb: str, target: Target, request: Request, write: Write) -> dict[str, Any]:
        """Returns the answer to a request.

        Raises:
            ApiError: the request is refused.
        """
        kind = _KINDS.get(target.subresource) or target.served.resource.kind
        if verb != "create" or (target.served.resource.namespaced and not target.namespace):
            raise method_not_allowed()
        obj = decode_object(request, kind, null_is_empty=True)
        set_namespace(target, metadata_of(obj, target.served.resource))
        match kind:
            case "Binding":
                name = target.name or (obj.get("metadata") or {}).get("name") or ""
                pods = self._registry.find("", "v1", "pods")
                assert pods is not None
                bind(self._registry, target._replace(served=pods, name=name), obj, write)
            case "Eviction":
                evict(self._registry, target, obj, write)
            case "TokenRequest":
                account = self._registry.get(target._replace(subresource=""))
                return self._reviews.issue_token(target, account, obj)
            case _:
                return self._reviews.answer(target, obj, write.user)
        return _SUCCESS
