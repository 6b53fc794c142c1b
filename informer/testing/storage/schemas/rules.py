"""The rules of a schema, x-kubernetes-validations: how they are checked, and what they say about an object.

Source: apiextensions-apiserver pkg/apiserver/schema/cel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from informer.testing.storage.schemas.cel import (
    CelError,
    Expression,
    compile_expression,
    escaped_name,
    to_cel,
    uses_old,
    without_strings,
)
from informer.testing.storage.schemas.structure import EMBEDDED, LIST_TYPE, Schema, children_with_old
from informer.testing.storage.statuses import Cause, shown

__all__ = ["Broken", "Rules", "compile_rules"]

_KEYWORD = "x-kubernetes-validations"
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_CHAIN = re.compile(r"(?<![\w.])(?:self|oldSelf)((?:\.\w+)+)(\s*\()?")
_STEP = re.compile(r"\.([A-Za-z_]\w*)|\['([^']+)'\]")
_LONGEST_MESSAGE = 5120
_TEXT = {"type": "string"}
_OBJECT_FIELDS = {
    **dict.fromkeys(("apiVersion", "kind"), _TEXT),
    "metadata": {"type": "object", "properties": dict.fromkeys(("name", "generateName"), _TEXT)},
}


class Broken(NamedTuple):
    """A rule that an object breaks."""

    cause: Cause
    ratcheted: bool
    """The value has not changed, so that the real server only warns."""


class _Rule(NamedTuple):
    text: str
    holds: Expression
    message: str
    explain: Expression | None
    reason: str
    path: str
    is_transition: bool
    optional_old: bool


class Rules(NamedTuple):
    """The rules of a schema and of what is below it."""

    schema: Schema
    own: list[_Rule]
    properties: Mapping[str, Rules]
    others: Rules | None
    """Those of a list's items, or of the values of a map."""

    def broken(self, value: Any, old: Any, path: str = "") -> Iterator[Broken]:
        """Yields the rules that a value breaks.

        Args:
            value: the new value.
            old: the stored value; None if there is none.
            path: where the value is.
        """
        if value is None:
            return
        if self.own:
            yield from self._broken_here(value, old, path)
        for key, each, _, former in children_with_old(value, self.schema, old):
            if key in self.properties:
                yield from self.properties[str(key)].broken(each, former, f"{path}.{key}")
            elif self.others is not None:
                yield from self.others.broken(each, former, f"{path}[{key}]")

    def _broken_here(self, value: Any, old: Any, path: str) -> Iterator[Broken]:
        is_new = old is None
        variables = {"self": to_cel(value, self.schema), "hasOldSelf": not is_new}
        variables["oldSelf"] = variables["self"] if is_new else to_cel(old, self.schema)
        for rule in self.own:
            if rule.is_transition and is_new and not rule.optional_old:
                continue
            try:
                if rule.holds(variables) is True:
                    continue
                cause = _cause(rule, value, variables, f"{path}{rule.path}".removeprefix(".") or "<nil>")
            except CelError as error:
                text = f"{error} evaluating rule: {rule.message or rule.text}"
                where = path.removeprefix(".") or "<nil>"
                cause = Cause.bad(where, f'"{self.schema.get("type", "")}"', text)
            yield Broken(cause, ratcheted=value == old and not rule.is_transition)


def _cause(rule: _Rule, value: Any, variables: Mapping[str, Any], where: str) -> Cause:
    message = _explanation(rule, variables) or rule.message or f"failed rule: {rule.text}"
    text = "" if isinstance(value, (dict, list)) else shown(value)
    match rule.reason:
        case "FieldValueForbidden":
            return Cause.forbidden(where, message)
        case "FieldValueRequired":
            return Cause.required(where, message)
        case "FieldValueDuplicate":
            return Cause.duplicate(where, text)
    return Cause("FieldValueInvalid", f"Invalid value: {text and f'{text}: '}{message}", where)


def _explanation(rule: _Rule, variables: Mapping[str, Any]) -> str:
    """Returns the message that a rule's messageExpression gives; "" if that is not a usable text."""
    if rule.explain is None:
        return ""
    try:
        text = str(rule.explain(variables)).strip()
    except CelError:
        return ""
    return "" if "\n" in text or len(text) > _LONGEST_MESSAGE else text


