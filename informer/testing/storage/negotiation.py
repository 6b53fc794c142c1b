"""Chooses the format of an answer by the request's Accept header.

Source: apiserver pkg/endpoints/handlers/negotiation; https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from informer.protobuf.kinds import kind_named
from informer.testing.storage.json_representations import BuiltInJson, CustomJson, JsonRepresentation, PartialJson
from informer.testing.storage.managed_fields import WithoutManagedFields
from informer.testing.storage.protobuf_representations import (
    PROTOBUF,
    BuiltInProtobuf,
    PartialProtobuf,
    encode_document,
)
from informer.testing.storage.representation import PARTIAL, Representation
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.statuses import generic
from informer.testing.storage.table_representation import TableJson
from informer.testing.storage.yaml_representation import YAML, YamlRepresentation, encode_yaml
from watch.errors import ApiError

__all__ = ["JSON", "encode_status_for", "representation_for"]

JSON = "application/json"
_SUPPORTED = f"{JSON}, application/yaml, {PROTOBUF}"
_STREAMS = f"{JSON};stream=watch, {PROTOBUF};stream=watch"


class _Clause(NamedTuple):
    """One media type that a client accepts, with its parameters."""

    media: str
    parameters: Mapping[str, str]

    @property
    def quality(self) -> float:
        try:
            return float(self.parameters.get("q", "1"))
        except ValueError:
            return 1


def representation_for(
    accept: str,
    served: ServedResource,
    *,
    of_list: bool = False,
    of_watch: bool = False,
    drops_fields: bool = False,
    include_object: str = "",
) -> Representation:
    """Returns the first representation that the client accepts and the server supports.

    Args:
        accept: the request's Accept header; "" accepts anything.
        served: the resource.
        of_list: whether the answer is a list.
        of_watch: whether the answer is a watch, which cannot be in YAML.
        include_object: what the rows of a table have of their objects.
        drops_fields: whether the server knows the parameter `drop=metadata.managedFields`; otherwise it is ignored.

    Raises:
        ApiError: 406, the server supports none of them; 400, `include_object` has an unknown value.
    """
    known = False
    for media, parameters in _clauses(accept):
        # For built-in resources the real server accepts "*/*" but not "application/*".
        if media not in ("*/*", JSON, PROTOBUF, YAML) and not (media == "application/*" and served.custom):
            continue
        if media == YAML and of_watch:
            raise ApiError(406, "NotAcceptable", f"only the following media types are accepted: {_STREAMS}")
        known = True
        protobuf = media == PROTOBUF
        form, version = parameters.get("as", ""), parameters.get("v", "v1")
        group = parameters.get("g", "meta.k8s.io")
        found = None if form else _whole(served, protobuf=protobuf)
        if form in PARTIAL and version in (("v1",) if protobuf else ("v1", "v1beta1")):
            if of_list and form != PARTIAL[1]:
                raise ApiError(406, "NotAcceptable", f"you requested {form}, but the requested object is a list")
            found = PartialProtobuf(version) if protobuf else PartialJson(version)
        elif form == "Table" and not protobuf and version in ("v1", "v1beta1") and group == "meta.k8s.io":
            found = TableJson(_json(served), served, version, include_object)
        if found is not None:
            drops = drops_fields and parameters.get("drop") == "metadata.managedFields"
            found = WithoutManagedFields(found) if drops else found
            return YamlRepresentation(found) if media == YAML else found
    if known or served.custom:
        raise ApiError(406, "NotAcceptable", f"only the following media types are accepted: {_SUPPORTED}")
    raise generic(406, f"406: Not Acceptable\n\nAvailable representations: {_SUPPORTED}")


def encode_status_for(accept: str, status: Mapping[str, Any]) -> tuple[str, bytes]:
    """Returns the Content-Type and the body of a refusal.

    It is in protobuf for a client that prefers protobuf. A clause that requests another form, such as PartialObjectMetadata,
    does not count.

    Args:
        accept: the request's Accept header.
        status: the Status, in API form.
    """
    for media, parameters in _clauses(accept):
        if "as" in parameters:
            continue
        if media == PROTOBUF:
            return PROTOBUF, encode_document(status)
        if media == YAML:
            return YAML, encode_yaml(status)
        if media in ("*/*", JSON):
            break
    return JSON, msgspec.json.encode(status) + b"\n"


def _whole(served: ServedResource, *, protobuf: bool) -> Representation | None:
    if not protobuf:
        return _json(served)
    kind = None if served.custom else kind_named(served.resource.api_version, served.resource.kind)
    return None if kind is None else BuiltInProtobuf(served, kind)


def _json(served: ServedResource) -> JsonRepresentation:
    return CustomJson(served) if served.custom else BuiltInJson(served)


def _clauses(accept: str) -> Iterator[_Clause]:
    """Yields what a client accepts, the preferred first."""
    found = []
    for each in accept.split(",") if accept else ("*/*",):
        media, *parameters = (part.strip() for part in each.split(";"))
        found.append(_Clause(media, dict(p.partition("=")[::2] for p in parameters)))
    yield from sorted(found, key=lambda clause: -clause.quality)
