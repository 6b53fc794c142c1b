"""The list parser: the same items as from the whole JSON, in whatever pieces it is received."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from informer.listwatch.list_parser import ListParser
from informer.objects.object import Object
from watch.framing import LineTooLongError

BOUND = 1 << 20


def decode(raw: bytes, api_version: str, kind: str) -> Any:
    item = msgspec.json.decode(raw)
    if not isinstance(item, dict):
        raise ValueError("not an object")
    return item


def parser(max_item_bytes: int = BOUND, **options: Any) -> ListParser:
    options.setdefault("on_bad_item", lambda raw, error: ("bad", raw))
    return ListParser(decode, max_item_bytes, **options)


def parse_all(body: bytes, cuts: Iterable[int] = (), made: ListParser | None = None) -> list[Any]:
    made = parser() if made is None else made
    items: list[Any] = []
    for piece in pieces_of(body, cuts):
        items.extend(made.feed(piece))
    return [*items, *made.last_items()]


def pieces_of(body: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    at = 0
    for cut in sorted({cut % (len(body) + 1) for cut in cuts}):
        yield body[at:cut]
        at = cut
    yield body[at:]


def every(step: int, body: bytes) -> range:
    return range(0, len(body), step)


# Any list in any pieces

_texts = st.text(max_size=8) | st.sampled_from(
    ['},{"metadata":{"name":"x"', '"items":[', '{"items":[{}]}', "]}", "\\", '"', '},{"', "\u2028", "🙂", "ü", "\x00"]
)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts | st.just("items"), inner, max_size=3),
    max_leaves=8,
)
_items = st.dictionaries(_texts, _values, max_size=3) | st.builds(
    lambda name, rest: {"metadata": {"name": name}, **rest}, _texts, st.dictionaries(_texts, _values, max_size=2)
)
_lists = st.fixed_dictionaries(
    {"items": st.lists(_items, max_size=6)},
    optional={
        "kind": st.just("PodList"),
        "apiVersion": st.just("v1"),
        "metadata": st.dictionaries(_texts.filter(lambda key: key != "items"), _values, max_size=3),
        "other": _values,
    },
).flatmap(lambda made: st.permutations(list(made.items())).map(dict))


@settings(max_examples=400, deadline=None)
@given(
    body=_lists,
    cuts=st.lists(st.integers(0, 10_000), max_size=8),
    indent=st.sampled_from([None, 0, 2]),
    compact=st.booleans(),
    ascii_only=st.booleans(),
)
def test_any_pieces_give_the_items_that_the_whole_has(
    body: dict[str, Any], cuts: list[int], indent: int | None, compact: bool, ascii_only: bool
) -> None:
    """Values, order of keys, white space, escapes and cuts make no difference."""
    separators = (",", ":") if compact and indent is None else None
    raw = json.dumps(body, indent=indent, separators=separators, ensure_ascii=ascii_only).encode()
    made = parser()
    assert parse_all(raw, cuts, made) == json.loads(raw)["items"]
    assert made.metadata == body.get("metadata", {})


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=60) | _lists.map(lambda made: json.dumps(made).encode()), cut=st.integers(0, 10_000))
def test_incomplete_lists_and_garbage_are_refused(body: bytes, cut: int) -> None:
    """An incomplete list must not count as the complete state of the cluster."""
    half = body[: cut % (len(body) + 1)]
    try:
        whole = json.loads(half)
    except ValueError:
        with pytest.raises(ValueError):
            parse_all(half)
    else:
        if isinstance(whole, dict) and isinstance(whole.get("items"), list):
            assert parse_all(half) == whole["items"]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 10_000])
def test_pods_are_parsed_from_pieces_of_any_size(step: int) -> None:
    """A list as an API server writes it, byte by byte and as a whole."""
    pods = [
        {"metadata": {"name": f"pod-{i}", "namespace": "ns"}, "spec": {"containers": [{"name": "a"}]}}
        for i in range(20)
    ]
    head = '{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"C"},"items":'
    raw = (head + json.dumps(pods, separators=(",", ":")) + "}\n").encode()
    made = parser()
    assert parse_all(raw, every(step, raw), made) == pods
    assert (made.api_version, made.kind) == ("v1", "Pod")
    assert made.metadata == {"resourceVersion": "7", "continue": "C"}


def test_items_come_as_soon_as_the_next_one_begins() -> None:
    """Only the last item waits for the end of the list."""
    made = parser()
    items = [
        *made.feed(
            b'{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[{"metadata":{"name":"a"}},{"metadata":{"name":'
        )
    ]
    assert [item["metadata"]["name"] for item in items] == ["a"]


# Odd lists


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"metadata": {"resourceVersion": "1"}, "items": None}, id="null"),
        pytest.param({"metadata": {"resourceVersion": "1"}}, id="missing"),
        pytest.param({"metadata": {"resourceVersion": "1"}, "items": []}, id="empty"),
        pytest.param({"items": None}, id="null-and-nothing-else"),
        pytest.param({"items": []}, id="empty-and-nothing-else"),
    ],
)
@pytest.mark.parametrize("step", [1, 1000])
def test_items_that_are_null_or_missing_are_an_empty_list(body: dict[str, Any], step: int) -> None:
    """`items: null` and missing items are an empty list."""
    raw = json.dumps(body).encode()
    made = parser()
    assert parse_all(raw, every(step, raw), made) == []
    assert made.metadata == body.get("metadata", {})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"", "not complete JSON", id="nothing"),
        pytest.param(b"<html><body>502 Bad Gateway</body></html>", "not complete JSON", id="html"),
        pytest.param(b'"ok"', "answered with a str", id="text"),
        pytest.param(b"[]", "answered with a list", id="array"),
        pytest.param(b"null", "answered with a NoneType", id="null"),
        pytest.param(b"{}", "is not a list", id="empty-object"),
        pytest.param(b'{"message":"ok"}', "is not a list", id="some-object"),
        pytest.param(b'{"metadata":{},"items":{}}', "items that are not an array", id="items-an-object"),
        pytest.param(b'{"items":"x"}', "items that are not an array", id="items-a-text"),
        pytest.param(b'{"items":[1,2]}', "objects separated by commas", id="items-numbers"),
        pytest.param(b'{"items":[{},null]}', "objects separated by commas", id="items-with-null"),
        pytest.param(b'{"items":[[]]}', "objects separated by commas", id="items-arrays"),
        pytest.param(b'{"kind":"Status","apiVersion":"v1","message":"no way","items":[]}', "no way", id="status"),
        pytest.param(b'{"metadata":{"resourceVersion":"1"},"items":[{"a":1}', "ended within its items", id="cut"),
        pytest.param(
            b'{"metadata":{"resourceVersion":"1"},"items":[{"a":1}]', "not complete JSON", id="cut-at-the-end"
        ),
        pytest.param(b'{"items":[]}x', "not complete JSON", id="something-behind-it"),
    ],
)
def test_an_answer_that_is_not_a_list_is_refused(body: bytes, message: str) -> None:
    """Read as an empty list it would empty the cache; the message says what the answer is."""
    with pytest.raises(ValueError, match=message):
        parse_all(body)


@pytest.mark.parametrize("kind_first", [True, False])
def test_a_table_is_refused(kind_first: bool) -> None:
    """Go: TestIsUnsupportedTableObject. "unsupported list gvk", wherever in the answer the kind is."""
    kind = {"kind": "Table", "apiVersion": "meta.k8s.io/v1"}
    rest: dict[str, Any] = {"items": [{}], "rows": []}
    body = json.dumps({**kind, **rest} if kind_first else {**rest, **kind}).encode()
    with pytest.raises(ValueError, match=r"unsupported list gvk: meta\.k8s\.io/v1, Kind=Table"):
        parse_all(body)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param('{"metadata":{"annotations":{"items":["no"]}},"items":[{"a":1}]}', id="deeper"),
        pytest.param('{"metadata":{"x":"\\"items\\":[{}]"},"items":[{"a":1}]}', id="in-a-string"),
        pytest.param('{"metadata":{"x":"items"},"y":"{\\"items\\": [","items":[{"a":1}]}', id="in-a-string-with-space"),
        pytest.param('{"x":[{"items":[]},{"items":[]}],"items":[{"a":1}]}', id="in-an-array"),
        pytest.param('{"items" \n:\t[ {"a":1} , {"items":[{"b":2}]} ] , "metadata":{}}', id="in-an-item-with-space"),
    ],
)
@pytest.mark.parametrize("step", [1, 5, 1000])
def test_nested_items_keys_are_skipped(body: str, step: int) -> None:
    """`"items":[` in a nested object or in a string does not begin the items."""
    assert parse_all(body.encode(), every(step, body.encode())) == json.loads(body)["items"]


@pytest.mark.parametrize("step", [1, 9, 1000])
def test_items_may_look_like_several(step: int) -> None:
    """An item may contain the separator of items, even more often than the parser guesses."""
    inner = {"metadata": {"name": "x"}}
    items = [
        {"metadata": {"name": "a"}, "spec": [inner] * 40},
        {"metadata": {"name": "b"}, "text": '},{"metadata":{"name":'},
    ]
    body = json.dumps({"items": items}, separators=(",", ":")).encode()
    assert parse_all(body, every(step, body)) == items


@pytest.mark.parametrize("step", [1, 6, 1000])
def test_items_need_not_begin_alike(step: int) -> None:
    """The first keys of an item only help to guess where the next item begins."""
    items = [{"metadata": {"name": "a"}}, {"spec": {}}, {}, {"b": [1, {}]}, {"metadata": {"name": "c"}}]
    body = json.dumps({"items": items}, separators=(",", ":")).encode()
    assert parse_all(body, every(step, body)) == items


def test_metadata_may_follow_the_items() -> None:
    """Lists of custom resources have their keys in alphabetical order, with the kind after the items."""
    body = b'{"apiVersion":"example.com/v1","items":[{"a":1}],"kind":"WidgetList","metadata":{"resourceVersion":"9"}}'
    made = parser()
    assert parse_all(body, every(3, body), made) == [{"a": 1}]
    assert made.metadata == {"resourceVersion": "9"}
    assert (made.api_version, made.kind) == ("example.com/v1", "Widget")


# Kinds of items


def typed(body: bytes, **options: Any) -> list[Object]:
    made = ListParser(Object.from_list_item, BOUND, on_bad_item=lambda raw, error: None, **options)
    return [*made.feed(body), *[*made.last_items()]]


@pytest.mark.parametrize(
    ("body", "item_type", "expected"),
    [
        pytest.param(
            b'{"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"name":"a"}}]}',
            ("", ""),
            ("v1", "Pod"),
            id="list",
        ),
        pytest.param(
            b'{"kind":"List","apiVersion":"v1","items":[{"kind":"Secret","apiVersion":"v1","metadata":{}}]}',
            ("", ""),
            ("v1", "Secret"),
            id="own",
        ),
        pytest.param(
            b'{"items":[{"metadata":{"name":"a"}}],"kind":"PodList","apiVersion":"v1"}',
            ("v1", "Pod"),
            ("v1", "Pod"),
            id="told",
        ),
        pytest.param(b'{"items":[{"metadata":{"name":"a"}}]}', ("", ""), ("", ""), id="nobody-knows"),
    ],
)
def test_items_get_the_kind_of_their_list(body: bytes, item_type: Any, expected: tuple[str, str]) -> None:
    """Items without kind and apiVersion get those of the list, without "List"; an item's own are kept."""
    (item,) = typed(body, item_type=item_type)
    assert (item.api_version, item.kind) == expected


