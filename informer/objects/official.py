"""Official model classes, such as `V1Pod`, as types of objects: checked when an object arrives, made when it is read.

Making an official model takes longer than anything else that happens to an object, so that is left to readers. What a model
refuses has to be known earlier: a check by msgspec, which is fast, is generated from the class. It is stricter than the
class. The class itself decides about an object that fails the check.
"""

from __future__ import annotations

import datetime
import inspect
import re
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any, TypeVar

import msgspec

from informer.objects.decode_errors import ModelError, describe_decode_error
from informer.objects.entry import Entry, unwrap
from informer.objects.namespaced_name import namespaced_name
from watch.printable import printable

__all__ = ["OfficialModel", "is_official"]

S = TypeVar("S")

_LIST = re.compile(r"[Ll]ist\[(.*)\]\Z")
_DICT = re.compile(r"(?:dict\(|Dict\[)[^,]*, (.*)[)\]]\Z")
# In JSON, bytes are a string.
_PLAIN = {
    "str": str,
    "bytes": str,
    "int": int,
    "float": float,
    "bool": bool,
    "datetime": datetime.datetime,
    "object": Any,
}


def is_official(kind: Any) -> bool:
    """Whether a value is a model class of the official client."""
    return isinstance(kind, type) and hasattr(kind, "openapi_types") and hasattr(kind, "attribute_map")


