"""Compiles and evaluates expressions of the Common Expression Language (CEL) with Google's engine for Python.

It has the functions that Kubernetes adds to the language. Values of Kubernetes' own types (quantities and addresses) are maps
with one entry, from the type's name to a form that is equal for equal values.

Source: apiserver pkg/cel/environment and pkg/cel/common;
https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-cel-libraries
"""

from __future__ import annotations

import base64
import functools
import ipaddress
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from informer.testing.storage.kinds.quantities import value_of
from informer.testing.storage.schemas.formats import parse_duration, parse_time
from informer.testing.storage.schemas.structure import EMBEDDED, INT_OR_STRING, Schema
from informer.testing.storage.schemas.validation import pattern_of

__all__ = ["CelError", "Expression", "compile_expression", "escaped_name", "to_cel", "uses_old", "without_strings"]

_STRING = re.compile(r"""r?("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""", re.DOTALL)
_OLD = re.compile(r"(?<![\w.])oldSelf\b")
_RESERVED = {
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let",
    "loop", "package", "namespace", "return", "var", "void", "while",
}  # fmt: skip
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_SCALARS = {"string": "STRING", "integer": "INT", "number": "DOUBLE", "boolean": "BOOL"}
_FORMATS = {"date": "TIMESTAMP", "date-time": "TIMESTAMP", "duration": "DURATION", "byte": "BYTES"}
_CODE = re.compile(r"\s*\[?[A-Z_]{5,}\]?:?\s*")
_LETTERS = {"s": "STRING", "i": "INT", "b": "BOOL", "?": "DYN", "l": "LIST"}
# Functions of Kubernetes that this server does not have.
_KNOWN_MISSING = {
    "format", "validate", "named", "transformList", "transformMap", "transformMapEntry", "sortBy", "sort", "reverse",
    "distinct", "flatten", "slice", "first", "last", "range", "includes", "url", "isURL", "semver", "isSemver", "masked",
    "prefixLength", "add", "sub", "asApproximateFloat", "lastIndexOf", "sets",
    "isUnspecified", "isLoopback", "isLinkLocalMulticast", "isLinkLocalUnicast", "isGlobalUnicast",
}  # fmt: skip
_PARSERS: dict[str, Callable[[str], Any]] = {
    "quantity": Decimal,
    "ip": ipaddress.ip_address,
    "cidr": ipaddress.ip_interface,
}


class CelError(ValueError):
    """An expression does not compile, or its evaluation fails."""


Expression = Callable[[Mapping[str, Any]], Any]
"""Evaluates an expression, given the values of its variables. Raises CelError."""


def without_strings(text: str) -> str:
    """Returns an expression with every string in it blanked, of the same length."""
    return _STRING.sub(lambda found: " " * len(found[0]), text)


def uses_old(text: str) -> bool:
    """Returns whether an expression uses the variable `oldSelf`."""
    return _OLD.search(without_strings(text)) is not None


def compile_expression(text: str, schema: Schema, result: str, *, optional_old: bool = False) -> Expression:
    """Compiles an expression about `self`, and about `oldSelf` if it uses that.

    Args:
        text: the expression.
        schema: the schema of both variables.
        result: the type of the result, "BOOL" or "STRING".
        optional_old: oldSelf is an optional value, which is empty for a new value.

    Raises:
        CelError: it does not compile.
        TypeError: its result has another type.
        ImportError: the CEL engine is not installed.
    """
    names = ["self", *(["oldSelf", "hasOldSelf"] if uses_old(text) else [])]
    if optional_old:
        text = _OLD.sub("(hasOldSelf ? optional.of(oldSelf) : optional.none())", text)
    try:
        compiled = _environment(_type_of(schema), tuple(names)).compile(text)
    except RuntimeError as error:
        raise CelError(_explained(str(error))) from error
    engine = _engine()
    if compiled.return_type() not in (getattr(engine.Type, result), engine.Type.DYN):
        raise TypeError(result)

    def evaluate(variables: Mapping[str, Any]) -> Any:
        try:
            value = compiled.eval(data={name: variables[name] for name in names})
        except RuntimeError as error:
            raise CelError(_reworded(str(error))) from error
        if value.type() == engine.Type.ERROR:
            raise CelError(_reworded(str(value.value())))
        return value.value()

    return evaluate


