"""Lists made to cost time or memory: each costs in proportion to its bytes, and a cancelled request ends its reading."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from informer.listwatch.list_parser import ListParser
from informer.objects.object import Object
from watch.errors import RequestCancelledError
from watch.request_scope import RequestScope

MIB = 1 << 20
HEAD = b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":['


def parse(body: bytes, step: int) -> tuple[int, str]:
    """The number of items, and the error that ended the reading."""
    made = ListParser(Object.from_list_item, 16 * MIB, on_bad_item=lambda raw, error: None)
    count = 0
    try:
        for at in range(0, len(body), step):
            count += len([*made.feed(body[at : at + step])])
        count += len([*made.last_items()])
    except ValueError as error:
        return count, str(error)
    return count, ""


# Each list: its bytes, the size of its pieces, and the error that it ends with.
LISTS = [
    pytest.param(HEAD + b'{"a":"' + b'\\"' * MIB, MIB, "ended within its items", id="escapes-in-an-item"),
    pytest.param(HEAD + b'{"a":"' + b'\\"' * MIB, 4096, "ended within its items", id="escapes-that-trickle"),
    pytest.param(b'{"metadata":{"a":"' + b'\\"' * MIB, MIB, "not complete JSON", id="escapes-before-the-items"),
    pytest.param(HEAD + b'],"a":"' + b'\\"' * MIB, MIB, "not complete JSON", id="escapes-after-the-items"),
    pytest.param(HEAD + b'{"a":"' + b"\\\\" * MIB + b'"}]}', MIB, "", id="backslashes"),
    pytest.param(
        b'{"metadata":{"a":[' + b'{"items":[]},' * 10_000 + b'1]},"items":[{}]}', MIB, "", id="items-in-the-metadata"
    ),
    pytest.param(b'{"metadata":{"a":[' + b'{"items":[]},' * 10_000, 64, "not complete", id="items-that-trickle"),
    pytest.param(b'{"metadata":{' + b'"items":[],' * 200_000, MIB, "more than 100000 strings", id="keys"),
    pytest.param(b'{"metadata":' + b"[" * MIB, MIB, "nested more than 100 levels", id="depth-before-the-items"),
    pytest.param(HEAD + b'],"metadata":{"a":[' + b"[]," * MIB, MIB, "more than 100000 strings", id="brackets-behind"),
    pytest.param(b'{"items"' + b" " * MIB + b'x"items"' + b" " * MIB, 4096, "not complete", id="spaces-behind-a-key"),
    pytest.param(b'{"items"' + b" " * MIB + b",[]" * 20_000, MIB, "not complete", id="brackets-far-behind-a-key"),
    pytest.param(b'{"' + b"k" * MIB + b'":0' + b",[]" * 20_000, MIB, "not complete", id="brackets-behind-a-long-key"),
    pytest.param(
        HEAD + b'{"metadata":{"name":"a"},"x":"' + b'},{"metadata":{"name":' * 100_000, 4096, "ended", id="lookalikes"
    ),
    pytest.param(HEAD + b'{"first":{"a":1}},' + b'{"b":1},' * 60_000 + b"{}]}", MIB, "", id="items-unlike-the-first"),
    pytest.param(
        HEAD + b'{"first":{"a":1}},' + b"{}," * 50_000 + b'{"b":[' + b'{"first":{"a":1}},' * 50_000 + b"1]}]}",
        MIB,
        "",
        id="lookalikes-far-behind",
    ),
    pytest.param(HEAD + b'{"' + b"k" * MIB + b'":1},' + b"{}," * 100_000 + b"{}]}", MIB, "", id="a-long-first-key"),
    pytest.param(HEAD + b'{"a":"' + b"x" * MIB, 16, "ended within its items", id="an-item-in-tiny-pieces"),
    pytest.param(HEAD + b'],"a":"' + b"x" * MIB, 3, "not complete JSON", id="an-end-in-tiny-pieces"),
]


@pytest.mark.parametrize(("body", "step", "error"), LISTS)
def test_a_hostile_list_is_read_in_one_pass(body: bytes, step: int, error: str) -> None:
    """Reading two megabytes takes less than five seconds of CPU."""
    before = time.process_time()
    _, ended = parse(body, step)
    assert time.process_time() - before < 5
    assert error in ended
    assert bool(error) == bool(ended)


@pytest.mark.parametrize(("body", "step", "error"), [each for each in LISTS if each.id in ("escapes-in-an-item", "keys",
    "brackets-behind", "an-end-in-tiny-pieces", "depth-before-the-items", "backslashes")])  # fmt: skip
def test_a_hostile_list_takes_a_few_times_its_bytes(body: bytes, step: int, error: str) -> None:
    """Neither escapes nor brackets take memory of their own."""
    tracemalloc.start()
    try:
        parse(body, step)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * len(body) + 8 * MIB


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(HEAD + b'{"a":[' + b"[]," * 4 * MIB, id="an-item"),
        pytest.param(HEAD + b'],"a":[' + b"1," * 4 * MIB + b'"",' * 90_000, id="the-end"),
    ],
)
def test_a_cancelled_request_ends_the_reading_of_brackets(body: bytes) -> None:
    """The parser checks for a cancelled request now and then, also within one item."""
    made = ListParser(Object.from_list_item, 16 * MIB, on_bad_item=lambda raw, error: None)
    scope = RequestScope()
    with scope:
        assert [*made.feed(body)] == []
        scope.cancel()
        before = time.process_time()
        with pytest.raises(RequestCancelledError):
            [*made.last_items()]
        assert time.process_time() - before < 1
