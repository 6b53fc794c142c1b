"""A request for an informer: however a resource is named, requests for the same objects have the same key."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Literal

from typing_extensions import TypedDict, Unpack

from informer.listwatch.list_watch import ListWatch, ResourceListWatch
from informer.listwatch.resources import built_in_resources, known
from informer.listwatch.targets import PathTarget
from informer.objects.label_selector import Selector, field_selector_text, selector_text
from informer.objects.models import parse_model_name
from informer.objects.object import Object

__all__ = ["FactoryRequest", "RequestedForm"]

# The fields of a resource's model class; models of parts, such as V1PodSpec, lack some.
_OF_RESOURCES = {"api_version", "kind", "metadata"}
_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)(?:/namespaces/(?P<where>[^/]+))?/(?P<plural>[^/]+)\Z"
)


class RequestedForm(TypedDict, total=False):
    """How much of the objects is requested, and in which format; see `ListWatch.for_resource`."""

    metadata_only: bool
    wire: Literal["json", "protobuf"]
    drop_managed_fields: bool


class FactoryRequest:
    """What a caller of `SharedInformerFactory.informer` wants to follow.

    Args:
        api_client: the official client's `ApiClient`, for resources by name; a list method has its own.
        resource: a name, a list method or a model class.
        namespace: one, several, "" for all, or None for the factory's.
        of_factory: the factory's namespace or namespaces, None for all; ignored for resources without namespaces.
        label_selector: such as "app=web" or {"app": "web"}; None selects all.
        field_selector: such as "spec.nodeName=node-1" or a mapping; None selects all.
        model: the type of the objects, see `ListWatch.for_resource`.
        form: further options of `ListWatch.for_resource`: `metadata_only`, `wire`, `drop_managed_fields`.

    Raises:
        TypeError, ValueError: an argument is not valid, or the arguments do not fit together.
    """

    def __init__(
        self,
        api_client: Any,
        resource: Any,
        *,
        namespace: str | Sequence[str] | None = None,
        of_factory: str | Sequence[str] | None = None,
        label_selector: Selector = None,
        field_selector: str | Mapping[str, str] | None = None,
        model: Any = None,
        **form: Unpack[RequestedForm],
    ) -> None:
        if isinstance(resource, type):
            model = resource if model is None else model
            resource = _resource_of(resource)
        self._label_selector = selector_text(label_selector) or None
        self._field_selector = field_selector_text(field_selector) or None
        self._model = None if model is Object else model
        self._form = form
        self._api_client = api_client
        self._resource = resource
        if isinstance(resource, str):
            self._place, where = _named(resource, namespace, of_factory)
        elif callable(resource):
            self._api_client = getattr(getattr(resource, "__self__", None), "api_client", None)
            self._place, where = _listed_by(resource, namespace, of_factory)
            named_only = [name for name, value in form.items() if value not in (False, "json")]
            if named_only:
                raise TypeError(
                    f"{', '.join(named_only)} needs the resource by its name, such as 'pods', in place of a list method"
                )
        else:
            raise TypeError(
                f"a resource is a name such as 'pods', a list method or an official model class, not {resource!r}"
            )
        self._where: str | tuple[str, ...] | None = where if where is None or isinstance(where, str) else tuple(where)

    @property
    def key(self) -> Hashable:
        """Identifies the objects: requests for the same objects have equal keys."""
        where = (self._where,) if isinstance(self._where, str) else self._where
        return (
            self._api_client,
            self._place,
            None if where in (None, ("",)) else frozenset(where or ()),
            self._label_selector,
            self._field_selector,
            self._model,
            *sorted(self._form.items()),
        )

    def list_watch(self) -> ResourceListWatch[Any]:
        """Returns a new list-watch of the objects; raises as `ListWatch.for_resource` and `ListWatch.from_api` do."""
        if isinstance(self._resource, str):
            return ListWatch.for_resource(
                self._api_client,
                self._resource,
                namespace=self._where,
                label_selector=self._label_selector,
                field_selector=self._field_selector,
                model=self._model,
                **self._form,
            )
        selectors = {"label_selector": self._label_selector, "field_selector": self._field_selector}
        given = {name: selector for name, selector in selectors.items() if selector}
        return ListWatch.from_api(
            self._resource, model=self._model, **_namespace_argument(self._resource, self._where), **given
        )


def _named(
    name: str, namespace: str | Sequence[str] | None, of_factory: str | Sequence[str] | None
) -> tuple[Hashable, str | Sequence[str] | None]:
    """Returns what identifies a resource by name, and its namespaces; None is all of them, or a resource without."""
    built_in = known(name)
    if built_in is None:
        return name, of_factory if namespace is None else namespace
    place = (built_in.group, built_in.version, built_in.plural)
    if built_in.namespaced:
        return place, of_factory if namespace is None else namespace
    if namespace:
        raise ValueError(f"{built_in.name} has no namespaces: leave out namespace={namespace!r}")
    return place, None


def _listed_by(
    method: Callable[..., Any], namespace: str | Sequence[str] | None, of_factory: str | Sequence[str] | None
) -> tuple[Hashable, str | Sequence[str] | None]:
    """Returns the same for a list method, whose name says whether it lists one namespace or all."""
    name = getattr(method, "__name__", "")
    where: Any = of_factory if namespace is None else namespace
    if "_namespaced_" not in name:
        if namespace or (of_factory and name.endswith("_for_all_namespaces")):
            raise ValueError(
                f"{name} is not limited to namespace={where!r}: pass the list_namespaced_ method, or a name"
            )
        where = None
    elif where is not None and not isinstance(where, str):
        if len(where) != 1:
            raise ValueError(f"{name} lists one namespace: pass the resource's name, such as 'pods', for several")
        where = where[0]
    path = PathTarget.of_method(method, _namespace_argument(method, where)).path(None)
    found = _PATH.match(path)
    if found is None:
        return path, where
    return (found["group"] or "", found["version"], found["plural"]), where


def _namespace_argument(method: Callable[..., Any], where: Any) -> dict[str, Any]:
    return {"namespace": where} if where and "_namespaced_" in getattr(method, "__name__", "") else {}


def _resource_of(model: type) -> str:
    """Returns the name of the resource of an official model class, such as V1Deployment."""
    named = parse_model_name(model.__name__)
    if named is None or not getattr(model, "openapi_types", {}).keys() >= _OF_RESOURCES:
        raise TypeError(
            f"{model.__name__} is not an official model class of a resource: name the resource and pass model="
        )
    for resource in built_in_resources():
        if resource.version == named.version and resource.kind == named.kind and named.fits_group(resource.group):
            return f"{resource.api_version}/{resource.kind}"
    return named.kind