# Bad items


@pytest.mark.parametrize("step", [1, 1000])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_item_that_does_not_decode_is_set_aside(at: int, step: int) -> None:
    """`on_bad_item` replaces it, and the other items are parsed."""
    items = [b'{"metadata":{"name":"%d"}}' % i for i in range(3)]
    items[at] = b'{"metadata":{"name":"\xff"}}'
    body = b'{"items":[' + b",".join(items) + b"]}"
    made = ListParser(Object.from_list_item, BOUND, on_bad_item=lambda raw, error: (raw, type(error).__name__))
    out = parse_all(body, every(step, body), made)
    assert out[at] == (items[at], "ValueError")
    assert [item.name for i, item in enumerate(out) if i != at] == [str(i) for i in range(3) if i != at]


def test_errors_of_a_users_type_are_raised() -> None:
    """Only ValueError means that the end of the item was guessed wrong."""

    def broken(raw: bytes, api_version: str, kind: str) -> Any:
        raise RuntimeError("mine")

    made = ListParser(broken, BOUND, on_bad_item=lambda raw, error: None)
    with pytest.raises(RuntimeError, match="mine"):
        parse_all(b'{"items":[{}]}', (), made)


# Bounds


@pytest.mark.parametrize("step", [4096, 262_144])
def test_large_items_pass_below_the_bound(step: int) -> None:
    """An item of 3 MB between small ones is accepted."""
    items = [
        {"metadata": {"name": "a"}},
        {"metadata": {"name": "b"}, "data": "x" * 3_000_000},
        {"metadata": {"name": "c"}},
    ]
    body = json.dumps({"items": items}, separators=(",", ":")).encode()
    assert parse_all(body, every(step, body), parser(4_000_000)) == items


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"items":[{"data":"' + b"x" * 5000 + b'"}]}', id="an-item"),
        pytest.param(b'{"items":[{"a":1},{"data":"' + b"x" * 5000, id="an-item-that-does-not-end"),
        pytest.param(b'{"metadata":{"x":"' + b"x" * 5000, id="no-items-at-all"),
    ],
)
@pytest.mark.parametrize("step", [100, 100_000])
def test_items_longer_than_the_bound_are_refused(body: bytes, step: int) -> None:
    """The message names the argument to raise."""
    with pytest.raises(LineTooLongError, match="max_line_bytes"):
        parse_all(body, every(step, body), parser(2000))


