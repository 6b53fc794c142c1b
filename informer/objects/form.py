"""The form of an object: the apiVersion and kind in which the server wrote it.

A server may serve one object in several versions, with the same uid and resourceVersion in each. What a cache holds in one
version is not what the server lists in another.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import count
from typing import Any

from informer.objects.entry import Entry
from informer.objects.json_edit import TYPED
from informer.objects.object_fields import type_in

__all__ = ["Form", "code_in", "code_of", "form_in", "form_of", "have_same_form"]

Form = tuple[str, str]
"""The apiVersion and the kind; "" where an object does not say."""

_codes = count(-2, -1)


def form_in(raw: bytes) -> Form:
    """Returns the form of an object's JSON. It is cheap for objects that begin with their kind and apiVersion."""
    head = TYPED.match(raw)
    return _form_in(raw) if head is None else _form_in_head(head[0])


def form_of(obj: Any) -> Form:
    """Returns the form of an object, whichever type it has."""
    if type(obj) is Entry or hasattr(obj, "form_code"):
        return obj.form  # type: ignore[no-any-return]
    if isinstance(obj, Mapping):
        return _text(obj.get("apiVersion")), _text(obj.get("kind"))
    version = getattr(obj, "api_version", None)
    if version is None:
        version = getattr(obj, "apiVersion", None)
    return _text(version), _text(getattr(obj, "kind", None))


def have_same_form(old: Any, new: Any) -> bool:
    """Whether two objects have the same apiVersion and kind; one that does not say has that of the other. Never raises.

    Items of a list in another library's types often do not say, although the objects of a watch do.
    """
    try:
        if type(old) is type(new) and hasattr(old, "form_code"):
            code = new.form_code()
            if code and code == old.form_code():
                return True
        (old_version, old_kind), (new_version, new_kind) = form_of(old), form_of(new)
    # A user's own object need not have these attributes, and may compute them.
    except Exception:
        return True
    return _agree(old_version, new_version) and _agree(old_kind, new_kind)


@lru_cache(maxsize=4096)
def code_of(api_version: str, kind: str) -> int:
    """Returns a number for a form, below -1: forms with the same number are equal. 0 for a form that is not complete."""
    return next(_codes) if api_version and kind else 0


def code_in(raw: bytes) -> int:
    """Returns the number of the form of an object's JSON, as `code_of` does."""
    head = TYPED.match(raw)
    return code_of(*_form_in(raw)) if head is None else code_of(*_form_in_head(head[0]))


@lru_cache(maxsize=4096)
def _form_in_head(head: bytes) -> Form:
    return _form_in(head[:-1] + b"}")


def _form_in(raw: bytes) -> Form:
    found = type_in(raw)
    return found.apiVersion, found.kind


def _agree(old: str, new: str) -> bool:
    return old == new or not old or not new


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