class OfficialModel:
    """Decodes objects to one official model class. Calling it makes what users see of a stored item.

    Args:
        model: the class.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._checker: Callable[[bytes], Any] | None = None
        self._is_made = False

    def __call__(self, item: Any) -> Any:
        """Returns the model of an `Object`, and what users see of any other stored item. Raises as `decode`."""
        to_json = getattr(item, "to_json", None)
        if type(item) is Entry or to_json is None:
            return unwrap(item)
        try:
            return self.decode(to_json())
        except ModelError as error:
            raise ModelError(
                f"{printable(namespaced_name(item.namespace, item.name), 400)} {error}"
            ) from error.__cause__

    def checked(self, obj: S) -> S:
        """Returns an `Object` that decodes to the class. Raises as `decode`."""
        self.check(obj.to_json())  # type: ignore[attr-defined]
        return obj

    def decode(self, raw: bytes) -> Any:
        """Returns the model of an object's JSON.

        Raises:
            ModelError: the class refuses the object; the message names the field, if that is known.
        """
        client, takes_text = _official_client(_package_of(self.model))
        try:
            if takes_text:
                return client.deserialize(raw.decode(), self.model.__name__, "application/json")
            return client.deserialize(_Body(raw), self.model.__name__)
        # The official client validates while it decodes, and its messages may quote the object.
        except Exception as error:
            raise ModelError(f"does not decode to {self.model.__name__}: {self._reason(raw, error)}") from error

    def check(self, raw: bytes) -> None:
        """Raises what `decode` raises."""
        check = self._check()
        if check is not None:
            try:
                check(raw)
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
                pass
            else:
                return
        self.decode(raw)

    def _reason(self, raw: bytes, error: Exception) -> str:
        check = self._check()
        if check is not None:
            try:
                check(raw)
            except msgspec.ValidationError as found:
                return describe_decode_error(found)
            except Exception:
                return describe_decode_error(error)
        return describe_decode_error(error)

    def _check(self) -> Callable[[bytes], Any] | None:
        """The generated check; None for a class whose rules cannot be expressed. It is made when the first object comes."""
        if not self._is_made:
            self._checker = _checker_of(self.model)
            self._is_made = True
        return self._checker


class _Body:
    """A response as the deserialisers of official clients before version 36 take it."""

    def __init__(self, raw: bytes) -> None:
        self.data = raw.decode()


_PACKAGES = ("kubernetes", "kubernetes_asyncio")


def _package_of(model: Any) -> str:
    """Returns the package of a model class or of the class that it extends."""
    packages = (base.__module__.partition(".")[0] for base in model.__mro__)
    return next((package for package in packages if package in _PACKAGES), _PACKAGES[0])


@lru_cache(maxsize=2)
def _official_client(package: str) -> tuple[Any, bool]:
    """A client used only for its deserialiser, and whether that takes text (from version 36 on) or a response."""
    client: Any = import_module(f"{package}.client")
    # An empty configuration: decoding an object must not depend on a cluster.
    configuration = client.Configuration()
    if package == "kubernetes":
        made = client.ApiClient(configuration)
    else:
        # Without `__init__`, which needs a running event loop.
        made = client.ApiClient.__new__(client.ApiClient)
        made.configuration = configuration
    return made, "response_text" in inspect.signature(made.deserialize).parameters


class _NotExpressibleError(Exception):
    """A class has rules beyond the types of its fields, or contains itself."""


@lru_cache(maxsize=64)
def _checker_of(model: Any) -> Callable[[bytes], Any] | None:
    made: dict[Any, Any] = {}
    try:
        return msgspec.json.Decoder(_shape_of(model, made)).decode
    except Exception:
        return None


def _shape_of(model: Any, made: dict[Any, Any]) -> Any:
    """The struct with the fields of a model class. Its fields are those of the JSON; None in `made` marks one under way."""
    if model in made:
        if made[model] is None:
            raise _NotExpressibleError
        return made[model]
    made[model] = None
    _refuse_further_rules(model)
    fields: list[Any] = []
    names: dict[str, str] = {}
    for number, (attribute, type_name) in enumerate(model.openapi_types.items()):
        # Attributes may have names that a struct cannot.
        field = f"f{number}"
        names[field] = model.attribute_map[attribute]
        shape = _shape_of_type(type_name, made, _package_of(model))
        if _is_required(model, attribute):
            fields.append((field, shape))
        else:
            fields.append((field, shape if shape is Any else shape | None, None))
    made[model] = msgspec.defstruct(model.__name__, fields, rename=names, kw_only=True)
    return made[model]


def _shape_of_type(type_name: str, made: dict[Any, Any], package: str) -> Any:
    if type_name in _PLAIN:
        return _PLAIN[type_name]
    containers: tuple[tuple[re.Pattern[str], Any], ...] = ((_LIST, list), (_DICT, dict))
    for pattern, container in containers:
        found = pattern.match(type_name)
        if found is not None:
            inner: Any = _shape_of_type(found[1], made, package)
            return container[inner] if container is list else container[str, inner]
    found_class = getattr(import_module(f"{package}.client.models"), type_name, None)
    if not is_official(found_class):
        raise _NotExpressibleError
    return _shape_of(found_class, made)


def _is_required(model: Any, attribute: str) -> bool:
    """Whether a class refuses null for an attribute."""
    fields = getattr(model, "model_fields", None)
    if isinstance(fields, dict):
        wire = model.attribute_map[attribute]
        # A field that is a word of Python has yet another name.
        found = [field for name, field in fields.items() if wire in (field.serialization_alias or name, name)]
        return any(field.is_required() for field in found)
    # Classes of earlier clients check in their setters.
    empty = model.__new__(model)
    empty.local_vars_configuration = import_module(f"{_package_of(model)}.client").Configuration()
    try:
        setattr(empty, attribute, None)
    except ValueError:
        return True
    return False


def _refuse_further_rules(model: Any) -> None:
    """Raises for a pydantic class with validators of its own, whose rules are not visible in the types of its fields."""
    decorators = getattr(model, "__pydantic_decorators__", None)
    if decorators is None:
        return
    # One class has a validator of this name, which only looks for fields under their Python names too.
    of_model = [name for name in decorators.model_validators if not name.endswith("__validate_input_names")]
    if of_model or decorators.field_validators or decorators.validators:
        raise _NotExpressibleError
