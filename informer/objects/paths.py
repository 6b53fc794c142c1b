"""Paths into objects: "spec.nodeName", or a tuple such as ("metadata", "labels", "app.kubernetes.io/name").

For JSON, each path is compiled once to a decoder that builds only the value at the path.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from informer.objects.entry import Entry
from informer.objects.frozen import freeze
from informer.objects.json_edit import items_of, parts_of
from informer.objects.object_fields import too_deep
from watch.deep_json import decode_deep

__all__ = ["MISSING", "IndexBy", "JSONFields", "Path", "find_in_json", "get_path", "index_by", "parse_path", "walk"]

Path = str | tuple[str | int, ...]

# Characters that JSON escapes, and surrogates, which UTF-8 cannot express.
_UNSEARCHABLE = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')
_SCALARS = (str, bytes, int, float, type(None))


class _Missing:
    """The type of MISSING, which stands for "nothing at this path". None cannot: it may be the value."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()


class JSONFields:
    """Base of objects that keep their fields as JSON and find them there."""

    __slots__ = ()

    def find(self, keys: tuple[str | int, ...]) -> Any:
        """Returns the value at a parsed path, read-only, or MISSING."""
        raise NotImplementedError


def parse_path(path: Path) -> tuple[str | int, ...]:
    """Splits a path into keys.

    Raises:
        TypeError: `path` is neither a string nor a tuple of strings and ints.
        ValueError: the path or one of its keys is empty.
    """
    if isinstance(path, str):
        return _split(path)
    keys: Any = path
    if not isinstance(keys, tuple) or any(isinstance(key, bool) or not isinstance(key, (str, int)) for key in keys):
        raise TypeError(f"a path is a dotted string or a tuple of keys and list indices, not {path!r}")
    if not keys or "" in keys:
        raise ValueError(f"a path needs at least one key, and none may be empty: {path!r}")
    return keys


@lru_cache(maxsize=4096)
def _split(path: str) -> tuple[str, ...]:
    keys = tuple(path.split("."))
    if "" in keys:
        raise ValueError(f"a path needs at least one key, and none may be empty: {path!r}")
    return keys


def find_in_json(raw: bytes, keys: tuple[str | int, ...]) -> Any:
    """Returns the value at a parsed path in an object's JSON, read-only, or MISSING.

    Raises:
        ValueError: the value is nested too deeply, or has a number too large for a float.
    """
    try:
        try:
            return freeze(_find(raw, keys))
        except RecursionError:
            return freeze(_find_beside_deep_values(raw, keys))
    except RecursionError:
        raise too_deep() from None
    except msgspec.DecodeError as error:
        raise ValueError(f"the object cannot be read: {error}") from None


def _find(raw: bytes, keys: tuple[str | int, ...]) -> Any:
    decoder = _decoder(keys)
    if decoder is None:
        return walk(msgspec.json.decode(raw), keys)
    try:
        found = decoder.decode(raw)
    except msgspec.ValidationError:
        # A value on the way is null or of another type: decode all of it and look key by key.
        return walk(msgspec.json.decode(raw), keys)
    for key in keys:
        if isinstance(key, int):
            if not -len(found) <= key < len(found):
                return MISSING
            found = found[key]
        else:
            found = found.found
            if found is msgspec.UNSET:
                return MISSING
    return found


def _find_beside_deep_values(raw: bytes | msgspec.Raw, keys: Iterable[str | int]) -> Any:
    """Finds a value in JSON whose other parts may be nested too deeply to decode."""
    for key in keys:
        try:
            if isinstance(key, int):
                items = items_of(raw)
                if not -len(items) <= key < len(items):
                    return MISSING
                raw = items[key]
            else:
                parts = parts_of(raw)
                if key not in parts:
                    return MISSING
                raw = parts[key]
        except msgspec.ValidationError:
            return MISSING
    return decode_deep(bytes(raw), freeze)


