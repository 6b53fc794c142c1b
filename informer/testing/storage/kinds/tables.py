"""The tables about built-in kinds, and the walk over an object by such a table.

Files beside this module describe the tables: defaults.yaml, first_status.yaml and rules.yaml. They are read on first use.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any, NamedTuple

import yaml

from informer.testing.storage.statuses import Cause

__all__ = ["Rules", "causes_by", "rules_in", "set_defaults_by", "yaml_file"]


# What a rule is about: the value of a field, the object itself, a struct, a struct that may be missing, elements of a list,
# the value of a field if there is one.
_VALUE, _ITSELF, _STRUCT, _POINTER, _ELEMENTS, _PRESENT = range(6)
_BY_SUFFIX = {"": _VALUE, "=": _ITSELF, "?": _POINTER, "[]": _ELEMENTS}


class Rules(NamedTuple):
    """A table: the leaves that are plain values, and all other rules, each with a field's name and what it is about."""

    constants: tuple[tuple[str, Any], ...]
    others: tuple[tuple[str, int, Any], ...]


@functools.cache
def rules_in(file: str, compile_value: Callable[[Any], Any]) -> Mapping[str, Rules]:
    """Returns the tables of a file by resource, such as "deployments.apps"; `compile_value` is called with each leaf."""
    tables = yaml_file(file).items()
    return {resource: _compiled(table, compile_value) for resource, table in tables if not resource.startswith("x-")}


def yaml_file(file: str) -> Any:
    """Returns what a file beside this module contains."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load((files(__package__) / file).read_text(encoding="utf-8"), loader)  # noqa: S506 - it is a safe loader


def _compiled(table: Mapping[str, Any], compile_value: Callable[[Any], Any]) -> Rules:
    constants: list[tuple[str, Any]] = []
    others: list[tuple[str, int, Any]] = []
    for key, value in table.items():
        name = key.rstrip("?=[]")
        about = _BY_SUFFIX[key[len(name) :]]
        if isinstance(value, Mapping):
            others.append((name, about or _STRUCT, _compiled(value, compile_value)))
            continue
        leaf = compile_value(value)
        if about == _VALUE and not callable(leaf):
            constants.append((name, leaf))
        else:
            others.append((name, _PRESENT if about == _POINTER else about, leaf))
    return Rules(tuple(constants), tuple(others))


def set_defaults_by(rules: Rules, obj: dict[str, Any]) -> None:  # noqa: C901 - the path of every write
    """Sets an object's missing fields. The leaves are defaults, or functions of the object that has the field.

    Raises:
        TypeError: a field is not an object or a list, but should be one.
    """
    if not isinstance(obj, dict):
        raise TypeError(f"{obj!r} is not an object")
    for name, default in rules.constants:
        value = obj.get(name)
        if value is None or value == "":
            obj[name] = default
    for name, about, what in rules.others:
        value = obj.get(name)
        if about == _ITSELF:
            what(obj)
        elif about == _VALUE:
            if value is None or value == "":
                made = what(obj)
                if made is not None:
                    obj[name] = made
        elif about == _ELEMENTS:
            for each in value or ():
                set_defaults_by(what, each)
        elif about == _STRUCT or value is not None:
            if value is None:
                value = obj[name] = {}
            set_defaults_by(what, value)


def causes_by(rules: Rules, obj: Mapping[str, Any], path: str = "") -> list[Cause]:
    """Returns what is not valid in an object whose fields have a path such as "spec."; the leaves are checks."""
    causes: list[Cause] = []
    for name, about, what in rules.others:
        value = obj.get(name)
        if about == _PRESENT:
            if value is not None and value != "":
                causes += what(value, path + name)
        elif about == _ITSELF:
            causes += what(obj, path)
        elif about == _VALUE:
            causes += what(value, path + name)
        elif about == _ELEMENTS:
            for i, each in enumerate(value if isinstance(value, list) else ()):
                at = f"{path}{name}[{i}]"
                causes += what(each, at) if callable(what) else causes_by(what, _struct(each), f"{at}.")
        elif about == _STRUCT or value is not None:
            causes += causes_by(what, _struct(value), f"{path}{name}.")
    return causes


def _struct(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
