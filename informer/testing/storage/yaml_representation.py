"""Writes answers in YAML, as the JSON of another representation says them. Watches have no YAML.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#alternate-representations-of-resources
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import yaml
from typing_extensions import override

from informer.testing.storage.representation import Representation
from informer.testing.storage.storage import Stored

__all__ = ["YAML", "YamlRepresentation", "encode_yaml"]

YAML = "application/yaml"


def encode_yaml(value: Any) -> bytes:
    """Returns a value in YAML, with sorted keys."""
    return yaml.safe_dump(value, allow_unicode=True, width=1_000_000).encode()


class YamlRepresentation(Representation):
    """Writes objects as another representation does, in YAML.

    Args:
        inner: a representation in JSON.
    """

    def __init__(self, inner: Representation) -> None:
        self._inner = inner
        self.media_type = YAML
        self.stream_media_type = YAML

    @override
    def single(self, stored: Stored) -> bytes:
        return _converted(self._inner.single(stored))

    @override
    def document(self, obj: Mapping[str, Any]) -> bytes:
        return _converted(self._inner.document(obj))

    @override
    def list(self, metadata: Mapping[str, Any], objects: Iterable[Stored]) -> list[bytes]:
        return [_converted(b"".join(self._inner.list(metadata, objects)))]

    @override
    def event(self, type: str, stored: Stored) -> bytes:
        raise NotImplementedError

    @override
    def event_of(self, event: Mapping[str, Any]) -> bytes:
        raise NotImplementedError

    @override
    def framed(self, data: bytes) -> bytes:
        raise NotImplementedError

    @override
    def bookmark(self, resource_version: int, *, initial_events_end: bool) -> bytes:
        raise NotImplementedError


def _converted(body: bytes) -> bytes:
    return encode_yaml(msgspec.json.decode(body))
