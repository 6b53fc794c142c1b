"""What a version of a custom resource demands of its objects, compiled once per schema."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from typing import Any

import msgspec

from informer.testing.storage.schemas.rules import Rules, compile_rules
from informer.testing.storage.schemas.structure import EMBEDDED, PRESERVES, Schema, complete
from informer.testing.storage.schemas.validation import SchemaValidator
from informer.testing.storage.statuses import Cause

__all__ = ["CustomSchema"]

_numbers = itertools.count(1)
# With a cause of one of these reasons, rules are not evaluated.
_BLOCKING = {f"FieldValue{what}" for what in ("NotSupported", "Required", "TooLong", "TooMany", "TypeInvalid")}
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

    def complete(self, obj: dict[str, Any]) -> list[str]:
        """Prunes an object, fills in its defaults, and returns the paths of the pruned fields."""
        return complete(obj, self.schema)

    def rule_causes(self, path: str) -> list[Cause]:
        """Returns what is wrong with the rules of a schema, which is at a path of its definition.

        Raises:
            ImportError: a package that the schema needs is not installed.
        """
        causes: list[Cause] = []
        _ = self.is_free or self._validator
        compile_rules(self.schema, path, causes)
        return causes

    def check(self, obj: Mapping[str, Any], old: Mapping[str, Any] | None, warnings: list[str]) -> list[Cause]:
        """Returns what is wrong with an object.

        What the stored object has too is accepted; broken rules become warnings then.

        Args:
            obj: the object, with kind and apiVersion.
            old: the stored object; None for a new one.
            warnings: receives texts for the writer.
        """
        if self.is_free:
            return []
        causes = list(self._validator.causes(obj, old))
        if self._rules is None:
            return causes
        if any(cause.reason in _BLOCKING for cause in causes):
            return [*causes, Cause.bad("<nil>", "null", _UNCHECKED)]
        for broken in self._rules.broken(obj, old):
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