def get_path(obj: Any, keys: tuple[str | int, ...]) -> Any:
    """Returns the value at a parsed path in an object of any form, or MISSING."""
    if type(obj) is Entry:
        obj = obj.object
    if isinstance(obj, JSONFields):
        return obj.find(keys)
    return walk(obj, keys)


class IndexBy:
    """An index function that returns the value at a path, as strings; `index_by` makes it.

    It reads objects in their stored form too, so the cache does not decode an object to index it.
    """

    __slots__ = ("_keys", "_path")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys = parse_path(path)

    def __call__(self, obj: Any) -> list[str]:
        """Returns the values under which the object is indexed."""
        found = get_path(obj, self._keys)
        if isinstance(found, str):
            return [found] if found else []
        if isinstance(found, (list, tuple)):
            return [text for item in found if (text := _text(item)) is not None]
        text = _text(found)
        return [] if text is None else [text]

    def __repr__(self) -> str:
        return f"index_by({self._path!r})"


def index_by(path: Path) -> Callable[[Any], list[str]]:
    """Returns an index function that indexes objects by the value at a path.

    Objects that have nothing at the path are not in the index.

    Args:
        path: the path of a string, a number, a boolean ("true" or "false" in the index), or a list of these. Use the API's
            field names, even for models that rename them.

    Raises:
        TypeError, ValueError: `path` is not a path.

    Example:
        >>> index_by("spec.nodeName")({"spec": {"nodeName": "worker-1"}})
        ['worker-1']
    """
    return IndexBy(path)


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, (int, float)) else None


@lru_cache(maxsize=1024)
def _decoder(keys: tuple[str | int, ...]) -> msgspec.json.Decoder[Any] | None:
    """A decoder of only the value at a path; None when a key has characters that msgspec cannot match."""
    shape: Any = Any
    for key in reversed(keys):
        if isinstance(key, int):
            shape = list[shape]
        else:
            if _UNSEARCHABLE.search(key):
                return None
            kind = Any if shape is Any else shape | msgspec.UnsetType
            shape = msgspec.defstruct("At", [("found", kind, msgspec.UNSET)], rename={"found": key}, gc=False)
    return msgspec.json.Decoder(shape)


def walk(value: Any, keys: Iterable[str | int]) -> Any:
    """Returns the value at a parsed path in a decoded object, or MISSING."""
    for key in keys:
        if isinstance(value, (list, tuple)):
            if not isinstance(key, int) or not -len(value) <= key < len(value):
                return MISSING
            value = value[key]
        elif isinstance(value, Mapping):
            value = value.get(key, MISSING)
        else:
            value = MISSING if isinstance(value, _SCALARS) else _attribute(value, key)
        if value is MISSING:
            return MISSING
    return value


def _attribute(value: Any, key: str | int) -> Any:
    """A field of a model instance, by its name in the API."""
    if not isinstance(key, str) or key.startswith("__"):
        return MISSING
    kind: Any = type(value)
    fields = _attributes_of(kind)
    attribute = key if fields is None else fields.get(key)
    found = None if attribute is None else getattr(value, attribute, None)
    # An instance of a model has every field of its type; None stands for the fields that the object lacks.
    return MISSING if found is None or found is msgspec.UNSET else found


@lru_cache(maxsize=1024)
def _attributes_of(kind: Hashable) -> Mapping[str, str] | None:
    """A model type's attributes, by their names in the API and by their own names; None for a type that is not a model."""
    official = getattr(kind, "attribute_map", None)
    if isinstance(official, Mapping):
        return {name: name for name in official} | {wire_name: name for name, wire_name in official.items()}
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        own = kind.__struct_fields__
        return dict(zip(own, own, strict=True)) | dict(zip(kind.__struct_encode_fields__, own, strict=True))
    if dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind)]
        return {name: name for name in names} | {camel_case(name): name for name in names}
    return None


def camel_case(name: str) -> str:
    """Converts a Python name to the API's spelling: `node_name` to nodeName."""
    head, *rest = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest)
