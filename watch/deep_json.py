"""Reads JSON that is nested too deeply for a recursive decoder, by counting the brackets outside strings.

An API server accepts 10,000 levels. msgspec, like every decoder in CPython, raises RecursionError after about a thousand, or
earlier if the calling stack is deep; the number depends on the version of Python. The functions here are called only after that
error. Their time is in proportion to the length of the JSON, and their stack does not grow with its depth.

Source: Go encoding/json, scanner.go, maxNestingDepth.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from secrets import token_hex
from typing import Any

import msgspec

from watch.request_scope import check_cancelled

__all__ = ["MAX_DEPTH", "TOO_DEEP", "check_json", "decode_deep", "decode_levels", "items_in", "parts_in"]

MAX_DEPTH = 10_000
"""The levels of nesting that an API server accepts. `check_json` may accept up to three more."""

TOO_DEEP = "nested too deeply to decode"
"""The reason in errors about a value that no recursive decoder can read."""

# Skips everything that is not a bracket, then matches a run of opening or of closing brackets. Containers of up to three levels
# are skipped too: most have no more, so they cost no step in Python. A string without an end reaches to the end of the bytes.
# So that the search takes linear time, the pattern matches at every position, and its quantifiers do not backtrack.
_FLAT = rb'[^"\[\]{}]++|"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)'
_SHALLOW = _FLAT
for _ in range(3):
    _SHALLOW = rb"%b|[\[{](?:%b)*+[\]}]" % (_FLAT, _SHALLOW)
_RUN = re.compile(rb"(?:%b)*+(?:([\[{]++)|([\]}]++)|\Z)" % _SHALLOW, re.DOTALL)
# The beginning of the strings that replace containers that were cut out. It is random: a server cannot send such a string.
_CUT = f"{token_hex(16)}:"
# A piece that is decoded at once has between one and two times this number of levels.
_STEP = 64
_RUNS_PER_CHECK = 10_000

_skip_over = msgspec.json.Decoder(msgspec.Raw).decode
_decode_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode


def parts_in(raw: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """Returns the fields of a JSON object; their values stay undecoded, and are not checked.

    Raises:
        msgspec.ValidationError: `raw` is another JSON value.
        msgspec.DecodeError: `raw` is not JSON.
    """
    raw = bytes(raw)
    return {key: _filled(raw, part) for key, part in _decode_parts(_outline(raw, 1)).items()}


def items_in(raw: bytes | msgspec.Raw) -> list[msgspec.Raw]:
    """Returns the items of a JSON array; raises as `parts_in`."""
    raw = bytes(raw)
    return [_filled(raw, part) for part in _decode_items(_outline(raw, 1))]


def decode_levels(raw: bytes, levels: int) -> Any:
    """Decodes the upper levels of JSON.

    Objects and arrays below these levels stay undecoded, as `msgspec.Raw`, and are not checked. Those that have at most three
    levels themselves are decoded.

    Raises:
        msgspec.DecodeError: `raw` is not JSON.
    """
    return _opened(raw, _decode_any(_outline(raw, levels)))


def check_json(raw: bytes) -> None:
    """Checks that bytes are one JSON value, of any depth that an API server accepts.

    Cancelling the request's scope ends it, with RequestCancelledError: several megabytes of brackets take a second.

    Raises:
        msgspec.DecodeError: they are not, or are nested more than `MAX_DEPTH` levels deep.
    """

    def check(piece: bytearray) -> bytes:
        _skip_over(piece)
        return b"0"

    _read_pieces(raw, check, _runs_until_cancelled(raw))


def decode_deep(raw: bytes, finish: Callable[[Any], Any]) -> Any:
    """Decodes JSON piece by piece, so that recursion is bounded by the depth of a piece.

    Args:
        raw: one JSON value.
        finish: called with the decoded value of each piece, the innermost first and the whole last. Its result becomes part of
            the next outer piece; that for the whole is returned.

    Raises:
        msgspec.DecodeError: `raw` is not JSON, or is nested too deeply even for an API server.
    """
    values: list[Any] = []

    def decode(piece: bytearray) -> bytes:
        values.append(finish(_joined(_decode_any(piece), values)))
        return b'"%b%d"' % (_CUT.encode(), len(values) - 1)

    _read_pieces(raw, decode, _RUN.finditer(raw))
    return values[-1]


def _joined(value: Any, inner: list[Any]) -> Any:
    if isinstance(value, dict):
        return {key: _joined(item, inner) for key, item in value.items()}
    if isinstance(value, list):
        return [_joined(item, inner) for item in value]
    if isinstance(value, str) and value.startswith(_CUT):
        return inner[int(value[len(_CUT) :])]
    return value


# `begun` has, for each open container at a multiple of `_STEP` levels, where it begins and the value of `deepest` before it.
# `texts` has the text of each of them with its inner pieces replaced, and the position in `raw` up to which it was copied.
# An unmatched closing bracket ends the loop; it stays in the rest, for which `read` raises.
def _read_pieces(raw: bytes, read: Callable[[bytearray], bytes], runs: Iterator[re.Match[bytes]]) -> None:
    """Passes JSON to a function in pieces that are shallow enough for a decoder, the innermost first and the whole last.

    Args:
        raw: the JSON.
        read: called with each piece; returns the JSON that takes its place in the next outer piece.
        runs: the runs of brackets in the JSON.
    """
    depth = 0
    # The deepest level so far within the innermost container of `begun`.
    deepest = 0
    begun: list[tuple[int, int]] = []
    texts: list[tuple[bytearray, int]] = [(bytearray(), 0)]
    for run in runs:
        start, end = run.span(1)
        if start >= 0:
            below = depth + end - start
            if below > MAX_DEPTH:
                raise msgspec.DecodeError(f"nested too deeply to decode: more than {MAX_DEPTH} levels")
            for level in range((-(-depth // _STEP) or 1) * _STEP, below, _STEP):
                place = start + level - depth
                begun.append((place, deepest))
                texts.append((bytearray(), place))
                deepest = 0
            depth = below
            deepest = max(deepest, depth)
            continue
        start, end = run.span(2)
        if start < 0:
            break
        above = depth - (end - start)
        if above < 0:
            break
        while begun and above <= (level := len(begun) * _STEP) < depth:
            closed = start + depth - level
            place, before = begun.pop()
            text, copied = texts.pop()
            if deepest - level >= _STEP:
                text += raw[copied:closed]
                outer, copied = texts[-1]
                outer += raw[copied:place] + read(text)
                texts[-1] = outer, closed
            deepest = max(deepest, before)
        depth = above
    if begun:
        raise msgspec.DecodeError("Input data was truncated")
    text, copied = texts[0]
    read(text + raw[copied:])


def _runs_until_cancelled(raw: bytes) -> Iterator[re.Match[bytes]]:
    for number, run in enumerate(_RUN.finditer(raw)):
        if number % _RUNS_PER_CHECK == 0:
            check_cancelled()
        yield run


def _outline(raw: bytes, levels: int) -> bytearray:
    """Returns JSON in which each container below a number of levels is replaced by a string with its start and end in `raw`."""
    outline = bytearray()
    depth = copied = 0
    for run in _RUN.finditer(raw):
        start, end = run.span(1)
        if start >= 0:
            below = depth + end - start
            if depth <= levels < below:
                begin = start + levels - depth
                outline += b'%b"%b%d:' % (raw[copied:begin], _CUT.encode(), begin)
            depth = below
            continue
        start, end = run.span(2)
        if start < 0:
            break
        above = depth - (end - start)
        if above <= levels < depth:
            copied = start + depth - levels
            outline += b'%d"' % copied
        depth = above
    if depth:
        raise msgspec.DecodeError("Input data was truncated" if depth > 0 else "JSON is malformed: mismatched brackets")
    return outline + raw[copied:]


def _filled(raw: bytes, part: msgspec.Raw) -> msgspec.Raw:
    """Returns a part of an outline, or the container of `raw` that it replaces."""
    text = bytes(part)
    return _cut_from(raw, text[1:-1].decode()) if text.startswith(b'"%b' % _CUT.encode()) else msgspec.Raw(text)


def _cut_from(raw: bytes, mark: str) -> msgspec.Raw:
    _, start, end = mark.split(":")
    return msgspec.Raw(raw[int(start) : int(end)])


def _opened(raw: bytes, value: Any) -> Any:
    """Puts the containers of `raw`, undecoded, in place of the strings of a decoded outline."""
    if isinstance(value, dict):
        return {key: _opened(raw, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_opened(raw, item) for item in value]
    return _cut_from(raw, value) if isinstance(value, str) and value.startswith(_CUT) else value
