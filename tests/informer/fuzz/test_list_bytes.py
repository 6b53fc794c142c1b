"""Lists of malformed bytes: the items are those that a JSON parser finds, or there is an error; never half a list."""

from __future__ import annotations

import json
import tracemalloc
from random import Random
from typing import Any

import pytest

from informer.listwatch import json_scan
from informer.listwatch.list_parser import ListParser
from informer.objects.object import Object
from tests.support.fuzzing import mutated, random_pieces, strict_json
from watch.framing import LineTooLongError

BOUND = 1 << 20
DEFAULT_BOUND = 16 * 1024 * 1024
BAD = object()


def parser(bound: int = BOUND) -> ListParser:
    return ListParser(Object.from_list_item, bound, on_bad_item=lambda raw, error: BAD)


def read(pieces: Any, made: ListParser | None = None) -> list[Any]:
    made = made or parser()
    return [item for piece in pieces for item in made.feed(piece)] + [*made.last_items()]


def pod(name: str, **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ns", "uid": f"u-{name}", "resourceVersion": "5", "labels": {"a": "ü"}}
    return {"metadata": metadata, "spec": {"containers": [{"name": "c", "args": ['"},{"', "\\"]}]}, **fields}


def listed(*items: Any, order: tuple[str, ...] = ("kind", "apiVersion", "metadata", "items")) -> bytes:
    body = {
        "kind": "PodList",
        "apiVersion": "v1",
        "metadata": {"resourceVersion": "9", "continue": "C"},
        "items": items,
    }
    return json.dumps({key: body[key] for key in order}, separators=(",", ":"), ensure_ascii=False).encode()


LISTS = (
    listed(pod("a"), pod("b"), pod("c", status={"n": [1, 2.5, None, True]})),
    listed(pod("a"), {"spec": {}}, pod("b"), order=("apiVersion", "items", "kind", "metadata")),
    json.dumps(json.loads(listed(pod("a"), pod("b"))), indent=1).encode(),
    listed(),
)


def has_surrogates(value: Any) -> bool:
    """Whether a text in the value is not valid UTF-8: it was sent as wrong bytes or as half an escape."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


class Expected:
    """The items and metadata that a JSON parser finds in a body; `items` is None if the body is not a list."""

    def __init__(self, body: bytes) -> None:
        self.items: list[Any] | None = None
        self.metadata: dict[str, Any] = {}
        self.may_be_refused = False
        try:
            whole = strict_json(body, "surrogateescape")
        except (ValueError, RecursionError):
            return
        if not isinstance(whole, dict) or whole.get("kind") in ("Table", "Status"):
            return
        items, metadata = whole.get("items"), whole.get("metadata")
        if "items" not in whole and not (isinstance(metadata, dict) and metadata.get("resourceVersion")):
            return
        items = [] if items is None else items
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            return
        self.items = items
        self.metadata = metadata if isinstance(metadata, dict) else {}
        # Ambiguous lists may be refused: repeated or escaped "items" keys, a repeated kind, invalid text, and numbers out of
        # range.
        twice = body.count(b'"items"') > 1 or b"tems" in body.replace(b'"items"', b"") or body.count(b'"kind"') > 1
        self.may_be_refused = twice or has_surrogates(whole) or b"\\ud" in body or b"1e999" in body


@pytest.mark.parametrize("seed", range(8))
def test_a_malformed_list_gives_the_items_of_a_json_parser_or_an_error(
    seed: int,
) -> None:
    """Whatever is wrong with the bytes, and in whatever pieces they arrive."""
    random = Random(seed)
    read_right = refused = 0
    for _ in range(400):
        body = mutated(random.choice(LISTS), random)
        expected = Expected(body)
        made = parser()
        try:
            items = read(random_pieces(body, random), made)
        except ValueError:
            refused += 1
            assert expected.items is None or expected.may_be_refused, body
            continue
        read_right += 1
        assert expected.items is not None, body
        assert len(items) == len(expected.items), body
        for item, right in zip(items, expected.items, strict=True):
            assert_same(item, right)
        if not expected.may_be_refused:
            assert made.metadata == expected.metadata
    # The mutations are only useful if both occur.
    assert read_right > 20
    assert refused > 100


def assert_same(item: Any, right: dict[str, Any]) -> None:
    """Asserts that an item equals the JSON parser's, or was set aside because it has a text that is not valid UTF-8."""
    if item is BAD:
        assert has_surrogates(right)
        return
    own = json.loads(item.raw)
    assert {key: own[key] for key in right if key not in ("kind", "apiVersion")} == {
        key: value for key, value in right.items() if key not in ("kind", "apiVersion")
    }
    metadata = right.get("metadata")
    fields = metadata if isinstance(metadata, dict) else {}
    for name, value in zip(
        ("name", "namespace", "uid", "resourceVersion"),
        (item.name, item.namespace, item.uid, item.resource_version),
        strict=True,
    ):
        assert value == (fields.get(name) if isinstance(fields.get(name), str) else "")


@pytest.mark.parametrize("step", [1, 3, 10_000])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b'{"items":[{"a":1}{"b":2}]}', "separated by commas", id="no-comma"),
        pytest.param(b'{"items":[{"a":1},,{"b":2}]}', "separated by commas", id="two-commas"),
        pytest.param(b'{"items":[,{"a":1}]}', "separated by commas", id="comma-first"),
        pytest.param(b'{"items":[{"a":1},]}', "separated by commas", id="comma-last"),
        pytest.param(b'{"items":[{"a":1},{"a":[}]}', "mismatched brackets", id="brackets"),
        pytest.param(b'{"items":[{"a":1},{"metadata":["name":"b"}}]}', "mismatched brackets", id="a-flipped-bracket"),
        pytest.param(b'{"items":[{"a":1},{"metadata":["name":"b"]}]}', "not JSON", id="two-flipped-brackets"),
        pytest.param(b'{"items":[{"metadata":{"name" "a"}},{"metadata":{"name":"b"}}]}', "not JSON", id="no-colon"),
        pytest.param(b'{"items":[{"a":tru}]}', "not JSON", id="half-a-word"),
        pytest.param(b'{"items":[{"a":"\0"}]}', "not JSON", id="nul-in-an-item"),
        pytest.param(b'\xef\xbb\xbf{"items":[{"a":1}]}', "not complete JSON", id="bom"),
        pytest.param(b'\0{"items":[{"a":1}]}', "not complete JSON", id="nul-in-front"),
        pytest.param(b'{"items":[{"a":1}]}\0', "not complete JSON", id="nul-behind"),
        pytest.param(b'{"items":\x0c[{"a":1}]}', "not complete JSON", id="a-form-feed"),
        pytest.param(b'{"items":[{"a":1}]}{"items":[]}', "not complete JSON", id="a-second-list"),
        pytest.param(b'{"items":[{"a":1}],"items":[]}', "items twice", id="items-twice"),
        pytest.param(b'{"items":[{"a":1}],"items":null}', "items twice", id="items-taken-back"),
        pytest.param(b'{"items":[{"a":1}],"\\u0069tems":[]}', "items twice", id="items-twice-with-an-escape"),
        pytest.param(b'{"x\xff":1,"items":[{"a":1}]}', "JSON", id="no-utf-8-in-the-head"),
        pytest.param(b'{"items":[{"a":1}],"x":"\xff"}', "not complete JSON", id="no-utf-8-behind"),
        pytest.param(b'{"metadata":{"remainingItemCount":1e999},"items":[]}', "not complete JSON", id="1e999"),
    ],
)
def test_ambiguous_lists_are_refused(body: bytes, message: str, step: int) -> None:
    """A list whose meaning is uncertain raises: a missing item would delete an object."""
    with pytest.raises(ValueError, match=message):
        read(body[i : i + step] for i in range(0, len(body), step))


