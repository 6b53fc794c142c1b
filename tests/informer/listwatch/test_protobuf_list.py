"""The parser of lists in protobuf: the same items in whatever pieces the list is received."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, strategies as st

from informer.listwatch.protobuf_list import ProtobufListParser
from informer.testing.storage.protobuf_encoding import encode_envelope, encode_list, encode_status
from watch.framing import LineTooLongError

ITEMS = [b"", b"a", b"b" * 127, b"c" * 128, b"d" * 20_000]
METADATA = {"resourceVersion": "42", "continue": "token", "remainingItemCount": 5, "shardInfo": {"selector": "s"}}
BODY = encode_envelope("v1", "PodList", encode_list(METADATA, ITEMS))


def parser(max_item_bytes: int = 1 << 20) -> ProtobufListParser:
    return ProtobufListParser(lambda api_version, kind, message: (api_version, kind, message), max_item_bytes)


def parse_all(body: bytes, cuts: Iterable[int] = (), made: ProtobufListParser | None = None) -> list[Any]:
    made = made or parser()
    ends = sorted({cut % (len(body) + 1) for cut in cuts} | {len(body)})
    items: list[Any] = []
    for start, end in zip([0, *ends], ends, strict=False):
        items.extend(made.feed(body[start:end]))
    return [*items, *made.last_items()]


@given(st.lists(st.integers(0, len(BODY)), max_size=30))
def test_the_items_are_the_same_in_whatever_pieces(cuts: list[int]) -> None:
    made = parser()
    assert parse_all(BODY, cuts, made) == [("v1", "Pod", item) for item in ITEMS]
    assert made.metadata == METADATA


def test_the_items_are_the_same_byte_by_byte() -> None:
    assert parse_all(BODY, range(600)) == [("v1", "Pod", item) for item in ITEMS]


def test_an_empty_list_has_no_items() -> None:
    made = parser()
    assert parse_all(encode_envelope("v1", "PodList", encode_list({"resourceVersion": "1"}, [])), (), made) == []
    assert made.metadata["resourceVersion"] == "1"


@pytest.mark.parametrize("end", [4, 10, 30, len(BODY) // 2, len(BODY) - 5])
def test_a_list_that_ends_early_is_refused(end: int) -> None:
    with pytest.raises(ValueError, match="ended within its items"):
        parse_all(BODY[:end])


def test_an_item_that_is_too_long_is_refused_before_it_has_come() -> None:
    made = parser(1000)
    items: list[Any] = []
    with pytest.raises(LineTooLongError):
        items.extend(made.feed(BODY[:700]))
    assert [len(message) for _, _, message in items] == [0, 1, 127, 128]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>", "is a proxy or login page in front"),
        (b"{}", "is a proxy or login page in front"),
        (encode_envelope("v1", "Status", encode_status({"message": "no"})), "answered with a Status, not a list: no"),
        (encode_envelope("v1", "PodList", b"\x1a\x01x"), "a field that lists do not have"),
        (encode_envelope("v1", "PodList", b"\x08\x01"), "a field that lists do not have"),
        (encode_envelope("v1", "PodList", b"\x12\x09x"), "ended within its items"),
        (b"k8s\0" + b"\x0a\xff\x7f" + b"x" * 5000, "event of more than 4096 bytes"),
        (BODY + b"x" * 5000, "event of more than 4096 bytes"),
    ],
)
def test_what_is_not_a_list_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_all(body)


@given(st.binary(max_size=80), st.lists(st.integers(0, 80), max_size=4))
def test_any_bytes_are_a_list_or_a_value_error(body: bytes, cuts: list[int]) -> None:
    with contextlib.suppress(ValueError):
        parse_all(b"k8s\0" + body, cuts)