def test_many_items_are_never_held_together() -> None:
    """50 MB of items in pieces of 256 KiB take no more memory than a few pieces."""
    item = b'{"metadata":{"name":"a"},"data":"' + b"x" * 5000 + b'"},'
    piece = item * 50
    read = msgspec.json.Decoder(msgspec.Raw).decode
    made = ListParser(lambda raw, api_version, kind: read(raw), BOUND, on_bad_item=lambda raw, error: None)
    count = sum(1 for _ in made.feed(b'{"items":['))
    tracemalloc.start()
    try:
        for _ in range(200):
            count += sum(1 for _ in made.feed(piece))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    count += sum(1 for _ in made.feed(b"{}]}")) + len([*made.last_items()])
    assert count == 10_001
    assert peak < 2_000_000


def test_a_long_head_full_of_lookalikes_is_searched_once() -> None:
    """Each of ten thousand nested "items" keys is tried once, in whatever pieces they are received."""
    head = b'{"metadata":{"x":[' + b'{"items":[]},' * 2000 + b'{}]},"items":[{"a":1}]}'
    tries = 0
    original = msgspec.json.decode

    def counting(raw: bytes) -> Any:
        nonlocal tries
        tries += 1
        return original(raw)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("informer.listwatch.list_parser.msgspec.json.decode", counting)
        assert parse_all(head, every(500, head)) == [{"a": 1}]
    assert tries <= 2010