@pytest.mark.parametrize(
    ("body", "version"),
    [
        pytest.param(
            b'{"metadata":{"resourceVersion":"1"},"items":[{}],"metadata":{"resourceVersion":"2"}}', "2", id="2"
        ),
        pytest.param(b'{"metadata":{"resourceVersion":"1"},"items":[{}],"metadata":null}', None, id="null"),
        pytest.param(b'{"metadata":{"resourceVersion":"1"},"metadata":{},"items":[{}]}', None, id="empty"),
        pytest.param(b'{"metadata":[],"items":[{}]}', None, id="list"),
        pytest.param(b'{"items":null,"metadata":{"resourceVersion":"1"},"items":[{}]}', "1", id="null-items-first"),
    ],
)
def test_the_last_metadata_counts(body: bytes, version: str | None) -> None:
    """As for any repeated JSON key, also after the items."""
    made = parser()
    assert len(read([body], made)) == 1
    assert made.metadata.get("resourceVersion") == version


@pytest.mark.parametrize("where", ["spec", "labels", "metadata", "name"])
@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}")], ids=["lists", "objects"])
def test_an_item_that_is_100000_levels_deep_is_set_aside(where: str, brackets: tuple[bytes, bytes]) -> None:
    """The stack does not overflow, and the other items are parsed."""
    deep = brackets[0] * 100_000 + b"1" + brackets[1] * 100_000
    inner = {
        "spec": b'{"metadata":{"name":"b"},"spec":%s}',
        "labels": b'{"metadata":{"name":"b","labels":%s}}',
        "metadata": b'{"metadata":%s}',
        "name": b'{"metadata":{"name":%s}}',
    }[where] % deep
    body = b'{"metadata":{},"items":[{"metadata":{"name":"a"}},' + inner + b',{"metadata":{"name":"c"}}]}'
    items = read([body])
    assert [item if item is BAD else item.name for item in items] == ["a", BAD, "c"]


