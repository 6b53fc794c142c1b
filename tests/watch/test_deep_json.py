"""JSON that is nested too deeply for msgspec: read by its brackets, with the same result as by a decoder."""

from __future__ import annotations

import json
import time
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from tests.support.fuzzing import mutated
from watch import deep_json
from watch.deep_json import MAX_DEPTH, check_json, decode_levels, items_in, parts_in

KEYS = st.sampled_from(["a", "metadata", "name", "items", "object", 'q"', "b\\", "{", "]", "\\u006eame", "ü"])
TEXTS = st.sampled_from(["", "web", '"},{"', "\\", '\\"', "[[[", "}", '{"metadata":{"name":"x"}}', "\n", "ü"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=25,
)
NESTED = st.tuples(VALUES, st.lists(st.tuples(st.booleans(), KEYS, VALUES), max_size=30))


def text_of(drawn: tuple[Any, list[tuple[bool, str, Any]]], indent: int | None) -> bytes:
    value, around = drawn
    for is_list, key, other in around:
        value = [other, value] if is_list else {"z": other, key: value}
    return json.dumps(value, indent=indent, ensure_ascii=indent is None).encode()


def verdict(function: Any, text: bytes) -> Any:
    try:
        found = function(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "refused"
    if isinstance(found, dict):
        return {key: bytes(part).strip() for key, part in found.items()}
    return [bytes(part).strip() for part in found] if isinstance(found, list) else None


def same_as_a_decoder(text: bytes) -> None:
    """Asserts that the brackets say what msgspec says. What is wrong within a part shows in `check_json` only."""

    def skipped(raw: bytes) -> None:
        msgspec.json.decode(raw, type=msgspec.Raw)

    right = verdict(skipped, text)
    assert verdict(check_json, text) == right, text
    if right is None:
        assert verdict(parts_in, text) == verdict(msgspec.json.Decoder(dict[str, msgspec.Raw]).decode, text)
        assert verdict(items_in, text) == verdict(msgspec.json.Decoder(list[msgspec.Raw]).decode, text)


@settings(max_examples=80, deadline=None)
@given(NESTED, st.sampled_from([None, 1]), st.integers(1, 3), st.integers(0, 2**32))
def test_brackets_say_what_a_decoder_says(drawn: Any, indent: int | None, step: int, seed: int) -> None:
    """For right and wrong JSON, reading by brackets in small pieces gives the same result as a decoder."""
    text = text_of(drawn, indent)
    random = Random(seed)
    before = deep_json._STEP
    deep_json._STEP = step
    try:
        same_as_a_decoder(text)
        for levels in (1, 3, 64):
            assert json.loads(msgspec.json.encode(decode_levels(text, levels))) == json.loads(text)
        for _ in range(5):
            same_as_a_decoder(mutated(text, random))
    finally:
        deep_json._STEP = before


@pytest.mark.parametrize("levels", [1_200, 9_000, MAX_DEPTH])
@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}")], ids=["lists", "objects"])
def test_what_an_api_server_accepts_is_accepted(levels: int, brackets: tuple[bytes, bytes]) -> None:
    """JSON of up to 10,000 levels is accepted; malformed JSON at the deepest place is refused."""
    opening, closing = brackets[0] * levels, brackets[1] * levels
    check_json(opening + b"1" + closing)
    for wrong in (b"tru", b'"', b"1,", b"[}", b'{"a" 1}', b"\\", b"1]"):
        with pytest.raises(msgspec.DecodeError):
            check_json(opening + wrong + closing)
    for wrong_whole in (opening + b"1" + closing[:-1], opening + b"1" + closing + b"}", opening, closing):
        with pytest.raises(msgspec.DecodeError):
            check_json(wrong_whole)


def test_more_levels_are_refused() -> None:
    """The error names the depth as the reason."""
    with pytest.raises(msgspec.DecodeError, match="nested too deeply to decode: more than 10000 levels"):
        check_json(b"[" * 20_000 + b"]" * 20_000)


@pytest.mark.parametrize(
    "filler",
    [
        b"[],",
        b"[[[[1]]]],",
        b'"[",',
        b'{"a":1},',
        b'"\\\\\\"",',
        b"[" * 4_000 + b"]" * 4_000 + b",",
        b'{"a":{},"b":[1]},',
    ],
    ids=["pairs", "four levels", "brackets in strings", "objects", "escapes", "up and down", "mixed"],
)
def test_megabytes_take_few_seconds(filler: bytes) -> None:
    """The processor's time is in proportion to the length, whatever the brackets are."""
    inner = filler * ((4 << 20) // len(filler))
    text = b'{"x":[' + inner + b"[" * 5_000 + b"]" * 5_000 + b"]}"
    begun = time.process_time()
    check_json(text)
    assert list(parts_in(text)) == ["x"]
    assert time.process_time() - begun < 3


@pytest.mark.parametrize("filler", [b"[", b"]", b'"', b"\\", b'"\\"', b'"\\', b"[}", b"{]"], ids=repr)
def test_megabytes_of_wrong_brackets_are_refused_in_few_seconds(filler: bytes) -> None:
    """The time is in proportion to the bytes: the search neither backtracks nor starts again at each byte."""
    text = filler * ((4 << 20) // len(filler)) + b"x"
    begun = time.process_time()
    for function in (check_json, parts_in):
        with pytest.raises(msgspec.DecodeError):
            function(text)
    assert time.process_time() - begun < 3
