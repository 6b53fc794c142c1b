"""The user's own types for objects, instead of `Object`.

Comes in: an `Object`. Goes out: what is stored, and from that what users see.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
from typing_extensions import is_typeddict

from informer.entries import Entry, unwrap
from informer.objects import Object

__all__ = ["Codec", "model_for"]


class Codec:
    """Between `Object` and a user's type.

    Args:
        model: the type, for messages.
        wrap: gives what is stored of an `Object`; raises where the object does not fit the type.
        unwrap: gives what users see of that.
        identity: whether users see what is stored.
    """

    def __init__(
        self, model: Any, wrap: Callable[[Object], Any], unwrap: Callable[[Any], Any], *, identity: bool = False
    ) -> None:
        self.model = model
        self.wrap = wrap
        self.unwrap = unwrap
        self.identity = identity


def _same(obj: Any) -> Any:
    return obj


_OBJECT = Codec(Object, _same, _same, identity=True)


def model_for(model: Any, schema: Any = None) -> Codec:
    """The codec of a type.

    Args:
        model: None or `Object`; `dict`; a `msgspec.Struct`, dataclass or TypedDict that names only the fields of interest;
            or an official model class such as `V1Pod`, decoded each time it is read.
        schema: the official model class of the resource, against which field names are checked; None checks nothing.

    Raises:
        TypeError: it is none of these, or names a field that the API does not have.
    """
    if model is None or model is Object:
        return _OBJECT
    if model is dict:
        return Codec(dict, _wrapper(Object.to_dict), unwrap)
    if isinstance(model, type) and hasattr(model, "openapi_types") and hasattr(model, "attribute_map"):
        return Codec(model, _same, _official_reader(model))
    if _is_described(model):
        if schema is not None:
            _check_fields(model, schema, model.__name__)
        decode = msgspec.json.Decoder(_with_wire_names(model)).decode
        if dataclasses.is_dataclass(model) and _with_wire_names(model) is not model:
            return Codec(model, _wrapper(lambda obj: _to_dataclass(model, decode(obj.raw))), unwrap)
        return Codec(model, _wrapper(lambda obj: decode(obj.raw)), unwrap)
    raise TypeError(
        f"model must be None, dict, a msgspec.Struct, dataclass, TypedDict or an official model class, not {model!r}"
    )


def _wrapper(decode: Callable[[Object], Any]) -> Callable[[Object], Entry]:
    def wrap(obj: Object) -> Entry:
        return Entry(obj.name, obj.namespace, obj.uid, obj.resource_version, decode(obj))

    return wrap


class _Body:
    """What the deserialisers of the official client's versions take for a response."""

    def __init__(self, raw: bytes) -> None:
        self.data = raw.decode()


def _official_reader(model: Any) -> Callable[[Any], Any]:
    def read(item: Any) -> Any:
        if type(item) is not Object:
            return unwrap(item)
        client, takes_text = _official_client()
        if takes_text:
            return client.deserialize(item.raw.decode(), model.__name__, "application/json")
        return client.deserialize(_Body(item.raw), model.__name__)

    return read


@lru_cache(maxsize=1)
def _official_client() -> tuple[Any, bool]:
    """One client for its deserialiser alone, and whether that takes text (from version 36 on) or a response."""
    import inspect

    from kubernetes import client

    # Its own configuration: reading objects depends on no cluster.
    made = client.ApiClient(client.Configuration())
    return made, "response_text" in inspect.signature(made.deserialize).parameters


def _is_described(model: Any) -> bool:
    if not isinstance(model, type):
        return False
    return issubclass(model, msgspec.Struct) or dataclasses.is_dataclass(model) or is_typeddict(model)


def _fields(model: Any) -> dict[str, tuple[str, Any]]:
    """A type's fields: name in Python to (name on the wire, type)."""
    hints = typing.get_type_hints(model, include_extras=False)
    if issubclass(model, msgspec.Struct):
        return {f.name: (f.encode_name, f.type) for f in msgspec.structs.fields(model)}
    return {name: (name, hint) for name, hint in hints.items()}


def _check_fields(model: Any, schema: Any, where: str) -> None:
    """Compares field names with the official model of the same object, all the way down."""
    known = {wire: attribute for attribute, wire in schema.attribute_map.items()}
    for _, (wire, kind) in _fields(model).items():
        camel = _camel(wire)
        if wire not in known and (camel not in known or not dataclasses.is_dataclass(model)):
            near = difflib.get_close_matches(camel, known, 1, 0.5)
            hint = f": did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{where} has a field {wire!r}, which {schema.__name__} does not have{hint}")
        inner = schema.openapi_types[known.get(wire) or known[camel]]
        inner_schema = _schema_named(inner)
        for part in _described_parts(kind):
            if inner_schema is not None:
                _check_fields(part, inner_schema, f"{where}.{wire}")


def _schema_named(name: str) -> Any:
    from kubernetes.client import models

    inner = name
    for prefix in ("list[", "List[", "dict(str, ", "Dict[str, "):
        if inner.startswith(prefix):
            inner = inner[len(prefix) : -1]
    found = getattr(models, inner, None)
    return found if hasattr(found, "attribute_map") else None


def _described_parts(kind: Any) -> list[Any]:
    if _is_described(kind):
        return [kind]
    return [part for argument in typing.get_args(kind) for part in _described_parts(argument)]


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest)


@lru_cache(maxsize=256)
def _with_wire_names(model: Any) -> Any:
    """The type that decodes a dataclass with snake_case names; any other type as it is.

    A dataclass has no way to rename a field, and Python's field names are snake_case: `node_name` is read from nodeName.
    """
    if not dataclasses.is_dataclass(model):
        return model
    parts: list[Any] = []
    renamed: dict[str, str] = {}
    changed = False
    hints = typing.get_type_hints(model)
    for field in dataclasses.fields(model):
        kind = _replace_parts(hints[field.name])
        changed = changed or kind is not hints[field.name]
        if "_" in field.name:
            renamed[field.name] = _camel(field.name)
        if field.default is not dataclasses.MISSING:
            parts.append((field.name, kind, field.default))
        elif field.default_factory is not dataclasses.MISSING:
            parts.append((field.name, kind, msgspec.field(default_factory=field.default_factory)))
        else:
            parts.append((field.name, kind))
    if not renamed and not changed:
        return model
    return msgspec.defstruct(model.__name__, parts, rename=renamed, namespace={"_made": model}, kw_only=True)


def _replace_parts(kind: Any) -> Any:
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _with_wire_names(kind)
    arguments = typing.get_args(kind)
    replaced = tuple(_replace_parts(argument) for argument in arguments)
    if replaced == arguments:
        return kind
    origin = typing.get_origin(kind)
    if origin is None or str(origin) in ("types.UnionType", "<class 'types.UnionType'>"):
        result = replaced[0]
        for other in replaced[1:]:
            result = result | other
        return result
    return typing.Union[replaced] if origin is typing.Union else origin[replaced]


def _to_dataclass(model: Any, value: Any) -> Any:
    values = {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(model)}
    return model(**values)


def _plain(value: Any) -> Any:
    made = getattr(type(value), "_made", None)
    if made is not None and isinstance(value, msgspec.Struct):
        return _to_dataclass(made, value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
