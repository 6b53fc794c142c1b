"""How a resource's objects are written for answers, whatever the format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from informer.testing.storage.storage import Stored

__all__ = ["PARTIAL", "Representation", "bookmark_metadata", "partial_list_metadata"]

PARTIAL = ("PartialObjectMetadata", "PartialObjectMetadataList")
"""The kinds of an object and a list of which only the metadata were requested."""

_INITIAL_EVENTS_END = {"annotations": {"k8s.io/initial-events-end": "true"}}


def bookmark_metadata(resource_version: int, *, initial_events_end: bool) -> dict[str, Any]:
    """Returns the metadata of a bookmark, optionally of the one that ends the initial state."""
    return {"resourceVersion": str(resource_version), **(_INITIAL_EVENTS_END if initial_events_end else {})}


def partial_list_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the metadata of a list of which only the objects' metadata were requested: it does not name its shard."""
    return {name: value for name, value in metadata.items() if name != "shardInfo"}


class Representation(ABC):
    """Writes the objects of one version of a resource in one format.

    Args:
        kind: the kind as which objects are written.
        api_version: their apiVersion.
        list_kind: the kind of a list of them.

    Attributes:
        media_type: the Content-Type of an answer.
        stream_media_type: the Content-Type of a watch.
        drops_managed_fields: leave metadata.managedFields out.
    """

    media_type: str
    stream_media_type: str
    drops_managed_fields = False

    def __init__(self, kind: str, api_version: str, list_kind: str) -> None:
        self.kind = kind
        self.api_version = api_version
        self.list_kind = list_kind

    def wanted(self, stored: Stored) -> Stored:
        """Returns an object with the fields that the client wants to have."""
        if not self.drops_managed_fields or b'"managedFields"' not in stored.body:
            return stored
        obj = stored.to_dict()
        obj["metadata"].pop("managedFields", None)
        return msgspec.structs.replace(stored, body=stored.form.encode(obj))

    @abstractmethod
    def single(self, stored: Stored) -> bytes:
        """Returns one object."""

    @abstractmethod
    def document(self, obj: Mapping[str, Any]) -> bytes:
        """Returns an object that is not one of the resource's own: a Status or a Scale, in API form."""

    @abstractmethod
    def list(self, metadata: Mapping[str, Any], objects: Iterable[Stored]) -> list[bytes]:
        """Returns a list, in pieces that are to be joined."""

    @abstractmethod
    def event(self, type: str, stored: Stored) -> bytes:
        """Returns an event of a watch."""

    @abstractmethod
    def event_of(self, event: Mapping[str, Any]) -> bytes:
        """Returns an event of any type, with any object in API form: a mapping with "type" and "object"."""

    @abstractmethod
    def framed(self, data: bytes) -> bytes:
        """Returns bytes with what marks the end of an event in a watch, so that they take the place of one."""

    def bookmark(self, resource_version: int, *, initial_events_end: bool) -> bytes:
        """Returns a bookmark, optionally the one that ends the initial state."""
        metadata = bookmark_metadata(resource_version, initial_events_end=initial_events_end)
        obj = {"kind": self.kind, "apiVersion": self.api_version, "metadata": metadata}
        return self.event_of({"type": "BOOKMARK", "object": obj})
