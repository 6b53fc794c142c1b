"""The user's own types for objects, instead of `Object`.

Comes in: an `Object`. Goes out: what is stored, and from that what users see.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from informer.objects.entry import Entry, unwrap
from informer.objects.object import Object
from informer.objects.paths import camel_case
from informer.objects.type_decoders import decoder_for, described_parts, fields_of, is_described

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
    if is_described(model):
        if schema is not None:
            _check_fields(model, schema, model.__name__)
        decode = decoder_for(model)
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
        try:
            if takes_text:
                return client.deserialize(item.raw.decode(), model.__name__, "application/json")
            return client.deserialize(_Body(item.raw), model.__name__)
        # It checks as it decodes, and which object it was is not in its message.
        except Exception as error:
            where = f"{item.namespace}/{item.name}" if item.namespace else item.name
            raise ValueError(f"{where} does not decode to {model.__name__}: {type(error).__name__}") from error

    return read


@lru_cache(maxsize=1)
def _official_client() -> tuple[Any, bool]:
    """One client for its deserialiser alone, and whether that takes text (from version 36 on) or a response."""
    import inspect

    from kubernetes import client

    # Its own configuration: reading objects depends on no cluster.
    made = client.ApiClient(client.Configuration())
    return made, "response_text" in inspect.signature(made.deserialize).parameters


def _check_fields(model: Any, schema: Any, where: str, checked: frozenset[tuple[Any, Any]] = frozenset()) -> None:
    """Compares field names with the official model of the same object, all the way down."""
    if (model, schema) in checked:
        return
    known = {wire: attribute for attribute, wire in schema.attribute_map.items()}
    for name, annotation in fields_of(model).items():
        wire = camel_case(name) if dataclasses.is_dataclass(model) else name
        if wire not in known:
            near = difflib.get_close_matches(wire, known, 1, 0.5)
            hint = f": did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{where} has a field {name!r}, which {schema.__name__} does not have{hint}")
        inner_schema = _schema_named(schema.openapi_types[known[wire]])
        if inner_schema is None:
            continue
        for part in described_parts(annotation):
            _check_fields(part, inner_schema, f"{where}.{name}", checked | {(model, schema)})


def _schema_named(name: str) -> Any:
    from kubernetes.client import models

    inner = name
    for prefix in ("list[", "List[", "dict(str, ", "Dict[str, "):
        if inner.startswith(prefix):
            inner = inner[len(prefix) : -1]
    found = getattr(models, inner, None)
    return found if hasattr(found, "attribute_map") else None
