"""The stages of reading protobuf, each on one thread and without a socket, ready to be timed."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

import _pods

from informer.listwatch.object_reader import ObjectReader, Reading
from informer.objects.models import model_for
from informer.objects.object import strip_managed_fields
from informer.objects.protobuf_object import ProtobufObject
from informer.protobuf.kinds import kind_named
from informer.testing.storage.protobuf_encoding import (
    encode_envelope,
    encode_list,
    encode_message,
    encode_watch_event,
)

__all__ = ["cut_list", "decode_events", "drop_fields", "list_items", "read_path"]

BATCH = 150  # events in 512 KiB
READ_SIZE = 512 * 1024
FIRST_VERSION = 1000


def _pod_kind() -> Any:
    return kind_named("v1", "Pod")


@cache
def _messages(count: int) -> list[bytes]:
    message = _pod_kind().message
    return [encode_message(json.loads(_pods.pod(i, FIRST_VERSION + i)), message) for i in range(count)]


def _reads(body: bytes) -> list[bytes]:
    return [body[at : at + READ_SIZE] for at in range(0, len(body), READ_SIZE)]


class _Response:
    """A response of a given format whose body comes from elsewhere."""

    headers = {"Content-Type": "application/vnd.kubernetes.protobuf"}  # noqa: RUF012

    def read(self, size: int) -> bytes:
        return b""

    def close(self) -> None:
        pass


def _reader(*, drops: bool = False) -> ObjectReader:
    request: Any = SimpleNamespace(
        metadata_only=False,
        drop_managed_fields=drops,
        encoding=SimpleNamespace(checks_fields=lambda _: False),
        target=SimpleNamespace(transport=lambda: None, item_type=("v1", "Pod"), built_in=None),
    )
    return ObjectReader(request, Reading(model_for(None), stored=True))


def cut_list(count: int) -> Callable[[], object]:
    return _lists(count, keeps_bytes=True)


def list_items(count: int) -> Callable[[], object]:
    return _lists(count, keeps_bytes=False)


def _lists(count: int, *, keeps_bytes: bool) -> Callable[[], object]:
    reads = _reads(encode_envelope("v1", "PodList", encode_list({"resourceVersion": "1"}, _messages(count))))
    reader = _reader()

    def run() -> list[Any]:
        parser: Any = reader.list_parser(_Response())
        if keeps_bytes:
            parser._decode = lambda _api_version, _kind, raw: raw  # noqa: SLF001
        return [item for read in reads for item in parser.feed(read)]

    return run


def decode_events(count: int) -> Callable[[], object]:
    frames = [encode_watch_event("MODIFIED", encode_envelope("v1", "Pod", message)) for message in _messages(count)]
    batches = [frames[at : at + BATCH] for at in range(0, count, BATCH)]
    decoder: Any = _reader().watch_decoder(_Response())
    return lambda: [decoder._decode_pieces(batch) for batch in batches]  # noqa: SLF001


def drop_fields(count: int) -> Callable[[], object]:
    objects = _objects(count)
    return lambda: [strip_managed_fields(obj) for obj in objects]


def read_path(count: int) -> Callable[[], object]:
    objects = _objects(count)
    return lambda: [obj.at("spec.nodeName") for obj in objects]


def _objects(count: int) -> list[ProtobufObject]:
    return [ProtobufObject.of(message, _pod_kind()) for message in _messages(count)]
