"""Chooses the format of an answer by the request's Accept header.

Source: apiserver pkg/endpoints/handlers/negotiation; https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import yaml

from informer.testing.storage.protobuf_representations import (
    PROTOBUF,
    encode_document,
    partial_protobuf,
    whole_protobuf,
)
from informer.testing.storage.representation import JSON, PARTIAL, PartialJson, Representation, whole_json
from informer.testing.storage.served_resources import ServedResource
from informer.testing.storage.statuses import generic
from informer.testing.storage.table_representation import TableJson
from watch.errors import ApiError

__all__ = ["encode_status_for", "in_format", "representation_for"]

YAML = "application/yaml"
_SUPPORTED = f"{JSON}, application/yaml, {PROTOBUF}"
_STREAMS = f"{JSON};stream=watch, {PROTOBUF};stream=watch"


def representation_for(
    accept: str,
    served: ServedResource,
    *,
    of_watch: bool = False,
    drops_fields: bool = False,
    include_object: str = "",
) -> Representation:
    """Returns the first representation that the client accepts and the server supports. One in YAML writes JSON (`in_format`).

    Args:
        accept: the request's Accept header; "" accepts anything.
        served: the resource.
        of_watch: whether the answer is a watch, which cannot be in YAML.
        include_object: what the rows of a table have of their objects.
        drops_fields: whether the server knows the parameter `drop=metadata.managedFields`; otherwise it is ignored.

    Raises:
        ApiError: 406, the server supports none of them; 400, `include_object` has an unknown value.
    """
    known = False
    found: Representation | None
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
        found = None if form else whole_protobuf(served) if protobuf else whole_json(served)
        if form in PARTIAL and version in (("v1",) if protobuf else ("v1", "v1beta1")):
            found = partial_protobuf(version) if protobuf else PartialJson(version)
        elif form == "Table" and not protobuf and version in ("v1", "v1beta1") and group == "meta.k8s.io":
            found = TableJson(whole_json(served), served, version, include_object)
        if found is not None:
            found.drops_managed_fields = drops_fields and parameters.get("drop") == "metadata.managedFields"
            if media == YAML:
                found.media_type = YAML
            return found
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
            return YAML, _yaml(status)
        if media in ("*/*", JSON):
            break
    return JSON, msgspec.json.encode(status) + b"\n"


def in_format(media_type: str, body: list[bytes]) -> list[bytes]:
    """Returns an answer that is in JSON or protobuf, as a representation has written it, in the format of a media type."""
    return [_yaml(msgspec.json.decode(b"".join(body)))] if media_type == YAML else body


def _yaml(value: Any) -> bytes:
    return yaml.safe_dump(value, allow_unicode=True, width=1_000_000).encode()


def _clauses(accept: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields the media types that a client accepts, each with its parameters, the preferred first."""
    found = []
    for each in accept.split(",") if accept else ("*/*",):
        media, *parameters = (part.strip() for part in each.split(";"))
        found.append((media, dict(p.partition("=")[::2] for p in parameters)))
    yield from sorted(found, key=_quality, reverse=True)


def _quality(clause: tuple[str, dict[str, str]]) -> float:
    try:
        return float(clause[1].get("q", "1"))
    except ValueError:
        return 1
