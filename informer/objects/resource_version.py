"""Compares resourceVersions. The order has a meaning only among objects of one resource, such as pods.

Source: KEP-5504, apimachinery pkg/util/resourceversion.
"""

from __future__ import annotations

from typing import Any

from informer.errors import KeyFuncError
from informer.objects.keys import metadata_of
from watch.versions import is_comparable

__all__ = ["compare_resource_versions", "is_comparable", "written_version"]


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


def written_version(written: Any, namespace: str | None = None) -> tuple[str, str | None]:
    """Returns the resourceVersion of a write, and the namespace that it was made in; None if that is not known.

    Args:
        written: the resourceVersion in the server's answer, or the object that the server returned.
        namespace: the namespace of the write; None or "" takes the object's.

    Raises:
        ValueError: it is not an object and has no comparable resourceVersion. An object is not quoted.
    """
    if not isinstance(written, str):
        try:
            metadata = metadata_of(written)
        except KeyFuncError:
            raise ValueError(
                f"not a comparable resourceVersion: a {type(written).__name__} "
                "(pass a decimal number that the server sent, or the object that it returned)"
            ) from None
        written, namespace = metadata.resource_version, namespace or metadata.namespace
    compare_resource_versions(written, written)
    return written, namespace or None
