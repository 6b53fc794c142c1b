"""Paths into objects: "spec.nodeName", or ("metadata", "labels", "app.kubernetes.io/name") where a key has dots.

A path into JSON is compiled once to a decoder that builds nothing but what the path names.
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

__all__ = ["MISSING", "IndexBy", "JSONFields", "Path", "find_in_json", "get_path", "index_by", "parse_path"]

Path = str | tuple[str | int, ...]

# Characters that JSON escapes, and those that UTF-8 has no form for.
_UNSEARCHABLE = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')
_SCALARS = (str, bytes, int, float, type(None))


class _Missing:
    """Says that a path leads nowhere, where None may be a value."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()


class JSONFields:
    """What keeps its fields as JSON and finds them there."""

    __slots__ = ()

    def find(self, keys: tuple[str | int, ...]) -> Any:
        """What a parsed path leads to, read-only; MISSING where it leads nowhere."""
        raise NotImplementedError


def parse_path(path: Path) -> tuple[str | int, ...]:
    """The keys of a path.

    Raises:
        TypeError: it is neither a string nor a tuple of strings and ints.
        ValueError: it, or one of its keys, is empty.
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
    """What a path leads to in an object's JSON, read-only; MISSING where it leads nowhere.

    Raises:
        ValueError: what is there cannot be shown: it is nested too deeply, or has a number that no float can hold.
    """
    try:
        return freeze(_find(raw, keys))
    except RecursionError:
        raise ValueError("the object is nested too deeply") from None
    except msgspec.DecodeError as error:
        raise ValueError(f"the object cannot be read: {error}") from None


def _find(raw: bytes, keys: tuple[str | int, ...]) -> Any:
    decoder = _decoder(keys)
    if decoder is None:
        return _walk(msgspec.json.decode(raw), keys)
    try:
        found = decoder.decode(raw)
    except msgspec.ValidationError:
        # Something on the way is null or of another type; the plain way tells which keys are there.
        return _walk(msgspec.json.decode(raw), keys)
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


def get_path(obj: Any, keys: tuple[str | int, ...]) -> Any:
    """What a parsed path leads to in any kind of object; MISSING where it leads nowhere."""
    if type(obj) is Entry:
        obj = obj.object
    if isinstance(obj, JSONFields):
        return obj.find(keys)
    return _walk(obj, keys)


class IndexBy:
    """An index function that takes its values from a path; see `index_by`.

    It reads an object in the form in which it is stored as well as in the user's, so a cache need not decode it for this.
    """

    __slots__ = ("_keys", "_path")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys = parse_path(path)

    def __call__(self, obj: Any) -> list[str]:
        """An object's values."""
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
    """An index function that takes its values from a path; an object without the path is in no entry of the index.

    Args:
        path: leads to a string, a number, a boolean ("true" or "false" in the index), or a list of these. Keys are the
            API's, also where the objects are of a type that renames them.

    Raises:
        TypeError, ValueError: it is no path.

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
    """None where a key has characters that msgspec cannot look for."""
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


def _walk(value: Any, keys: Iterable[str | int]) -> Any:
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
    """A field of a model, by the name that the API gives it."""
    if not isinstance(key, str) or key.startswith("__"):
        return MISSING
    kind: Any = type(value)
    fields = _attributes_of(kind)
    attribute = key if fields is None else fields.get(key)
    found = None if attribute is None else getattr(value, attribute, None)
    # A model has all fields that its type names, and None for those that the object has not.
    return MISSING if found is None or found is msgspec.UNSET else found


@lru_cache(maxsize=1024)
def _attributes_of(kind: Hashable) -> Mapping[str, str] | None:
    """The fields of a model's type by the API's names and by its own; None for any other type, which shows what it has."""
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
    """The API's spelling of a Python name: `node_name` is nodeName."""
    head, *rest = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest)
