"""The text "namespace/name", which is an object's key and how messages name it."""

from __future__ import annotations

__all__ = ["namespaced_name"]


def namespaced_name(namespace: str, name: str) -> str:
    """Joins a namespace and a name as client-go writes them.

    Args:
        namespace: the object's namespace; "" for an object without one.
        name: the object's name.

    Returns:
        "namespace/name", or "name" when the namespace is empty.

    Source: client-go tools/cache ObjectName.String.
    """
    return f"{namespace}/{name}" if namespace else name
