"""Changes to an object's JSON that decode nothing but the way to them.

Comes in: an object's JSON. Goes out: new JSON, whose other parts are the very bytes that came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec

__all__ = ["Tree", "parts_of", "tree_of", "with_type", "without"]

Tree = dict[str | int, Any]
"""What to take away: a key leads to None, or to the tree of what to take away below it."""


class _MetadataParts(msgspec.Struct, gc=False):
    metadata: dict[str, msgspec.Raw] = {}


_decode_metadata_parts = msgspec.json.Decoder(_MetadataParts).decode
_decode_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.encode

_TYPED = re.compile(rb'\{(?:"kind":"[^"\\]+","apiVersion":"[^"\\]+"|"apiVersion":"[^"\\]+","kind":"[^"\\]+")[,}]')
_TEXT = re.compile(rb'"[^"]')
# How every API server begins an object.
_BEFORE_METADATA = re.compile(
    rb'\{(?:"kind":"[^"\\]*","apiVersion":"[^"\\]*",|"apiVersion":"[^"\\]*","kind":"[^"\\]*",)?"metadata":'
)


def parts_of(raw: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """The top-level parts of an object, undecoded.

    Raises:
        msgspec.DecodeError, RecursionError: it is not one JSON object.
    """
    return _decode_parts(raw)


def with_type(raw: bytes, api_version: str, kind: str) -> bytes:
    """An object with kind and apiVersion, where it has none of its own.

    Raises:
        msgspec.DecodeError, RecursionError: it is not one JSON object; an object that begins with its metadata is not
            checked.
    """
    if not kind or _TYPED.match(raw):
        return raw
    prefix = _type_prefix(api_version, kind)
    if raw.startswith(b'{"metadata":'):
        return prefix + raw[1:]
    parts = _decode_parts(raw)
    own_kind, own_version = parts.pop("kind", b""), parts.pop("apiVersion", b"")
    if _TEXT.match(own_kind) and _TEXT.match(own_version):
        return raw
    typed = {
        "kind": own_kind if _TEXT.match(own_kind) else msgspec.Raw(_encode(kind)),
        "apiVersion": own_version if _TEXT.match(own_version) else msgspec.Raw(_encode(api_version)),
    }
    return _encode({**typed, **parts})


@lru_cache(maxsize=256)
def _type_prefix(api_version: str, kind: str) -> bytes:
    return b'{"kind":%s,"apiVersion":%s,' % (_encode(kind), _encode(api_version))


@lru_cache(maxsize=256)
def tree_of(paths: tuple[tuple[str | int, ...], ...]) -> Tree:
    """Parsed paths as one tree, which is shared: read-only."""
    tree: Tree = {}
    for path in paths:
        *way, last = path
        branch = tree
        for key in way:
            below = branch.setdefault(key, {})
            if below is None:  # a shorter path takes away all of it
                break
            branch = below
        else:
            branch[last] = None
    return tree


def without(raw: bytes, tree: Tree) -> bytes:
    """JSON without what the leaves of a tree lead to; the very same bytes when none of them is there.

    Raises:
        msgspec.DecodeError, RecursionError: it is no JSON.
    """
    if len(tree) == 1 and (leaves := tree.get("metadata")) and not any(leaves.values()):
        cut = _without_metadata(raw, leaves)
        if cut is not None:
            return cut
    return _without(raw, tree)


def _without_metadata(raw: bytes, leaves: Iterable[str | int]) -> bytes | None:
    """The common case in half the time: some of the metadata goes, and they stand where API servers put them.

    None where that is not so.
    """
    head = _BEFORE_METADATA.match(raw)
    if head is None:
        return None
    try:
        metadata: dict[Any, msgspec.Raw] = _decode_metadata_parts(raw).metadata
    except msgspec.ValidationError:
        return None
    start = head.end()
    whole = _encode(metadata)
    end = start + len(whole)
    # Only when they come out as they went in is it known where they end. A second key of that name would count instead.
    if not raw.startswith(whole, start) or raw.find(b'"metadata":', end) >= 0:
        return None
    before = len(metadata)
    for leaf in leaves:
        metadata.pop(leaf, None)
    if len(metadata) == before:
        return raw
    return b"".join((raw[:start], _encode(metadata), raw[end:]))


def _without(raw: bytes, tree: Tree) -> bytes:
    parts: dict[Any, msgspec.Raw]
    is_list = False
    try:
        parts = dict(_decode_parts(raw))
    except msgspec.ValidationError:
        try:
            parts = dict(enumerate(_decode_items(raw)))
        except msgspec.ValidationError:
            return raw
        is_list = True
    length = len(parts)
    changed = False
    for key, branch in tree.items():
        at = length + key if is_list and isinstance(key, int) and key < 0 else key
        if at not in parts:
            continue
        if branch is None:
            del parts[at]
            changed = True
        else:
            before = bytes(parts[at])
            after = _without(before, branch)
            if after is not before:
                parts[at] = msgspec.Raw(after)
                changed = True
    if not changed:
        return raw
    return _encode(list(parts.values()) if is_list else parts)
