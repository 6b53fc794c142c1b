"""Models: the types that users choose for their objects instead of `Object`, and the names of the official model classes."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from informer.objects.entry import Entry, unwrap
from informer.objects.object import Object
from informer.objects.object_fields import too_deep
from informer.objects.official import OfficialModel, is_official
from informer.objects.paths import camel_case
from informer.objects.type_decoders import decoder_for, described_parts, fields_of, is_described

__all__ = ["Codec", "ModelName", "model_for", "parse_model_name"]

_MODEL_NAME = re.compile(r"(?P<group>[A-Z][a-z]+)?(?P<version>V\d+(?:(?:alpha|beta)\d+)?)(?P<kind>[A-Z]\w*)\Z")


class ModelName(NamedTuple):
    """What the name of an official model class says: `V1Pod`, `EventsV1Event`, `ResourceV1ResourceClaim`.

    Attributes:
        group_hint: the first word of the API group in small letters, such as "events" for events.k8s.io; "core" for the
            core group; "" when the name does not say, as in `V1Pod`. A name has a hint only where two groups have a class
            of that version and kind.
        version: the API version, such as "v1" or "v1beta1".
        kind: the kind, such as "Pod" or "PodList".
    """

    group_hint: str
    version: str
    kind: str

    def fits_group(self, group: str) -> bool:
        """Whether the class can be of an API group ("" is the core group). Without a hint it can be of any."""
        return self.group_hint in ("", group.partition(".")[0] or "core")


def parse_model_name(class_name: str) -> ModelName | None:
    """Splits the name of an official model class into group hint, version and kind.

    The names of parts, such as `V1PodSpec`, have the same form: only the class's fields tell a resource from a part.

    Returns:
        None when the name does not have the form, as `VersionInfo`.

    Example:
        >>> parse_model_name("EventsV1Event")
        ModelName(group_hint='events', version='v1', kind='Event')
    """
    found = _MODEL_NAME.match(class_name)
    if found is None:
        return None
    return ModelName((found["group"] or "").lower(), found["version"].lower(), found["kind"])


class Codec:
    """Converts an `Object` to what the cache stores, and that to what users see.

    Args:
        model: the users' type, for messages.
        wrap: converts an `Object` to what the cache stores; raises when the object does not fit the type.
        unwrap: converts what the cache stores to what users see.
        identity: whether users see what the cache stores, so that `unwrap` need not be called.
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
    """Returns the codec of a model.

    Args:
        model: one of these:

            - None or `Object`: objects are stored and shown as `Object`;
            - `dict`, or a `msgspec.Struct`, dataclass or TypedDict that names only the fields of interest: an object is
              decoded once, when it arrives, and stays in memory in that form: a pod as a dict takes about five times the
              memory of an `Object`, whose `to_dict()` gives the same dict when it is needed;
            - a pydantic `BaseModel` whose field names or aliases are those of the API: decoded once, too;
            - an official model class such as `V1Pod`: an object is checked when it arrives, and decoded each time that it is
              read.
        schema: the official model class of the resource; field names of `model` are checked against it. None checks
            nothing.

    Raises:
        TypeError: `model` is none of these, or names a field that the API does not have.
    """
    if model is None or model is Object:
        return _OBJECT
    if model is dict:
        return Codec(dict, _storing(lambda obj: obj.to_dict()), unwrap)
    if is_official(model):
        official = OfficialModel(model)
        return Codec(model, official.checked, official)
    if is_described(model):
        if schema is not None:
            _check_fields(model, schema, model.__name__)
        decoder_for(model)  # raises for a type that cannot be decoded to
        return Codec(model, _storing(lambda obj: obj.view(model)), unwrap)
    raise TypeError(
        f"model must be None, dict, a msgspec.Struct, dataclass, TypedDict or an official model class, not {model!r} "
        "(a pydantic BaseModel will do, too)"
    )


def _storing(decode: Callable[[Object], Any]) -> Callable[[Object], Entry]:
    def wrap(obj: Object) -> Entry:
        try:
            value = decode(obj)
        except RecursionError:
            raise too_deep() from None
        return Entry(obj.name, obj.namespace, obj.uid, obj.resource_version, value, obj.form)

    return wrap


def _check_fields(model: Any, schema: Any, where: str, checked: frozenset[tuple[Any, Any]] = frozenset()) -> None:
    """Compares field names with the official model of the same object, in all nested types too."""
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


def _schema_named(type_name: str) -> Any:
    """The official model class in a type name such as "list[V1Container]"; None for any other type."""
    from kubernetes.client import models

    inner = type_name
    for prefix in ("list[", "List[", "dict(str, ", "Dict[str, "):
        if inner.startswith(prefix):
            inner = inner[len(prefix) : -1]
    found = getattr(models, inner, None)
    return found if hasattr(found, "attribute_map") else None