@pytest.mark.parametrize(
    "body",
    [b'{"items":' + b"[" * 100_000, b'{"metadata":' + b"[" * 100_000, b"[" * 100_000],
    ids=["items", "head", "all"],
)
def test_a_list_that_is_too_deep_itself_is_refused(body: bytes) -> None:
    """It raises a ValueError instead of crashing."""
    with pytest.raises(ValueError, match=r"list"):
        read([body])


@pytest.mark.parametrize(
    ("head", "filler", "bound"),
    [
        pytest.param(b'{"metadata":{"x":"', b"x", DEFAULT_BOUND, id="the-head"),
        pytest.param(b'{"items":[{}],"x":"', b"x", DEFAULT_BOUND, id="behind-the-items"),
        pytest.param(b'{"items":[{}]}', b" ", DEFAULT_BOUND, id="spaces-behind-the-list"),
        pytest.param(b'{"items":[{"metadata":{"name":"a"}},{"data":"', b"x", BOUND, id="an-item"),
        pytest.param(b'{"items":[{"a":', b"[", BOUND, id="depth", marks=pytest.mark.thorough),
        pytest.param(b'{"items":[{ "a":"', b"},{", BOUND, id="lookalikes"),
    ],
)
def test_100_mb_are_not_held(head: bytes, filler: bytes, bound: int) -> None:
    """The parser raises at the bound, after using memory of that order, and names the argument to raise."""
    piece = filler * (bound // 16)
    made = parser(bound)
    tracemalloc.start()
    try:
        with pytest.raises(LineTooLongError, match=f"more than {bound} bytes: raise max_line_bytes"):
            for each in (head, *[piece] * (100 * (1 << 20) // len(piece))):
                list(made.feed(each))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * bound


def test_lookalikes_in_small_pieces_are_not_read_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """An item that is read by its tokens is read once, however small its pieces are."""
    made, scanned, pattern = parser(), 0, json_scan._IN_STRING

    class Counting:
        def match(self, buffer: bytes, at: int) -> Any:
            nonlocal scanned
            found = pattern.match(buffer, at)
            scanned += found.end() - at if found is not None else 0
            return found

    monkeypatch.setattr(json_scan, "_IN_STRING", Counting())
    item = b'{ "metadata":{"name":"a"},"data":"' + b"},{" * 50_000 + b'"}'
    body = b'{"items":[' + item + b"]}"
    items = read((body[i : i + 500] for i in range(0, len(body), 500)), made)
    assert [each.name for each in items] == ["a"]
    assert 100_000 < scanned <= len(body)
