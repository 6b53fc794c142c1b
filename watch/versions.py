"""Compares and bounds resourceVersions. The order has a meaning only among objects of one resource, such as pods.

Source: KEP-5504, apimachinery pkg/util/resourceversion.
"""

from __future__ import annotations

from watch.printable import printable

__all__ = ["MAX_VERSION", "is_comparable", "is_older", "shown_version", "too_long"]

MAX_VERSION = 64 * 1024
"""The most characters of a resourceVersion or continue token.

They go into the address of the next request. An API server's have at most a few hundred characters, those of a proxy that joins
many clusters a few thousand; most servers and proxies refuse an address of more than 8 to 32 KiB.
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


def too_long(what: str, value: str) -> str:
    """Returns what is wrong with the length of a resourceVersion or continue token; "" if nothing is.

    Args:
        what: where it stands, such as "a bookmark's resourceVersion".
        value: the version or token.
    """
    return (
        "" if len(value) <= MAX_VERSION else f"{what} has {len(value)} characters; at most {MAX_VERSION} are accepted"
    )


def shown_version(version: str) -> str:
    """Returns the beginning of a resourceVersion for messages."""
    return printable(version.encode(errors="replace"))
