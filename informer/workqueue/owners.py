"""Who controls an object, by its owner references."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from informer.objects.keys import namespace_of

__all__ = ["OwnerKind", "controller_key"]


class OwnerKind(NamedTuple):
    """A kind of owners; `group` None stands for any."""

    kind: str
    group: str | None

    @classmethod
    def of(cls, kind: str | tuple[str, str]) -> OwnerKind:
        """Reads "Foo", "Foo.samplecontroller.k8s.io" or ("samplecontroller.k8s.io/v1", "Foo").

        Raises:
            ValueError: it is none of these.
        """
        if isinstance(kind, str):
            name, dot, group = kind.partition(".")
            found = cls(name, group if dot else None)
        else:
            try:
                api_version, name = kind
                found = cls(name.strip(), api_version.rpartition("/")[0])
            except (AttributeError, TypeError, ValueError):
                found = cls("", None)
        if not found.kind or "/" in found.kind:
            raise ValueError(
                f'{kind!r} is no kind: "Foo", "Foo.samplecontroller.k8s.io" or ("samplecontroller.k8s.io/v1", "Foo") is needed'
            )
        return found


def controller_key(obj: Any, owner: OwnerKind, *, namespaced: bool) -> str | None:
    """The key of the object that controls another, if it is of a kind; else None.

    Source: apimachinery meta/v1 GetControllerOf.
    """
    for reference in _references(obj):
        if _part(reference, "controller") is not True:
            continue
        name = _part(reference, "name")
        if _part(reference, "kind") != owner.kind or not isinstance(name, str) or not name:
            return None
        if owner.group is not None and _group(reference) != owner.group:
            return None
        namespace = namespace_of(obj) if namespaced else ""
        return f"{namespace}/{name}" if namespace else name
    return None


def _references(obj: Any) -> Iterable[Any]:
    metadata = _part(obj, "metadata")
    found = _part(obj if metadata is None else metadata, "ownerReferences", "owner_references")
    return found if isinstance(found, Iterable) and not isinstance(found, str | Mapping) else ()


def _group(reference: Any) -> str:
    api_version = _part(reference, "apiVersion", "api_version")
    return api_version.rpartition("/")[0] if isinstance(api_version, str) else ""


def _part(of: Any, *names: str) -> Any:
    """What a mapping or a model has under one of some names."""
    for name in names:
        found = of.get(name) if isinstance(of, Mapping) else getattr(of, name, None)
        if found is not None:
            return found
    return None
