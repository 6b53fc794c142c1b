"""Validates names, labels, annotations and finalizers, and generates names.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/ and labels/; apimachinery
pkg/util/validation.
"""

from __future__ import annotations

import functools
import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from informer.testing.storage.statuses import Cause

__all__ = [
    "annotation_causes",
    "finalizer_causes",
    "finalizer_error",
    "finalizer_warnings",
    "generated_name",
    "key_error",
    "kind_error",
    "label_causes",
    "label_error",
    "name_1035_error",
    "name_causes",
    "owner_causes",
    "subdomain_error",
]

_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*\Z")
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?\Z")
_NAME_1035 = re.compile(r"[a-z](?:[-a-z0-9]*[a-z0-9])?\Z")
_QUALIFIED = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?\Z")
_SUBDOMAIN_ERROR = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_ERROR = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_NAME_1035_ERROR = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and "
    "end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_KEY_ERROR = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE_ERROR = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_TWO_PARTS_ERROR = (
    "a valid label key" + _KEY_ERROR.removeprefix("name part") + " with an optional DNS subdomain prefix and '/' "
    "(e.g. 'example.com/MyName')"
)
_FINALIZER_ERROR = "name is neither a standard finalizer name nor is it fully qualified"
_STANDARD_FINALIZERS = frozenset(("foregroundDeletion", "kubernetes", "orphan"))
# Kinds whose names are DNS labels. Names of RBAC objects are path segments, all other names DNS subdomains.
_SINGLE_LABELS = frozenset(("Namespace", "Service"))
# The real server's alphabet, without vowels and characters that look alike.
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_LONGEST_GENERATED = 58
_LONGEST_LABEL = 63
_LONGEST_SUBDOMAIN = 253


def generated_name(prefix: str) -> str:
    """Returns a name that begins with `prefix` and ends with five random characters."""
    return prefix[:_LONGEST_GENERATED] + "".join(random.choices(_LETTERS, k=5))  # noqa: S311


def name_causes(field: str, shown: str, name: str, kind: str, group: str = "") -> list[Cause]:
    """Returns why a name is not valid for objects of a kind, shown as another text; empty if it is."""
    if not name:
        return [Cause.required(field, "name or generateName is required")]
    if group == "rbac.authorization.k8s.io":
        message = _path_segment_error(name)
    elif kind in _SINGLE_LABELS:
        message = "must not contain dots" if "." in name else label_error(name)
    else:
        message = subdomain_error(name)
    return [] if message is None else [Cause.bad(field, json.dumps(shown), message)]


def label_causes(labels: Mapping[str, str], field: str = "metadata.labels") -> list[Cause]:
    """Returns why labels are not valid; empty if they are."""
    found = (each for key, value in labels.items() for each in ((key, key_error(key)), (value, _value_error(value))))
    return _causes(field, found)


def annotation_causes(keys: Iterable[str], field: str = "metadata.annotations") -> list[Cause]:
    """Returns why keys of annotations are not valid; empty if they are."""
    # Unlike a label's key, an annotation's may have capital letters in its prefix.
    return _causes(field, ((key, key_error(key.lower())) for key in keys))


def finalizer_warnings(finalizers: Sequence[str], old: Sequence[str] = ()) -> list[str]:
    """Returns the warnings about finalizers of a custom object that it did not have before."""
    bare = sorted({text for text in finalizers if text not in old and "/" not in text} - _STANDARD_FINALIZERS)
    advice = "prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers"
    return [f"metadata.finalizers: {json.dumps(text)}: {advice}" for text in bare]


def owner_causes(references: Sequence[Mapping[str, Any]]) -> Iterator[Cause]:
    """Yields why owner references are not valid."""
    for i, reference in enumerate(references):
        for name in ("apiVersion", "kind", "name", "uid"):
            if not reference.get(name):
                yield Cause.required(f"metadata.ownerReferences[{i}].{name}", "must not be empty")
    managers = [f"{each.get('kind')}/{each.get('name')}" for each in references if each.get("controller")]
    if len(managers) > 1:
        found = f'Found "true" in references for {managers[0]} and {managers[1]}'
        message = f"Only one reference can have Controller set to true. {found}"
        yield Cause.bad("metadata.ownerReferences", json.dumps(references, separators=(",", ":")), message)


def finalizer_causes(finalizers: Sequence[str], *, custom: bool) -> list[Cause]:
    """Returns why finalizers are not valid; empty if they are."""
    causes = _causes("metadata.finalizers", ((text, key_error(text)) for text in finalizers))
    for i, text in enumerate(() if custom else finalizers):
        causes += _causes(f"metadata.finalizers[{i}]", [(text, finalizer_error(text))])
    return causes


def _causes(field: str, found: Iterable[tuple[str, str | None]]) -> list[Cause]:
    return [Cause.bad(field, json.dumps(text), message) for text, message in found if message is not None]


def finalizer_error(text: str) -> str | None:
    """Returns why a finalizer is not valid for a built-in kind; None if it is."""
    return None if "/" in text or text in _STANDARD_FINALIZERS else _FINALIZER_ERROR


def label_error(name: str) -> str | None:
    """Returns why a name is not a DNS label; None if it is."""
    if len(name) > _LONGEST_LABEL:
        return f"must be no more than {_LONGEST_LABEL} characters"
    return None if _LABEL.match(name) else _LABEL_ERROR


def name_1035_error(name: str) -> str | None:
    """Returns why a name is not a DNS label of the older standard; None if it is."""
    return None if _NAME_1035.match(name) else _NAME_1035_ERROR


def kind_error(kind: str) -> str | None:
    """Returns why a text is not the name of a kind; None if it is."""
    error = name_1035_error(kind.lower())
    return error and f"may have mixed case, but should otherwise match: {error}"


def subdomain_error(name: str) -> str | None:
    """Returns why a name is not a DNS subdomain; None if it is."""
    if len(name) > _LONGEST_SUBDOMAIN:
        return f"must be no more than {_LONGEST_SUBDOMAIN} characters"
    return None if _SUBDOMAIN.match(name) else _SUBDOMAIN_ERROR


def _path_segment_error(name: str) -> str | None:
    if name in (".", ".."):
        return f"may not be '{name}'"
    return next((f"may not contain '{character}'" for character in "/%" if character in name), None)


@functools.lru_cache(maxsize=1024)
def key_error(key: str) -> str | None:
    """Returns why a text is not the key of a label; None if it is."""
    if key.count("/") > 1:
        return _TWO_PARTS_ERROR
    prefix, slash, name = key.rpartition("/")
    if slash and not _SUBDOMAIN.match(prefix):
        return f"prefix part {_SUBDOMAIN_ERROR}" if prefix else "prefix part must be non-empty"
    if len(name) > _LONGEST_LABEL:
        return f"name part must be no more than {_LONGEST_LABEL} bytes"
    return None if _QUALIFIED.match(name) else _KEY_ERROR


@functools.lru_cache(maxsize=1024)
def _value_error(value: str) -> str | None:
    if len(value) > _LONGEST_LABEL:
        return f"must be no more than {_LONGEST_LABEL} bytes"
    return None if not value or _QUALIFIED.match(value) else _VALUE_ERROR
