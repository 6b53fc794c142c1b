"""The file of a snapshot: the objects of a cache and their version on disk, in blocks with checksums."""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from informer.files import write_private
from informer.objects.entry import Entry
from informer.objects.object import Object
from informer.objects.object_fields import share_namespace, shared_namespace
from informer.objects.protobuf_object import ProtobufObject
from informer.protobuf.kinds import Kind

__all__ = ["SavedState", "UnusableSnapshotError", "read_snapshot", "remove_leftovers", "write_snapshot"]

_MAGIC = b"kube-informer snapshot 1\n"
_BLOCK_HEAD = struct.Struct(">QI")  # the length of a block's content, and the checksum of all content up to its end
_BLOCK_BYTES = 1024 * 1024
_LEFTOVER_SECONDS = 3600.0
# A user's object in an Entry: as JSON, or as an `Object`. A `ProtobufObject` has its kind instead.
_VALUE, _OBJECT, _PROTOBUF = "value", "object", "protobuf"

_Record = tuple[str, str, str, str, bytes, tuple[str, ...] | None]


class SavedState(NamedTuple):
    """Objects in stored form, and the resourceVersion up to which they show every change."""

    items: list[Any]
    resource_version: str


class UnusableSnapshotError(ValueError):
    """A snapshot cannot be read or written; the text is the reason."""


class _Head(msgspec.Struct, array_like=True):
    binding: dict[str, str]
    resource_version: str
    count: int


_decode_head = msgspec.msgpack.Decoder(_Head).decode
_decode_records = msgspec.msgpack.Decoder(list[_Record]).decode
_encode = msgspec.msgpack.encode


def write_snapshot(
    path: str | os.PathLike[str], binding: Mapping[str, str], state: SavedState, value_type: type | None
) -> None:
    """Writes a snapshot in place of the one at `path`, which stays if this fails.

    The file is written block by block, so that it takes no memory of its size.

    Args:
        path: the file.
        binding: what the objects are; only a reader with the same binding accepts the file.
        state: the objects in stored form, and their version.
        value_type: `dict` or the msgspec.Struct that the objects' model is; None if they are `Object`.

    Raises:
        OSError: the file cannot be written.
        UnusableSnapshotError: an object cannot be written.
    """
    write_private(path, _content(binding, state, value_type))


def _content(binding: Mapping[str, str], state: SavedState, value_type: type | None) -> Iterator[bytes]:
    yield _MAGIC
    checksum = 0
    head = _Head(dict(binding), state.resource_version, len(state.items))
    for block in chain((_encode(head),), _blocks(state.items, value_type)):
        checksum = zlib.crc32(block, checksum)
        yield _BLOCK_HEAD.pack(len(block), checksum)
        yield block


def _blocks(items: Iterable[Any], value_type: type | None) -> Iterator[bytes]:
    records: list[_Record] = []
    size = 0
    for item in items:
        record = _record_of(item, value_type)
        records.append(record)
        size += len(record[4])
        if size >= _BLOCK_BYTES:
            yield _encode(records)
            records, size = [], 0
    if records:
        yield _encode(records)


def _record_of(item: Any, value_type: type | None) -> _Record:
    kind = type(item)
    if kind is Object:
        return item.name, item.namespace, item.uid, item.resource_version, item.raw, None
    if kind is ProtobufObject:
        of_type = (_PROTOBUF, *item.protobuf_kind)
        return item.name, item.namespace, item.uid, item.resource_version, item.raw, of_type
    if kind is Entry:
        value = item.object
        head = item.name, item.namespace, item.uid, item.resource_version
        if type(value) is Object:
            return *head, value.raw, (_OBJECT, *item.form)
        if value_type is not None and type(value) is value_type:
            try:
                return *head, msgspec.json.encode(value), (_VALUE, *item.form)
            except (TypeError, ValueError, RecursionError) as error:
                raise UnusableSnapshotError(
                    f"an object of type {value_type.__name__} cannot be written as JSON: {error}"
                ) from None
        kind = type(value)
    raise UnusableSnapshotError(
        f"it cannot contain objects of type {kind.__name__}: let the transform return an Object"
    )


