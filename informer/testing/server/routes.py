"""Parses a request's method and path into a verb, a resource and an object's name. No I/O.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from informer.testing.listwatch.list_options import is_true

__all__ = ["Route", "route_of"]

_SUBRESOURCES_OF_NAMESPACES = frozenset(("status", "finalize"))
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"))


class Route(NamedTuple):
    """The verb of a request and what it acts on. For a path that is not a resource's only `path` and `verb` are set."""

    path: str
    verb: str
    group: str = ""
    version: str = ""
    plural: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def route_of(method: str, path: str, query: Mapping[str, str]) -> Route:
    """Parses a path; the verb is as in RBAC: "list", "watch", "deletecollection" and so on; "" for an unknown method."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return Route(path, _lower(method))
    if rest[0] == "watch" and len(rest) > 1:
        # The deprecated form of a watch, /api/v1/watch/pods.
        rest, query = rest[1:], {**query, "watch": "1"}
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in _SUBRESOURCES_OF_NAMESPACES:
        namespace, rest = rest[1], rest[2:]
    if len(rest) > 3:
        return Route(path, _lower(method))
    plural, name, subresource = (*rest, "", "")[:3]
    verb = _verb(method, name, query)
    return Route(path, verb, group, version, plural, namespace, name, subresource)


def _verb(method: str, name: str, query: Mapping[str, str]) -> str:
    if method == "GET":
        if name:
            return "get"
        return "watch" if is_true(query.get("watch", "0")) else "list"
    if method == "DELETE":
        return "delete" if name else "deletecollection"
    return _VERBS.get(method, _lower(method))


def _lower(method: str) -> str:
    return method.lower() if method in _METHODS else ""
