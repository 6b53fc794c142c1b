"""A snapshot's file: what is written is read again, and what is damaged or of something else is refused with the reason."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from informer import Object
from informer.cache.snapshot_file import (
    SavedState,
    UnusableSnapshotError,
    read_snapshot,
    remove_leftovers,
    write_snapshot,
)
from informer.objects.entry import Entry
from informer.objects.protobuf_object import ProtobufObject
from informer.protobuf.kinds import metadata_kind

BINDING = {"server": "https://cluster", "resource": "v1/pods"}


class Node(msgspec.Struct):
    """A model with one field."""

    spec: dict[str, str]


def stored(name: str, version: str = "7") -> Object:
    raw = b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"%s","namespace":"ns","uid":"u","resourceVersion":"%s"}}'
    return Object.from_bytes(raw % (name.encode(), version.encode()))


def saved(path: Path, *items: Any, value_type: type | None = None) -> Path:
    write_snapshot(path, BINDING, SavedState(list(items), "9"), value_type)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pods"


def test_objects_are_read_as_they_were_written(path: Path) -> None:
    kind = metadata_kind("v1", "Pod")
    items = [
        stored("a"),
        ProtobufObject.of(b"\n\x0b\n\x01p*\x01u2\x03123", kind),
        Entry("b", "ns", "u", "7", stored("renamed"), ("v1", "Pod")),
    ]
    read = read_snapshot(saved(path, *items), BINDING, None)
    assert read is not None
    assert read.resource_version == "9"
    for item, again in zip(items, read.items, strict=True):
        assert type(again) is type(item)
        for field in item.__struct_fields__:
            assert field == "_metadata_span" or getattr(again, field) == getattr(item, field), field


@pytest.mark.parametrize(
    ("value", "value_type"), [({"spec": {"n": 1}, "é": None}, dict), (Node({"nodeName": "n-1"}), Node)]
)
def test_values_of_a_model_are_read_as_they_were_written(path: Path, value: Any, value_type: type) -> None:
    entry = Entry("a", "ns", "u", "7", value, ("v1", "Pod"))
    read = read_snapshot(saved(path, entry, value_type=value_type), BINDING, value_type)
    assert read is not None
    assert read.items == [entry]


def test_many_objects_take_several_blocks(path: Path) -> None:
    large = Object.from_dict({"metadata": {"name": "a"}, "data": "x" * 400_000})
    read = read_snapshot(saved(path, *[large] * 7), BINDING, None)
    assert read is not None
    assert [item.raw for item in read.items] == [large.raw] * 7


def test_an_empty_cache_has_a_snapshot_too(path: Path) -> None:
    assert read_snapshot(saved(path), BINDING, None) == SavedState([], "9")


def test_without_a_file_there_is_no_state(path: Path) -> None:
    assert read_snapshot(path, BINDING, None) is None


def test_a_file_that_is_cut_off_anywhere_is_refused(path: Path) -> None:
    content = saved(path, stored("a"), stored("b")).read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(UnusableSnapshotError):
            read_snapshot(path, BINDING, None)


def test_a_file_with_any_changed_byte_is_refused(path: Path) -> None:
    content = saved(path, stored("a"), stored("b")).read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
        with pytest.raises(UnusableSnapshotError):
            read_snapshot(path, BINDING, None)


def test_blocks_in_another_order_are_refused(path: Path) -> None:
    large = [Object.from_dict({"metadata": {"name": name}, "data": "x" * 1_100_000}) for name in "abc"]
    content = saved(path, *large).read_bytes()
    first, second = (content.index(b'"name":"%s"' % name) - 60 for name in (b"a", b"b"))
    size = second - first
    path.write_bytes(
        content[:first] + content[second : second + size] + content[first:second] + content[second + size :]
    )
    with pytest.raises(UnusableSnapshotError, match=r"its checksum is wrong|it is cut off"):
        read_snapshot(path, BINDING, None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: b"", "it is cut off"),
        (lambda content: b"PNG" + content[3:], "it does not begin as a snapshot of this version does"),
        (lambda content: content[:-1], "it is cut off"),
        (lambda content: content + b"\0" * 8, "it is cut off"),
        (lambda content: content[:-1] + b"!", "its checksum is wrong"),
    ],
)
def test_the_reason_is_given(path: Path, change: Any, reason: str) -> None:
    content = saved(path, stored("a")).read_bytes()
    path.write_bytes(change(content))
    with pytest.raises(UnusableSnapshotError, match=f"^{reason}$"):
        read_snapshot(path, BINDING, None)


def test_blocks_that_lack_objects_are_refused(path: Path) -> None:
    content = saved(path, *[stored("a")]).read_bytes()
    empty = saved(path).read_bytes()
    path.write_bytes(content[: len(empty)])
    with pytest.raises(UnusableSnapshotError, match=r"^it has 0 objects in place of 1$"):
        read_snapshot(path, BINDING, None)


@pytest.mark.parametrize(
    "other", [{**BINDING, "resource": "v1/nodes"}, {"server": BINDING["server"]}, {**BINDING, "resource": ""}]
)
def test_a_file_of_something_else_is_refused(path: Path, other: dict[str, str]) -> None:
    with pytest.raises(UnusableSnapshotError, match=r"^it was made with another resource$"):
        read_snapshot(saved(path, stored("a")), other, None)


def test_content_of_another_form_is_refused(path: Path) -> None:
    entry = Entry("a", "ns", "u", "7", {"spec": 5}, ("v1", "Pod"))
    saved(path, entry, value_type=dict)
    with pytest.raises(UnusableSnapshotError, match=r"^its content cannot be decoded \(ValidationError\)$"):
        read_snapshot(path, BINDING, Node)


def test_only_this_user_can_read_the_file(path: Path) -> None:
    path.write_bytes(b"old")
    path.chmod(0o666)
    saved(path, stored("a"))
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_another_user_could_have_written_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(path, stored("a")).chmod(0o660)
    assert read_snapshot(path, BINDING, None) is not None
    path.chmod(0o602)
    with pytest.raises(UnusableSnapshotError, match=r"^it belongs to another user, or any user may write it$"):
        read_snapshot(path, BINDING, None)
    path.chmod(0o600)
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
    with pytest.raises(UnusableSnapshotError, match=r"^it belongs to another user"):
        read_snapshot(path, BINDING, None)


def test_a_link_or_a_pipe_is_not_read(path: Path, tmp_path: Path) -> None:
    os.symlink(saved(tmp_path / "other", stored("a")), path)
    with pytest.raises(OSError, match="symbolic link"):
        read_snapshot(path, BINDING, None)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UnusableSnapshotError, match=r"^it is not a regular file$"):
        read_snapshot(path, BINDING, None)


def test_a_full_disk_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved(path, stored("a")).read_bytes()

    def pieces(*_: Any) -> Iterator[bytes]:
        yield b"begun"
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("informer.cache.snapshot_file._content", pieces)
    with pytest.raises(OSError, match="No space left"):
        saved(path, stored("b"))
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["pods"]


@pytest.mark.parametrize(
    ("item", "value_type", "reason"),
    [
        (
            Entry("a", "ns", "u", "7", 5),
            None,
            "it cannot contain objects of type int: let the transform return an Object",
        ),
        ({"a": 1}, dict, "it cannot contain objects of type dict: let the transform return an Object"),
        (Entry("a", "", "", "", {"a": {1, object}}), dict, "an object of type dict cannot be written as JSON: .*"),
    ],
)
def test_what_cannot_be_written_is_refused(path: Path, item: Any, value_type: Any, reason: str) -> None:
    with pytest.raises(UnusableSnapshotError, match=f"^{reason}$"):
        saved(path, item, value_type=value_type)
    assert list(path.parent.iterdir()) == []


def test_what_a_killed_process_has_left_is_removed_after_an_hour(path: Path) -> None:
    saved(path, stored("a"))
    old, new, other = (path.with_name(name) for name in (".pods.0123", ".pods.4567", ".nodes.0123"))
    for each in (old, new, other):
        each.write_bytes(b"")
    for each in (path, old, other):
        os.utime(each, (0, 0))
    remove_leftovers(path)
    assert [each.exists() for each in (path, old, new, other)] == [True, False, True, True]
