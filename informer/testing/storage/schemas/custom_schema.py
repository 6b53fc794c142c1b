"""What a version of a custom resource demands of its objects, compiled once per schema."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from informer.testing.storage.schemas.object_rules import item_key, object_failures
from informer.testing.storage.schemas.rules import Rules, compile_rules
from informer.testing.storage.schemas.structure import EMBEDDED, PRESERVES, Schema, complete
from informer.testing.storage.schemas.validation import Failure, SchemaValidator
from informer.testing.storage.statuses import Cause

__all__ = ["CustomSchema"]

_numbers = itertools.count(1)
# With one of these, rules are not evaluated.
_BLOCKING = (
    "FieldValueNotSupported",
    "FieldValueRequired",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
)
_UNCHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete "
    "validation"
)


class CustomSchema:
    """The schema of a version of a custom resource.

    Args:
        schema: an openAPIV3Schema.

    Attributes:
        number: differs from that of every other schema; 0 if objects may have any fields.
        schema: the schema itself, as that of an object with metadata.
        is_free: objects may have any fields, and nothing is validated.

    Threads: any.
    """

    def __init__(self, schema: Schema) -> None:
        self.is_free = set(schema) <= {"type", "description", PRESERVES} and bool(schema.get(PRESERVES))
        self.number = 0 if self.is_free else next(_numbers)
        self.schema: Schema = {**schema, EMBEDDED: True}

    @staticmethod
    def of(schema: Schema) -> CustomSchema:
        """Returns the compiled form of a schema; equal schemas share it."""
        return _compiled(msgspec.json.encode(schema))

    def complete(self, obj: dict[str, Any], floats: list[str] | None = None) -> list[str]:
        """Prunes an object, fills in its defaults, and returns the paths of the pruned fields.

        Args:
            obj: the object.
            floats: receives the paths of integers that are written as floats, such as 2.0.
        """
        return complete(obj, self.schema, floats)

    def rule_causes(self, path: str) -> list[Cause]:
        """Returns what is wrong with the rules of a schema, which is at a path of its definition.

        Raises:
            ImportError: a package that the schema needs is not installed.
        """
        causes: list[Cause] = []
        _ = self.is_free or self._validator
        compile_rules(self.schema, path, causes)
        return causes

    def check(
        self, obj: Mapping[str, Any], old: Mapping[str, Any] | None, warnings: list[str], floats: Sequence[str]
    ) -> list[Cause]:
        """Returns what is wrong with an object.

        What the stored object has too is accepted; broken rules become warnings then.

        Args:
            obj: the object, with kind and apiVersion.
            old: the stored object; None for a new one.
            warnings: receives texts for the writer.
            floats: what `complete` has found.
        """
        if self.is_free:
            return []
        failures = [*self._validator.failures(obj), *object_failures(obj, self.schema)]
        causes = [each.cause for each in failures if old is None or not _is_old(each, obj, old, self.schema)]
        if self._rules is None:
            return causes
        if any(cause.reason in _BLOCKING for cause in causes):
            return [*causes, Cause.bad("<nil>", "null", _UNCHECKED)]
        for broken in self._rules.broken(obj, old, floats=floats):
            if broken.ratcheted:
                warnings.append(f"{broken.cause.field}: {broken.cause.message}")
            else:
                causes.append(broken.cause)
        return causes

    @functools.cached_property
    def _validator(self) -> SchemaValidator:
        return SchemaValidator(self.schema)

    @functools.cached_property
    def _rules(self) -> Rules | None:
        return compile_rules(self.schema, "", [])


@functools.lru_cache(maxsize=256)
def _compiled(schema: bytes) -> CustomSchema:
    return CustomSchema(msgspec.json.decode(schema))


def _is_old(failure: Failure, obj: Any, old: Any, schema: Schema) -> bool:
    """Returns whether a failure is about a value that the stored object has too."""
    for key in failure.path:
        if isinstance(key, int):
            wanted = item_key(obj[key], schema)
            if wanted is None or not isinstance(old, list):
                return False
            old = next((each for each in old if item_key(each, schema) == wanted), None)
            schema = schema.get("items") or {}
        else:
            old = old.get(key) if isinstance(old, dict) else None
            schema = (schema.get("properties") or {}).get(key) or schema.get("additionalProperties") or {}
        obj = obj[key]
        if old is None or not isinstance(schema, Mapping):
            return False
        if obj == old:
            return True
    return False
