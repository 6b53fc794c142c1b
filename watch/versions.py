"""Compares resourceVersions and bounds their length. Only versions of one resource, such as pods, can be compared.

Source: KEP-5504, apimachinery pkg/util/resourceversion.
"""

from __future__ import annotations

from watch.printable import printable

__all__ = ["MAX_VERSION", "is_comparable", "is_older", "shown_version", "length_problem"]

MAX_VERSION = 64 * 1024
"""The most characters of a resourceVersion or continue token.

Both become part of the next request's address. API servers send at most a few hundred characters, and a proxy in front of many
clusters a few thousand. Most servers and proxies refuse addresses of more than 8 to 32 KiB.
"""


def is_comparable(resource_version: object) -> bool:
    """Whether a resourceVersion can be compared: a decimal number above zero without leading zeros.

    Every Kubernetes API server sends such numbers; extension API servers may not.
    """
    if not isinstance(resource_version, str):
        return False
    return resource_version.isascii() and resource_version.isdecimal() and resource_version[0] != "0"


def is_older(one: str, other: str) -> bool:
    """Returns whether `one` is an older version of the same resource than `other`; False if they cannot be compared."""
    if not is_comparable(one) or not is_comparable(other):
        return False
    return (len(one), one) < (len(other), other)


def length_problem(what: str, value: str) -> str:
    """Returns an error message for a resourceVersion or continue token that is too long; "" if it is not.

    Args:
        what: what it is, such as "a bookmark's resourceVersion".
        value: the version or token.
    """
    return (
        "" if len(value) <= MAX_VERSION else f"{what} has {len(value)} characters; at most {MAX_VERSION} are accepted"
    )


def shown_version(version: str) -> str:
    """Returns a resourceVersion for messages: its first characters, made printable."""
    return printable(version.encode(errors="replace"))
