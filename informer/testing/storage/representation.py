"""How a resource's objects are written for answers, whatever the format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from informer.testing.storage.storage import Stored

__all__ = ["INITIAL_EVENTS_END", "PARTIAL", "Representation", "partial_list_metadata"]

PARTIAL = ("PartialObjectMetadata", "PartialObjectMetadataList")
"""The kinds of an object and a list of which only the metadata were requested."""

INITIAL_EVENTS_END = {"annotations": {"k8s.io/initial-events-end": "true"}}
"""What the metadata of the bookmark contain that ends the initial state."""


def partial_list_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the metadata of a list of which only the objects' metadata were requested: it does not name its shard."""
    return {name: value for name, value in metadata.items() if name != "shardInfo"}


class Representation(ABC):
    """Writes the objects of one version of a resource in one format.

    Attributes:
        media_type: the Content-Type of an answer.
        stream_media_type: the Content-Type of a watch.
    """

    media_type: str
    stream_media_type: str

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

    @abstractmethod
    def bookmark(self, resource_version: int, *, initial_events_end: bool) -> bytes:
        """Returns a bookmark, optionally the one that ends the initial state."""