def test_compact_items_get_the_apiversion_and_kind_of_their_list() -> None:
    """As real servers write lists: items have no type of their own, and are cut by the fast way, all but the last."""
    body = (
        b'{"kind":"DeploymentList","apiVersion":"apps/v1","metadata":{"resourceVersion":"9"},"items":['
        b'{"metadata":{"name":"a"},"spec":{}},{"metadata":{"name":"b"},"spec":{}},{"metadata":{"name":"c"},"spec":{}}]}'
    )
    made = ListParser(Object.from_list_item, BOUND, on_bad_item=lambda raw, error: ("bad", raw))
    items = parse_all(body, every(7, body), made)
    assert [(item.name, item.api_version, item.kind) for item in items] == [(n, "apps/v1", "Deployment") for n in "abc"]
    assert [item.form for item in items] == [("apps/v1", "Deployment")] * 3
    assert len({item.form_code() for item in items}) == 1


def test_the_items_of_an_ordinary_list_are_not_read_by_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the last one, which no item follows: its end is guessed from the end of the list."""
    monkeypatch.setattr(ListParser, "_by_tokens", lambda *arguments: pytest.fail("read by tokens"))
    items = [{"metadata": {"name": name, "tags": [{"a": [{}]}]}} for name in "abc"]
    body = msgspec.json.encode({"metadata": {}, "items": items})
    for end in (b"", b"\n"):
        assert parse_all(body + end, [30]) == items
