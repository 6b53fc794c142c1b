"""Where a resource is served: the server and the path, from the resource's name or from an official list method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from informer.api_paths import checked_parameter
from informer.listwatch.resources import Resource, forget, known, resolve
from informer.transport.transport import Transport, transport_for

__all__ = ["NamedTarget", "PathTarget", "Target"]


class Target(Protocol):
    """Where a resource is listed and watched."""

    @property
    def name(self) -> str:
        """The resource for messages, such as "deployments.apps"."""
        ...

    @property
    def query(self) -> Mapping[str, str]:
        """Query parameters of every request."""
        ...

    @property
    def place(self) -> str:
        """Identifies the resource on its server. It is the same in every process."""
        ...

    @property
    def server(self) -> str:
        """Identifies the server; "" for the one of the default configuration. Sends no request."""
        ...

    @property
    def item_type(self) -> tuple[str, str]:
        """The apiVersion and kind of the objects; ("", "") if they are not known."""
        ...

    @property
    def built_in(self) -> Resource | None:
        """The resource if it is a built-in one, else None."""
        ...

    @property
    def can_watch(self) -> bool:
        """Whether the resource may be watched: False if the server is known not to offer it."""
        ...

    def transport(self) -> Transport:
        """Returns the transport that sends the requests."""
        ...

    def path(self, namespace: str | None) -> str:
        """Returns the path of the list. It may ask the server which resources it has.

        Args:
            namespace: the namespace; None for the whole cluster.

        Raises:
            ApiError: 404 if the server does not serve the resource (yet).
            ValueError: a namespace was given for a resource without namespaces.
        """
        ...

    def forget(self) -> None:
        """Forgets what the server has said about the resource, after a 404; the next `path` asks again."""
        ...

    def copy(self) -> Target:
        """Returns a target of the same resource that remembers by itself what the server has said."""
        ...


class NamedTarget:
    """The target of a resource's name. Unless the resource is a built-in one, its first request asks the server for the path.

    Args:
        name: such as "pods", "deployments.apps", "v1/pods" or "apps/v1/Deployment".
        api_client: the official client's `ApiClient`; None for the default configuration.
    """

    query: Mapping[str, str] = {}

    def __init__(self, name: str, api_client: Any) -> None:
        self._wanted = name
        self._api_client = api_client
        self._is_built_in = known(name) is not None
        self._resource: Resource | None = known(name)
        self.name = name if self._resource is None else self._resource.name
        self.server = _server_of(api_client)

    @property
    def place(self) -> str:
        """See `Target.place`."""
        resource = self.built_in
        return self._wanted if resource is None else f"{resource.api_version}/{resource.plural}"

    @property
    def built_in(self) -> Resource | None:
        """See `Target.built_in`."""
        return self._resource if self._is_built_in else None

    @property
    def item_type(self) -> tuple[str, str]:
        """See `Target.item_type`."""
        resource = self._resource
        return ("", "") if resource is None else (resource.api_version, resource.kind)

    @property
    def can_watch(self) -> bool:
        """See `Target.can_watch`."""
        return self._resource is None or "watch" in self._resource.verbs

    def transport(self) -> Transport:
        """See `Target.transport`."""
        return transport_for(self._api_client)

    def path(self, namespace: str | None) -> str:
        """See `Target.path`."""
        resource = self._resource or resolve(self._wanted, self.transport())
        if namespace and not resource.namespaced:
            raise ValueError(f"{resource.name} has no namespaces: leave out namespace={namespace!r}")
        if resource is not self._resource:
            self._resource = resource
            self.name = resource.name
        return resource.path(namespace)

    def forget(self) -> None:
        """See `Target.forget`; the path of a built-in resource does not change."""
        if not self._is_built_in:
            self._resource = None
            forget(self._wanted, self.transport())

    def copy(self) -> NamedTarget:
        """See `Target.copy`."""
        return NamedTarget(self._wanted, self._api_client)


class PathTarget:
    """The target of an official list method.

    Args:
        path: the absolute path that the method requests.
        query: the query parameters that the method sends, by wire name.
        api_client: the official client's `ApiClient`.
    """

    item_type = ("", "")
    can_watch = True

    def __init__(self, path: str, query: Mapping[str, str], api_client: Any) -> None:
        self._path = path
        self._api_client = api_client
        self.query: Mapping[str, str] = query
        self.name = path.rpartition("/")[2]
        self.built_in = _built_in_at(path)
        self.server = _server_of(api_client)
        self.place = f"{path}?{sorted(query.items())}"

    @classmethod
    def of_method(cls, list_method: Callable[..., Any], arguments: Mapping[str, Any]) -> PathTarget:
        """Returns the target of a list method. The method is called on a stand-in client, so that no request is sent.

        Args:
            list_method: a bound method such as `core_v1.list_pod_for_all_namespaces`.
            arguments: the method's arguments.

        Raises:
            TypeError: it is not a list method of the official client, or it refuses the arguments.
            ValueError: an argument that becomes a part of the path is malformed.
        """
        owner = getattr(list_method, "__self__", None)
        api_client = getattr(owner, "api_client", None)
        name = getattr(list_method, "__name__", "")
        if api_client is None or not name.startswith("list_"):
            raise TypeError(
                f"{list_method!r} is not a list method of the official client, such as core_v1.list_pod_for_all_namespaces"
            )
        own = _OWN.intersection(arguments)
        if own:
            raise TypeError(f"{name}: {', '.join(sorted(own))} is set by the informer: leave it out")
        make: Any = type(owner)
        stand_in = make(api_client=_Recorder(api_client))
        recorded: _Recorded | None = None
        try:
            getattr(stand_in, name.removesuffix("_with_http_info"))(**arguments)
        except _Recorded as found:
            recorded = found
        except Exception as error:
            raise TypeError(f"{name} refused its arguments: {error}") from error
        if recorded is None:
            raise TypeError(f"{name} sent no request: this version of the official client is not supported")
        return cls(recorded.filled_path(), recorded.query(), api_client)

    def transport(self) -> Transport:
        """See `Target.transport`."""
        return transport_for(self._api_client)

    def path(self, namespace: str | None) -> str:
        """See `Target.path`; the namespace is already part of the path."""
        return self._path

    def forget(self) -> None:
        """See `Target.forget`; the path is fixed."""

    def copy(self) -> PathTarget:
        """See `Target.copy`; it remembers nothing."""
        return self


def _server_of(api_client: Any) -> str:
    """The address of a client's server; "" for the default configuration."""
    host = getattr(getattr(api_client, "configuration", None), "host", None)
    return str(host or "").rstrip("/")


