"""Which names objects may have.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
"""

from __future__ import annotations

import json
import random
import re

from informer.testing.statuses import Cause

__all__ = ["generated_name", "name_error"]

_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*\Z")
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?\Z")
_LABEL_1035 = re.compile(r"[a-z](?:[-a-z0-9]*[a-z0-9])?\Z")
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
_LABEL_1035_ERROR = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
# Kinds whose names are a single label; all others are subdomains, and those of RBAC any path segment.
_LABELS = {"Namespace": (_LABEL, _LABEL_ERROR), "Service": (_LABEL_1035, _LABEL_1035_ERROR)}
# Without vowels and look-alikes, as the real server's.
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_LONGEST_GENERATED = 58


def generated_name(prefix: str) -> str:
    """A name that begins with a prefix and ends at random."""
    return prefix[:_LONGEST_GENERATED] + "".join(random.choices(_LETTERS, k=5))  # noqa: S311


def name_error(name: str, kind: str, group: str) -> Cause | None:
    """Why an object of a kind cannot have this name, or None where it can."""
    if not name:
        return Cause.required("metadata.name", "name or generateName is required")
    if group == "rbac.authorization.k8s.io":
        return _path_segment_error(name)
    pattern, message = _LABELS.get(kind, (_SUBDOMAIN, _SUBDOMAIN_ERROR))
    longest = 253 if pattern is _SUBDOMAIN else 63
    if len(name) > longest:
        return Cause.bad("metadata.name", json.dumps(name), f"must be no more than {longest} bytes")
    return None if pattern.match(name) else Cause.bad("metadata.name", json.dumps(name), message)


def _path_segment_error(name: str) -> Cause | None:
    if name in (".", ".."):
        return Cause.bad("metadata.name", json.dumps(name), f"may not be '{name}'")
    for character in "/%":
        if character in name:
            return Cause.bad("metadata.name", json.dumps(name), f"may not contain '{character}'")
    return None
