"""The rules of a schema, x-kubernetes-validations: how they are checked, and what they say about an object.

Source: apiextensions-apiserver pkg/apiserver/schema/cel.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from informer.testing.storage.schemas.cel import (
    CelError,
    Expression,
    compile_expression,
    escaped_name,
    to_cel,
    uses,
    without_strings,
)
from informer.testing.storage.schemas.object_rules import item_key
from informer.testing.storage.schemas.structure import EMBEDDED, Schema
from informer.testing.storage.schemas.validation import as_json
from informer.testing.storage.statuses import Cause

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
    items: Rules | None
    others: Rules | None

    def broken(self, value: Any, old: Any, path: str = "", floats: Sequence[str] = ()) -> Iterator[Broken]:
        """Yields the rules that a value breaks.

        Args:
            value: the new value.
            old: the stored value; None if there is none.
            path: where the value is.
            floats: the paths of the integers that the client has sent as floats, such as 2.0; rules cannot read them.
        """
        if value is None:
            return
        if self.own:
            own_floats = [f".{each}"[len(path) :] for each in floats if f".{each}".startswith(path)]
            yield from self._broken_here(value, old, path, own_floats)
        if isinstance(value, dict):
            former = old if isinstance(old, dict) else {}
            for name, each in value.items():
                below = self.properties.get(name)
                if below is not None:
                    yield from below.broken(each, former.get(name), f"{path}.{name}", floats)
                elif self.others is not None:
                    yield from self.others.broken(each, former.get(name), f"{path}[{name}]", floats)
        elif isinstance(value, list) and self.items is not None:
            by_key = {item_key(each, self.schema): each for each in old} if isinstance(old, list) else {}
            for i, each in enumerate(value):
                key = item_key(each, self.schema)
                yield from self.items.broken(each, None if key is None else by_key.get(key), f"{path}[{i}]", floats)

    def _broken_here(self, value: Any, old: Any, path: str, floats: Sequence[str]) -> Iterator[Broken]:
        is_new = old is None
        variables = {"self": to_cel(value, self.schema), "hasOldSelf": not is_new}
        variables["oldSelf"] = variables["self"] if is_new else to_cel(old, self.schema)
        for rule in self.own:
            if rule.is_transition and is_new and not rule.optional_old:
                continue
            where = path.removeprefix(".") or "<nil>"
            try:
                if any(_reads(rule.text, each) for each in floats):
                    raise CelError("invalid data, expected int, got float64")
                if rule.holds(variables) is True:
                    continue
            except CelError as error:
                text = f"{error} evaluating rule: {rule.message or rule.text}"
                cause = Cause.bad(where, f'"{self.schema.get("type", "")}"', text)
            else:
                cause = _cause(rule, value, variables, f"{path}{rule.path}".removeprefix(".") or "<nil>")
            yield Broken(cause, ratcheted=value == old and not rule.is_transition)


def _reads(text: str, path: str) -> bool:
    """Returns whether a rule reads the field at a path below `self`, such as ".sizes[0]"; the names in the rule decide."""
    rest = re.sub(r"[\w.]+\.size\(\)", "", without_strings(text))
    *_, outer, name = ["", *path.split(".")]
    names = [escaped_name(each.partition("[")[0]) for each in ([name] if "[" in outer else [outer, name])]
    wanted = r"\.".join(re.escape(each) for each in names if each)
    return re.search(rf"\.{wanted}\b" if wanted else r"\bself\b", rest) is not None


def _cause(rule: _Rule, value: Any, variables: Mapping[str, Any], where: str) -> Cause:
    message = _explanation(rule, variables) or rule.message or f"failed rule: {rule.text}"
    shown = "" if isinstance(value, (dict, list)) else f"{as_json(value)}: "
    match rule.reason:
        case "FieldValueForbidden":
            return Cause.forbidden(where, message)
        case "FieldValueRequired":
            return Cause.required(where, message)
        case "FieldValueDuplicate":
            return Cause(rule.reason, f"Duplicate value: {shown.removesuffix(': ')}", where)
    return Cause("FieldValueInvalid", f"Invalid value: {shown}{message}", where)


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
    own = []
    for i, rule in enumerate(schema.get(_KEYWORD) or ()):
        compiled = _compiled(rule, schema, f"{path}.{_KEYWORD}[{i}]", causes, uncorrelated)
        own += [] if compiled is None else [compiled]
    properties = {}
    for name, each in (schema.get("properties") or {}).items():
        below = compile_rules(each, f"{path}.properties[{name}]", causes, uncorrelated)
        if below is not None:
            properties[name] = below
    items = others = None
    if isinstance(schema.get("items"), Mapping):
        inner = uncorrelated or ("" if schema.get("x-kubernetes-list-type") == "map" else path)
        items = compile_rules(schema["items"], f"{path}.items", causes, inner)
    if isinstance(schema.get("additionalProperties"), Mapping):
        others = compile_rules(schema["additionalProperties"], f"{path}.additionalProperties", causes, uncorrelated)
    if not (own or properties or items or others):
        return None
    made = Rules(schema, own, properties, items, others)
    if schema.get("default") is not None and not causes:
        causes += [broken.cause for broken in made.broken(schema["default"], None, f"{path}.default")]
    return made


def _compiled(
    rule: Mapping[str, Any], schema: Schema, path: str, causes: list[Cause], uncorrelated: str
) -> _Rule | None:
    before = len(causes)
    text, message, explanation = (str(rule.get(name) or "") for name in ("rule", "message", "messageExpression"))
    causes += _texts_wrong(rule, schema, path)
    is_transition = uses(text, "oldSelf")
    if is_transition and uncorrelated:
        what = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}"
        causes.append(Cause.bad(f"{path}.rule", json.dumps(text), what))
    if rule.get("optionalOldSelf") is not None and not is_transition:
        causes.append(Cause.bad(f"{path}.optionalOldSelf", "true", "may not be set if oldSelf is not used in rule"))
    optional = bool(rule.get("optionalOldSelf"))
    holds = explain = None
    if len(causes) == before:
        holds = _expression(rule, "rule", schema, path, causes)
        explain = _expression(rule, "messageExpression", schema, path, causes) if explanation.strip() else None
    if holds is None:
        return None
    reason = str(rule.get("reason") or "FieldValueInvalid")
    return _Rule(text, holds, message, explain, reason, _shown(rule.get("fieldPath") or ""), is_transition, optional)


def _texts_wrong(rule: Mapping[str, Any], schema: Schema, path: str) -> Iterator[Cause]:
    text, message = str(rule.get("rule") or ""), rule.get("message") or ""
    if not text.strip():
        yield Cause.required(f"{path}.rule", "rule is not specified")
    elif "\n" in text.strip() and not message:
        yield Cause.required(f"{path}.message", "message must be specified if rule contains line breaks")
    if message and not message.strip():
        yield Cause.bad(f"{path}.message", json.dumps(message), "must be non-empty if specified")
    elif "\n" in message.strip():
        yield Cause.bad(f"{path}.message", json.dumps(message), "must not contain line breaks")
    if rule.get("reason") and rule["reason"] not in _REASONS:
        yield Cause.unsupported(f"{path}.reason", rule["reason"], _REASONS)
    if rule.get("fieldPath") and not _is_path(rule["fieldPath"], schema):
        yield Cause.bad(f"{path}.fieldPath", json.dumps(rule["fieldPath"]), "must be a valid path")


def _is_path(text: str, schema: Schema) -> bool:
    if "".join(found[0] for found in _STEP.finditer(text)) != text:
        return False
    for name, quoted in _STEP.findall(text):
        properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
        below = properties.get(name or quoted, others if quoted else None)
        if not isinstance(below, Mapping):
            return False
        schema = below
    return True


def _shown(path: str) -> str:
    return "".join(f".{name}" if name else f"[{quoted}]" for name, quoted in _STEP.findall(path))


def _expression(
    rule: Mapping[str, Any], keyword: str, schema: Schema, path: str, causes: list[Cause]
) -> Expression | None:
    text, is_rule = rule[keyword], keyword == "rule"
    prefix = "" if is_rule else "messageExpression "
    try:
        _refuse_undefined(text, schema)
        result = "BOOL" if is_rule else "STRING"
        return compile_expression(text, schema, result, optional_old=bool(rule.get("optionalOldSelf")))
    except CelError as error:
        message = f"{prefix}compilation failed: {error}"
    except TypeError:
        message = "cel expression must evaluate to a bool" if is_rule else "messageExpression must evaluate to a string"
    causes.append(Cause.bad(f"{path}.{keyword}", _dump(rule), message))
    return None


def _refuse_undefined(text: str, schema: Schema) -> None:
    """Raises CelError if an expression selects a field of `self` that the schema does not have."""
    for chain in _CHAIN.finditer(without_strings(text)):
        at, names = chain.start(1), chain[1].split(".")[1:]
        below = schema
        for i, name in enumerate(names[: len(names) - bool(chain[2])]):
            if below.get("type") != "object" or below.get("additionalProperties") is not None:
                break
            fields = {escaped_name(each): inner for each, inner in (below.get("properties") or {}).items()}
            fields |= _OBJECT_FIELDS if below.get(EMBEDDED) else {}
            if name not in fields:
                if i + 1 == len(names) and text[: chain.start()].endswith("has("):
                    at = chain.start() - 1  # the engine blames the macro
                line = text.count("\n", 0, at) + 1
                start = text.rfind("\n", 0, at) + 1
                shown = text[start:].partition("\n")[0]
                dots = "." * (at - start)
                raise CelError(
                    f"ERROR: <input>:{line}:{at - start + 1}: undefined field '{name}'\n | {shown}\n | {dots}^"
                )
            below, at = fields[name], at + len(name) + 1


def _dump(rule: Mapping[str, Any]) -> str:
    fields = {
        "Rule": rule.get("rule") or "",
        "Message": rule.get("message") or "",
        "MessageExpression": rule.get("messageExpression") or "",
        "Reason": rule.get("reason"),
        "FieldPath": rule.get("fieldPath") or "",
        "OptionalOldSelf": rule.get("optionalOldSelf"),
    }
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