def to_cel(value: Any, schema: Schema) -> Any:
    """Returns a value as expressions see it: fields under escaped names, times and durations as such, no unknown fields."""
    if value is None or schema.get(INT_OR_STRING):
        return value
    if schema.get("type") == "number":
        return float(value)
    if isinstance(value, str):
        return _text_to_cel(value, schema.get("format", ""))
    if isinstance(value, list):
        return [to_cel(each, schema.get("items") or {}) for each in value]
    if isinstance(value, dict):
        properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
        if isinstance(others, Mapping):
            return {key: to_cel(each, others) for key, each in value.items()}
        made = {escaped_name(key): to_cel(each, properties[key]) for key, each in value.items() if key in properties}
        if schema.get(EMBEDDED):
            metadata = value.get("metadata") or {}
            made["metadata"] = {key: metadata[key] for key in ("name", "generateName") if key in metadata}
            made |= {key: value.get(key, "") for key in ("kind", "apiVersion")}
        return made
    return value


def _text_to_cel(text: str, format: str) -> Any:
    from google.protobuf import duration_pb2, timestamp_pb2

    # As messages, since the engine takes times and durations of Python only as variables, not within maps.
    match _FORMATS.get(format):
        case "BYTES":
            return base64.b64decode(text)
        case "TIMESTAMP":
            time = timestamp_pb2.Timestamp()
            time.FromDatetime(parse_time(text))
            return time
        case "DURATION":
            duration = duration_pb2.Duration()
            duration.FromTimedelta(parse_duration(text))
            return duration
    return text


def escaped_name(name: str) -> str:
    """Returns a field's name as expressions write it."""
    return f"__{name}__" if name in _RESERVED else re.sub(r"__|[./-]", lambda found: _ESCAPES[found[0]], name)


@functools.cache
def _engine() -> Any:
    try:
        from cel_expr_python import cel
        from google.protobuf import timestamp_pb2  # noqa: F401 - the engine takes times as its messages
    except ImportError as error:
        raise ImportError(
            "CEL expressions need the package cel-expr-python: pip install 'kube-informer[cel]'"
        ) from error
    return cel


def _type_of(schema: Schema) -> str:
    """Returns the type of a value by its schema, as a text that `_named_type` reads."""
    if schema.get(INT_OR_STRING):
        return "DYN"
    kind = schema.get("type", "")
    if kind == "array":
        return f"List:{_type_of(schema.get('items') or {})}"
    if kind == "object":
        others = schema.get("additionalProperties")
        return f"Map:{_type_of(others) if isinstance(others, Mapping) else 'DYN'}"
    return _FORMATS.get(schema.get("format", ""), "STRING") if kind == "string" else _SCALARS.get(kind, "DYN")


def _named_type(name: str) -> Any:
    types = _engine().Type
    outer, _, inner = name.partition(":")
    if outer == "List":
        return types.List(_named_type(inner))
    return types.Map(types.STRING, _named_type(inner)) if outer == "Map" else getattr(types, outer)


@functools.lru_cache(maxsize=256)
def _environment(self_type: str, names: tuple[str, ...]) -> Any:
    engine, declared = _engine(), _named_type(self_type)
    from cel_expr_python.ext import ext_optional, ext_strings

    variables = {name: engine.Type.BOOL if name == "hasOldSelf" else declared for name in names}
    extensions = [ext_strings.ExtStrings(2), ext_optional.ExtOptional(), _extension()]
    return engine.NewEnv(variables=variables, extensions=extensions)


@functools.cache
def _extension() -> Any:
    engine = _engine()
    types = engine.Type
    named = {letter: getattr(types, name) for letter, name in _LETTERS.items()}
    named["l"] = types.List(types.DYN)
    overloads: dict[str, list[Any]] = {}
    for name, arguments, result, function in _functions():
        overloads.setdefault(name, []).append(
            engine.Overload(
                f"kubernetes_{name}_{len(overloads)}_{len(arguments)}".replace(".", "_"),
                return_type=named[result],
                parameters=[named[letter] for letter in arguments.lstrip(".")],
                is_member=arguments.startswith("."),
                impl=function,
            )
        )
    return engine.CelExtension("kubernetes", [engine.FunctionDecl(name, each) for name, each in overloads.items()])


