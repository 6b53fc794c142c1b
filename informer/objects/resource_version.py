"""Comparing resourceVersions, which is allowed within one resource.

Source: KEP-5504, apimachinery pkg/util/resourceversion.
"""

from __future__ import annotations

__all__ = ["compare_resource_versions", "is_comparable"]


def is_comparable(resource_version: object) -> bool:
    """Whether it is a decimal number above zero, without a leading zero, as every Kubernetes API server gives."""
    if not isinstance(resource_version, str):
        return False
    return resource_version.isascii() and resource_version.isdecimal() and resource_version[0] != "0"


def compare_resource_versions(one: str, other: str) -> int:
    """Less than 0 when `one` is older than `other`, 0 when they are equal, more than 0 when it is newer.

    Raises:
        ValueError: one of them is no comparable resourceVersion.
    """
    for version in (one, other):
        if not is_comparable(version):
            raise ValueError(
                f"not a comparable resourceVersion: {version!r} (a decimal number from the server is needed)"
            )
    first, second = (len(one), one), (len(other), other)
    return (first > second) - (first < second)
