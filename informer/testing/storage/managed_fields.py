"""Leaves metadata.managedFields out of answers.

Source: KEP-5958, alpha in Kubernetes 1.38: a parameter of the Accept header, `drop=metadata.managedFields`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from typing_extensions import override

from informer.testing.storage.representation import Representation
from informer.testing.storage.storage import Stored

__all__ = ["WithoutManagedFields"]


class WithoutManagedFields(Representation):
    """Writes objects as another representation does, without their managedFields."""

    def __init__(self, inner: Representation) -> None:
        self._inner = inner
        self.media_type = inner.media_type
        self.stream_media_type = inner.stream_media_type

    @override
    def single(self, stored: Stored) -> bytes:
        return self._inner.single(_stripped(stored))

    @override
    def document(self, obj: Mapping[str, Any]) -> bytes:
        return self._inner.document(obj)

    @override
    def list(self, metadata: Mapping[str, Any], objects: Iterable[Stored]) -> list[bytes]:
        return self._inner.list(metadata, map(_stripped, objects))

    @override
    def event(self, type: str, stored: Stored) -> bytes:
        return self._inner.event(type, _stripped(stored))

    @override
    def event_of(self, event: Mapping[str, Any]) -> bytes:
        return self._inner.event_of(event)

    @override
    def framed(self, data: bytes) -> bytes:
        return self._inner.framed(data)

    @override
    def bookmark(self, resource_version: int, *, initial_events_end: bool) -> bytes:
        return self._inner.bookmark(resource_version, initial_events_end=initial_events_end)


def _stripped(stored: Stored) -> Stored:
    if b'"managedFields"' not in stored.body:
        return stored
    obj = stored.to_dict()
    obj["metadata"].pop("managedFields", None)
    return msgspec.structs.replace(stored, body=stored.form.encode(obj))
