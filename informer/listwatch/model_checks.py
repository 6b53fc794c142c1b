"""Checks that a model and the server's lists are of the resource that was requested."""

from __future__ import annotations

from typing import Any

from informer.listwatch.resources import Resource, known
from informer.objects.models import parse_model_name
from informer.objects.official import is_official
from watch.printable import printable

__all__ = ["check_kind", "check_model_kind", "schema_of"]


def check_kind(resource_name: str, expected: str, kind: str) -> None:
    """Refuses a list of another kind. The list kind of a custom resource is its author's choice, and is not checked."""
    if expected and kind and kind != expected and known(resource_name) is not None:
        raise ValueError(f"the server answered with a list of {kind[:100]!r}, not of {expected!r}")


def check_model_kind(model: Any, name: str, form: tuple[str, str]) -> None:
    """Refuses an official model class of another kind or API group than a resource's.

    Args:
        model: the users' type.
        name: the resource, for the message.
        form: apiVersion and kind of its objects; ("", "") if they are not known.

    Raises:
        TypeError: the model is of another kind, or its name says that it is of another group, as `EventsV1Event` does.
    """
    api_version, kind = form
    named = parse_model_name(model.__name__) if kind and is_official(model) else None
    if named is None:
        return
    if named.kind != kind:
        raise TypeError(
            f"model={model.__name__} is of kind {named.kind}, but {name} are of kind {printable(kind)}: pass the model class "
            "of that kind, or a type that names the fields of interest"
        )
    group = api_version.rpartition("/")[0]
    if not named.fits_group(group):
        raise TypeError(
            f"model={model.__name__} is of the API group {named.group_hint}, but {name} are of {group or 'core'}: pass the "
            "model class of that group, or a type that names the fields of interest"
        )


def schema_of(model: Any, resource: Resource | None) -> Any:
    """Returns the official model class to check the fields of `model` against; None if there is nothing to check."""
    if model is None or model is dict or resource is None or is_official(model):
        return None
    from kubernetes.client import models

    version = resource.version[:1].upper() + resource.version[1:]
    prefix = resource.group.partition(".")[0].capitalize()
    for name in (f"{version}{resource.kind}", f"{prefix or 'Core'}{version}{resource.kind}"):
        found = getattr(models, name, None)
        if hasattr(found, "attribute_map"):
            return found
    return None
