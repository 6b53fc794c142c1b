"""Edits an object's JSON without decoding all of it: removes fields, and adds kind and apiVersion.

Only the containers on the way to an edit are decoded. All other bytes are copied unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec

from watch.deep_json import check_json, items_in, parts_in

__all__ = ["TYPED", "Tree", "checked_parts_of", "items_of", "parts_of", "retyped", "tree_of", "with_type", "without"]

Tree = dict[str | int, Any]
"""Paths to remove, as a tree: a key maps to None (remove it), or to the tree of paths to remove below it."""


class _MetadataParts(msgspec.Struct, gc=False):
    metadata: dict[str, msgspec.Raw] = {}


_decode_metadata_parts = msgspec.json.Decoder(_MetadataParts).decode
_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.encode

TYPED = re.compile(rb'\{(?:"kind":"[^"\\]+","apiVersion":"[^"\\]+"|"apiVersion":"[^"\\]+","kind":"[^"\\]+")[,}]')
"""How JSON begins that says its kind and apiVersion first, as API servers write it. It matches up to the next byte."""
_TEXT = re.compile(rb'"[^"]')
# How API servers begin an object.
_BEFORE_METADATA = re.compile(
    rb'\{(?:"kind":"[^"\\]*","apiVersion":"[^"\\]*",|"apiVersion":"[^"\\]*","kind":"[^"\\]*",)?"metadata":'
)


def parts_of(raw: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """Returns the top-level fields of a JSON object; their values stay undecoded.

    Raises:
        msgspec.DecodeError: `raw` is not one JSON object. A value that is nested too deeply to decode is not checked.
    """
    try:
        return _parts(raw)
    except RecursionError:
        return parts_in(raw)


def checked_parts_of(raw: bytes) -> dict[str, msgspec.Raw]:
    """Returns the same as `parts_of`, and checks that all values are JSON of at most `MAX_DEPTH` levels."""
    try:
        return _parts(raw)
    except RecursionError:
        check_json(raw)
        return parts_in(raw)


def items_of(raw: bytes | msgspec.Raw) -> list[msgspec.Raw]:
    """Returns the items of a JSON array; their values stay undecoded. Raises as `parts_of`."""
    try:
        return _items(raw)
    except RecursionError:
        return items_in(raw)


def with_type(raw: bytes, api_version: str, kind: str) -> bytes:
    """Adds kind and apiVersion to an object's JSON where they are missing or empty.

    An object that begins with its metadata is assumed to lack both and is not decoded. Should it have its own further back,
    those count: decoders use the last of two equal keys.

    Raises:
        msgspec.DecodeError: `raw` is not one JSON object. An object that begins with its metadata is not
            checked.
    """
    if not kind or TYPED.match(raw):
        return raw
    prefix = _type_prefix(api_version, kind)
    if raw.startswith(b'{"metadata":'):
        return prefix + raw[1:]
    parts = parts_of(raw)
    own_kind, own_version = parts.pop("kind", b""), parts.pop("apiVersion", b"")
    if _TEXT.match(own_kind) and _TEXT.match(own_version):
        return raw
    typed = {
        "kind": own_kind if _TEXT.match(own_kind) else msgspec.Raw(_encode(kind)),
        "apiVersion": own_version if _TEXT.match(own_version) else msgspec.Raw(_encode(api_version)),
    }
    return _encode({**typed, **parts})


def retyped(raw: bytes, wrong: tuple[str, str], right: tuple[str, str]) -> bytes:
    """Replaces an object's apiVersion and kind, and adds them where they are missing.

    Args:
        raw: the object's JSON.
        wrong: the (apiVersion, kind) that is replaced; an object of another type is returned unchanged.
        right: the (apiVersion, kind) that takes its place; with "" as the kind, nothing is changed.

    Raises:
        msgspec.DecodeError: `raw` is not one JSON object. An object in the usual form is not checked.
    """
    api_version, kind = right
    if not kind:
        return raw
    for head in _type_heads(*wrong):
        if raw.startswith(head):
            return _type_prefix(api_version, kind) + raw[len(head) :]
    typed = with_type(raw, api_version, kind)
    if typed is not raw or TYPED.match(raw):
        return typed
    parts = parts_of(raw)
    own = {"apiVersion": parts.pop("apiVersion", None), "kind": parts.pop("kind", None)}
    if tuple(None if part is None else msgspec.json.decode(part) for part in own.values()) != wrong:
        return raw
    return _encode({"kind": msgspec.Raw(_encode(kind)), "apiVersion": msgspec.Raw(_encode(api_version)), **parts})


@lru_cache(maxsize=256)
def _type_heads(api_version: str, kind: str) -> tuple[bytes, bytes]:
    quoted_kind, quoted_version = _encode(kind), _encode(api_version)
    return (
        b'{"kind":%s,"apiVersion":%s,' % (quoted_kind, quoted_version),
        b'{"apiVersion":%s,"kind":%s,' % (quoted_version, quoted_kind),
    )


@lru_cache(maxsize=256)
def _type_prefix(api_version: str, kind: str) -> bytes:
    return b'{"kind":%s,"apiVersion":%s,' % (_encode(kind), _encode(api_version))


@lru_cache(maxsize=256)
def tree_of(paths: tuple[tuple[str | int, ...], ...]) -> Tree:
    """Joins parsed paths to one tree. Do not change it: equal calls return the same tree."""
    tree: Tree = {}
    for path in paths:
        *way, last = path
        branch = tree
        for key in way:
            below = branch.setdefault(key, {})
            if below is None:  # a shorter path removes all of it
                break
            branch = below
        else:
            branch[last] = None
    return tree


def without(raw: bytes, tree: Tree) -> bytes:
    """Removes the paths of a tree from JSON.

    Returns:
        New JSON, or `raw` itself when it has none of the paths.

    Raises:
        msgspec.DecodeError: `raw` is not JSON.
    """
    if len(tree) == 1 and (leaves := tree.get("metadata")) and not any(leaves.values()):
        cut = _without_metadata(raw, leaves)
        if cut is not None:
            return cut
    return _without(raw, tree)


def _without_metadata(raw: bytes, leaves: Iterable[str | int]) -> bytes | None:
    """Removes fields of the metadata in half the time, for objects whose metadata stand where API servers put them.

    Returns:
        None when the object is laid out otherwise.
    """
    head = _BEFORE_METADATA.match(raw)
    if head is None:
        return None
    try:
        metadata: dict[Any, msgspec.Raw] = _decode_metadata_parts(raw).metadata
    except (msgspec.ValidationError, RecursionError):
        return None
    start = head.end()
    whole = _encode(metadata)
    end = start + len(whole)
    # The end of the metadata is known only when encoding them again gives the same bytes. A second "metadata" key would
    # count in place of the first.
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
        parts = dict(parts_of(raw))
    except msgspec.ValidationError:
        try:
            parts = dict(enumerate(items_of(raw)))
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
