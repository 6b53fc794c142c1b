"""The objects on the server as plain dicts, with their history: what an informer has to hold in the end, or may hold now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from informer.testing import EmbeddedAPIServer
from tests.embedded.fuzz.recorder import key_of
from tests.support.objects import custom_resource, namespace_object

NAMESPACES = ("default", "one", "two")
NAMES = ("a", "b", "c", "d", "e")
GROUP = "fuzz.example.com"
VERSIONS = ("v1beta1", "v1")

# Whether a client follows an object.
Part = Callable[[Any], bool]


class Model:
    """Objects of one kind on one server; only the model writes them.

    Args:
        server: the server.
        versions: whether the objects are of a custom resource, of whose versions one at a time is served.
    """

    def __init__(self, server: EmbeddedAPIServer, *, versions: bool = False) -> None:
        self.server = server
        self.resource = f"widgets.{GROUP}" if versions else "configmaps"
        self._api_version, self._kind = "v1", "ConfigMap"
        if versions:
            self._kind = "Widget"
            server.create(_definition(VERSIONS[0]))
            self._api_version = f"{GROUP}/{VERSIONS[0]}"
        self.objects: dict[str, dict[str, Any]] = {}
        # By key: each state, with the version since which it holds.
        self._history: dict[str, list[tuple[int, dict[str, Any] | None]]] = {}
        for namespace in NAMESPACES[1:]:
            server.create(namespace_object(namespace))

    def put(self, namespace: str, name: str, color: str, number: int, padding: int) -> dict[str, Any]:
        """Creates or changes an object, and returns it as the server has it."""
        obj = {
            "apiVersion": self._api_version,
            "kind": self._kind,
            "metadata": {"namespace": namespace, "name": name, "labels": {"color": color, "number": str(number)}},
            # The version makes every write a change; the server ignores a write without one.
            "data": {"padding": "ü" * padding, "version": self.server.resource_version},
        }
        known = self.objects.get(f"{namespace}/{name}")
        if known is not None:
            # The API asks for it where the object is of a custom resource.
            obj["metadata"]["resourceVersion"] = known["metadata"]["resourceVersion"]
        stored = self.server.create(obj) if known is None else self.server.update(obj)
        self.objects[key_of(stored)] = stored
        self._note(key_of(stored), stored)
        return stored

    def delete(self, namespace: str, name: str) -> bool:
        """Deletes an object; returns whether it existed."""
        key = f"{namespace}/{name}"
        if self.objects.pop(key, None) is None:
            return False
        self.server.delete(self.resource, name, namespace=namespace)
        self._note(key, None)
        return True

    def serve(self, version: str) -> None:
        """Serves the objects in one of `VERSIONS`, and in no other."""
        definition = _definition(version)
        known = self.server.get("customresourcedefinitions", definition["metadata"]["name"])
        definition["metadata"]["resourceVersion"] = known["metadata"]["resourceVersion"]
        self.server.update(definition)
        self._api_version = f"{GROUP}/{version}"
        self.objects = {key: {**obj, "apiVersion": self._api_version} for key, obj in self.objects.items()}

    def forget_history(self) -> None:
        """Forgets all states but the present ones: the server gives out versions for the second time."""
        now = int(self.server.resource_version)
        self._history = {key: [(0, self.objects.get(key)), (now, self.objects.get(key))] for key in self._history}

    def part(self, wanted: Part) -> dict[str, dict[str, Any]]:
        """Returns what a client has to hold in the end."""
        return {key: obj for key, obj in self.objects.items() if wanted(obj)}

    def possible(self, key: str, reached: int, wanted: Part) -> set[str]:
        """Returns the versions of an object that a client at version `reached` may hold; "" means no object."""
        states = [(0, None), *self._history.get(key, [])]
        at = max(place for place, (version, _) in enumerate(states) if version <= reached)
        return {obj["metadata"]["resourceVersion"] if obj is not None and wanted(obj) else "" for _, obj in states[at:]}

    @property
    def keys(self) -> list[str]:
        """The keys of all objects that ever existed."""
        return [*self._history]

    def _note(self, key: str, obj: dict[str, Any] | None) -> None:
        self._history.setdefault(key, []).append((int(self.server.resource_version), obj))


def _definition(served: str) -> dict[str, Any]:
    """Returns the custom resource with one served version; both are written to one stored form."""
    definition = custom_resource(GROUP)
    (version,) = definition["spec"]["versions"]
    definition["spec"]["versions"] = [
        {**version, "name": name, "served": name == served, "storage": name == VERSIONS[-1]} for name in VERSIONS
    ]
    return definition