def _explained(text: str) -> str:
    """Returns why an expression does not compile; says so if that is because this server lacks a function."""
    text = text.removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")
    undeclared = set(re.findall(r"undeclared reference to '(\w+)'", text))
    missing = sorted(undeclared & _KNOWN_MISSING) or (["all"] if undeclared & {"all", "exists"} else [])
    if missing:
        return f"the embedded API server does not have CEL's {missing[0]}() in this form; test it with ControlPlane: {text}"
    return text


def _reworded(text: str) -> str:
    """Returns an error of the evaluation in the words of the real server's engine."""
    text = _CODE.sub("", text, count=1).removesuffix("]")
    found = re.search(r'Key not found in map : "(.*)"', text)
    if found:
        return f"no such key: {found[1]}"
    return "division by zero" if "divide by zero" in text else text


def _quantity(value: Decimal) -> dict[str, str]:
    return {"quantity": format(value.normalize(), "f")}


def _cidr(text: Any) -> dict[str, str]:
    if "/" not in text:
        raise ValueError(f"network address parse error during conversion from string: {text}")
    return {"cidr": str(ipaddress.ip_interface(text))}


def _of(kind: str, value: Any) -> Any:
    """Returns the Python value of a value of one of Kubernetes' own types."""
    if not isinstance(value, Mapping) or kind not in value:
        raise ValueError("no such overload")
    return _PARSERS[kind](value[kind])


def _compare(one: Any, other: Any) -> Any:
    first, second = (_of(next(iter(each)), each) if isinstance(each, Mapping) else each for each in (one, other))
    return (first > second) - (first < second)


def _integer(value: Any) -> int:
    number = _of("quantity", value)
    if number != number.to_integral_value():
        raise ValueError("cannot convert value to integer")
    return int(number)


def _succeeds(parse: Callable[[Any], object]) -> Callable[[Any], bool]:
    def check(text: Any) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return check


def _holds(cidr: Any, other: Any) -> bool:
    outer = _of("cidr", cidr).network
    inner = ipaddress.ip_interface(other if isinstance(other, str) else next(iter(other.values()))).network
    return inner.version == outer.version and inner.subnet_of(outer)


def _found(text: Any, pattern: Any) -> list[str]:
    return [found[0] for found in pattern_of(pattern).finditer(text)]


def _functions() -> Iterator[tuple[str, str, str, Callable[..., Any]]]:
    """Yields name, types of the arguments, type of the result, and function of each function that Kubernetes adds.

    The types are letters: s string, i int, b bool, l list, ? any. A dot before those of the arguments marks a method.
    """
    parsers = {
        "Quantity": lambda text: _quantity(value_of(text)),
        "CIDR": _cidr,
        "IP": lambda text: {"ip": str(ipaddress.ip_address(text))},
    }
    for name, parse in parsers.items():
        yield name.lower(), "s", "?", parse
        yield f"is{name}", "s", "b", _succeeds(parse)
    yield from (
        ("isLessThan", ".??", "b", lambda one, other: _compare(one, other) < 0),
        ("isGreaterThan", ".??", "b", lambda one, other: _compare(one, other) > 0),
        ("compareTo", ".??", "i", _compare),
        ("sign", "?", "i", lambda value: _compare(value, {"quantity": "0"})),
        ("isInteger", ".?", "b", _succeeds(_integer)),
        ("asInteger", ".?", "i", _integer),
        ("family", ".?", "i", lambda value: _of("ip", value).version),
        ("ip.isCanonical", "s", "b", lambda text: str(ipaddress.ip_address(text)) == text),
        ("ip", ".?", "?", lambda value: {"ip": str(_of("cidr", value).ip)}),
        ("containsIP", ".??", "b", _holds),
        ("containsCIDR", ".??", "b", _holds),
        ("find", ".ss", "s", lambda text, pattern: (_found(text, pattern) or [""])[0]),
        ("findAll", ".ss", "l", _found),
        ("isSorted", ".l", "b", lambda items: all(_compare(*pair) <= 0 for pair in itertools.pairwise(items))),
        ("sum", ".l", "?", lambda items: sum(items[1:], items[0]) if items else 0),
        ("min", ".l", "?", min),
        ("max", ".l", "?", max),
        ("indexOf", ".l?", "i", lambda items, wanted: items.index(wanted) if wanted in items else -1),
    )