def compile_rules(schema: Schema, path: str, causes: list[Cause], uncorrelated: str = "") -> Rules | None:
    """Compiles the rules of a schema.

    Args:
        schema: the schema.
        path: where it is in its definition.
        causes: receives what is wrong with the rules.
        uncorrelated: the path of the list, if the schema is within one whose items have no old values.

    Returns:
        The rules; None if the schema has none.

    Raises:
        ImportError: there are rules, and the CEL engine is not installed.
    """
    listed = enumerate(schema.get(_KEYWORD) or ())
    compiled = [_compiled(rule, schema, f"{path}.{_KEYWORD}[{i}]", causes, uncorrelated) for i, rule in listed]
    own = [rule for rule in compiled if rule is not None]
    properties = {}
    for name, each in (schema.get("properties") or {}).items():
        below = compile_rules(each, f"{path}.properties[{name}]", causes, uncorrelated)
        if below is not None:
            properties[name] = below
    others = None
    if isinstance(schema.get("items"), Mapping):
        inner = uncorrelated or ("" if schema.get(LIST_TYPE) == "map" else path)
        others = compile_rules(schema["items"], f"{path}.items", causes, inner)
    elif isinstance(schema.get("additionalProperties"), Mapping):
        others = compile_rules(schema["additionalProperties"], f"{path}.additionalProperties", causes, uncorrelated)
    if not (own or properties or others):
        return None
    made = Rules(schema, own, properties, others)
    if schema.get("default") is not None and not causes:
        causes += [broken.cause for broken in made.broken(schema["default"], None, f"{path}.default")]
    return made


def _compiled(
    rule: Mapping[str, Any], schema: Schema, path: str, causes: list[Cause], uncorrelated: str
) -> _Rule | None:
    text, message = str(rule.get("rule") or ""), str(rule.get("message") or "")
    is_transition, optional_old = uses_old(text), bool(rule.get("optionalOldSelf"))
    found = [*_texts_wrong(rule, schema, path)]
    if is_transition and uncorrelated:
        what = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}"
        found.append(Cause.bad(f"{path}.rule", shown(text), what))
    causes += found
    if found:
        return None
    holds = _expression(rule, "rule", schema, path, causes)
    explain = _expression(rule, "messageExpression", schema, path, causes) if rule.get("messageExpression") else None
    if holds is None:
        return None
    reason = str(rule.get("reason") or "FieldValueInvalid")
    return _Rule(text, holds, message, explain, reason, _field_of(rule, schema) or "", is_transition, optional_old)


def _texts_wrong(rule: Mapping[str, Any], schema: Schema, path: str) -> Iterator[Cause]:
    text, message = str(rule.get("rule") or ""), rule.get("message") or ""
    if not text.strip():
        yield Cause.required(f"{path}.rule", "rule is not specified")
    elif "\n" in text.strip() and not message:
        yield Cause.required(f"{path}.message", "message must be specified if rule contains line breaks")
    if rule.get("reason") and rule["reason"] not in _REASONS:
        yield Cause.unsupported(f"{path}.reason", rule["reason"], _REASONS)
    if _field_of(rule, schema) is None:
        yield Cause.bad(f"{path}.fieldPath", shown(rule["fieldPath"]), "must be a valid path")


def _field_of(rule: Mapping[str, Any], schema: Schema) -> str | None:
    """Returns the path that a rule's fieldPath names, as it is shown; None if the schema does not have the field."""
    text = rule.get("fieldPath") or ""
    steps = list(_STEP.finditer(text))
    for name, quoted in (step.groups() for step in steps):
        properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
        below = properties.get(name or quoted, others if quoted else None)
        if not isinstance(below, Mapping):
            return None
        schema = below
    is_whole = "".join(step[0] for step in steps) == text
    return "".join(f".{step[1]}" if step[1] else f"[{step[2]}]" for step in steps) if is_whole else None


def _expression(
    rule: Mapping[str, Any], keyword: str, schema: Schema, path: str, causes: list[Cause]
) -> Expression | None:
    prefix, result, of_type = ("", "BOOL", "cel expression must evaluate to a bool")
    if keyword == "messageExpression":
        prefix, result, of_type = "messageExpression ", "STRING", "messageExpression must evaluate to a string"
    try:
        _refuse_undefined(rule[keyword], schema)
        return compile_expression(rule[keyword], schema, result, optional_old=bool(rule.get("optionalOldSelf")))
    except CelError as error:
        message = f"{prefix}compilation failed: {error}"
    except TypeError:
        message = of_type
    causes.append(Cause.bad(f"{path}.{keyword}", shown(rule), message))
    return None


def _refuse_undefined(text: str, schema: Schema) -> None:
    """Raises CelError if an expression selects a field of `self` that the schema does not have."""
    for chain in _CHAIN.finditer(without_strings(text)):
        names, below = chain[1].split(".")[1:], schema
        for name in names[:-1] if chain[2] else names:  # a call's last name is that of a function
            if below.get("type") != "object" or below.get("additionalProperties") is not None:
                break
            fields = {escaped_name(each): inner for each, inner in (below.get("properties") or {}).items()}
            fields |= _OBJECT_FIELDS if below.get(EMBEDDED) else {}
            if name not in fields:
                raise CelError(f"undefined field '{name}'")
            below = fields[name]