def read_snapshot(
    path: str | os.PathLike[str], binding: Mapping[str, str], value_type: type | None
) -> SavedState | None:
    """Reads a snapshot; returns None if the file does not exist.

    Args:
        path: the file.
        binding: what the reader lists.
        value_type: as for `write_snapshot`.

    Raises:
        OSError: the file cannot be read.
        UnusableSnapshotError: the file is damaged, is of something else, or another user could have written it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise UnusableSnapshotError("it is not a regular file")
        # The group may be allowed to write: Kubernetes does that with the files of a volume, for fsGroup.
        if found.st_uid != os.geteuid() or found.st_mode & stat.S_IWOTH:
            raise UnusableSnapshotError("it belongs to another user, or any user may write it")
        blocks = _read_blocks(file, found.st_size)
        try:
            return _state_of(blocks, binding, value_type)
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise UnusableSnapshotError(f"its content cannot be decoded ({type(error).__name__})") from None


def _state_of(blocks: Iterator[bytes], binding: Mapping[str, str], value_type: type | None) -> SavedState:
    first = next(blocks, None)
    if first is None:
        raise UnusableSnapshotError("it is cut off")
    head = _decode_head(first)
    for name in (*binding, *head.binding):
        if head.binding.get(name) != binding.get(name):
            raise UnusableSnapshotError(f"it was made with another {name}")
    items: list[Any] = []
    for block in blocks:
        items += [_item_of(record, value_type) for record in _decode_records(block)]
    if len(items) != head.count:
        raise UnusableSnapshotError(f"it has {len(items)} objects in place of {head.count}")
    return SavedState(items, head.resource_version)


def _item_of(record: _Record, value_type: type | None) -> Any:
    name, namespace, uid, version, raw, of_type = record
    namespace = shared_namespace(namespace) or share_namespace(namespace)
    if of_type is None:
        return Object(name, namespace, uid, version, raw)
    form, *rest = of_type
    if form == _PROTOBUF:
        api_version, kind, message = rest
        return ProtobufObject(name, namespace, uid, version, raw, -1, _kind(api_version, kind, message))
    api_version, kind = rest
    value = Object.from_bytes(raw) if form == _OBJECT else msgspec.json.decode(raw, type=value_type or Any)
    return Entry(name, namespace, uid, version, value, (api_version, kind))


@cache
def _kind(api_version: str, kind: str, message: str) -> Kind:
    return Kind(api_version, kind, message)


def _read_blocks(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yields the content of each block, after its length and checksum were found to be right."""
    if _read(file, len(_MAGIC)) != _MAGIC:
        raise UnusableSnapshotError("it does not begin as a snapshot of this version does")
    left, checksum = size - len(_MAGIC), 0
    while left >= _BLOCK_HEAD.size:
        length, expected = _BLOCK_HEAD.unpack(_read(file, _BLOCK_HEAD.size))
        left -= _BLOCK_HEAD.size + length
        if left < 0:
            break
        content = _read(file, length)
        checksum = zlib.crc32(content, checksum)
        if checksum != expected:
            raise UnusableSnapshotError("its checksum is wrong")
        yield content
    if left != 0:
        raise UnusableSnapshotError("it is cut off")


def _read(file: BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise UnusableSnapshotError("it is cut off")
    return content


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Deletes what processes have left that were killed while they wrote this snapshot, if it is an hour old."""
    target = Path(path)
    before = time.time() - _LEFTOVER_SECONDS
    for left in target.parent.glob(f".{target.name}.*"):
        with contextlib.suppress(OSError):
            if left.lstat().st_mtime < before:
                left.unlink()