def _built_in_at(path: str) -> Resource | None:
    """Returns the built-in resource that a path lists, in a namespace or in the whole cluster; else None."""
    root, *parts = path.strip("/").split("/")
    group, parts = ("", parts) if root == "api" else (parts[0] if parts else "", parts[1:])
    if root not in ("api", "apis") or len(parts) not in (2, 4) or not all((*parts, group or "core")):
        return None
    name = f"{parts[0]}/{parts[-1]}"
    found = known(f"{group}/{name}" if group else name)
    # The path may also be that of a single object or of a sub-resource.
    is_list = len(parts) == 2 or parts[1] == "namespaces"
    return found if found is not None and is_list and found.plural == parts[-1] else None


# The informer sets these itself: with other values, a watch could not continue the list.
_OWN = frozenset(
    {"_continue", "allow_watch_bookmarks", "resource_version", "resource_version_match", "send_initial_events", "watch"}
)


class _Recorded(Exception):  # noqa: N818 - it carries a result
    """Raised by `_Recorder` with the request that an official list method was about to send."""

    def __init__(self, path: str, path_params: Any, query_params: Any) -> None:
        super().__init__(path)
        self._path = path
        self._path_params = path_params
        self._query_params = query_params

    def filled_path(self) -> str:
        path, given = self._path, self._path_params or ()
        for parameter, value in given.items() if isinstance(given, Mapping) else given:
            path = path.replace("{" + parameter + "}", checked_parameter(parameter, value))
        return path

    def query(self) -> dict[str, str]:
        return {key: _query_text(value) for key, value in self._query_params or ()}


class _Recorder:
    """A stand-in for an `ApiClient` that raises `_Recorded` in place of sending a request."""

    def __init__(self, api_client: Any) -> None:
        self._api_client = api_client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api_client, name)

    def param_serialize(
        self, *, resource_path: str, path_params: Any = None, query_params: Any = None, **_: Any
    ) -> Any:
        """Called by versions 36 and later of the official client."""
        raise _Recorded(resource_path, path_params, query_params)

    def call_api(
        self, resource_path: str, method: str, path_params: Any = None, query_params: Any = None, *_: Any, **__: Any
    ) -> Any:
        """Called by earlier versions."""
        raise _Recorded(resource_path, path_params, query_params)


def _query_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
