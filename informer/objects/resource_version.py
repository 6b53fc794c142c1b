"""Compares resourceVersions. The order has a meaning only among objects of one resource, such as pods.

Source: KEP-5504, apimachinery pkg/util/resourceversion.
"""

from __future__ import annotations

__all__ = ["compare_resource_versions", "is_comparable"]


def is_comparable(resource_version: object) -> bool:
    """Whether a resourceVersion can be compared: a decimal number above zero without leading zeros.

    Every Kubernetes API server sends such numbers; extension API servers may not.
    """
    if not isinstance(resource_version, str):
        return False
    return resource_version.isascii() and resource_version.isdecimal() and resource_version[0] != "0"


def compare_resource_versions(one: str, other: str) -> int:
    """Compares two resourceVersions of the same resource.

    Returns:
        Less than 0 when `one` is older than `other`, 0 when they are equal, more than 0 when `one` is newer.

    Raises:
        ValueError: one of them is not comparable, see `is_comparable`.

    Example:
        >>> compare_resource_versions("99", "100")
        -1
    """
    for version in (one, other):
        if not is_comparable(version):
            raise ValueError(
                f"not a comparable resourceVersion: {version!r} (pass a decimal number that the server sent)"
            )
    first, second = (len(one), one), (len(other), other)
    return (first > second) - (first < second)
