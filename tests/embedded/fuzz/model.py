"""The objects on the server as plain dicts, with their history: what an informer has to hold in the end, or may hold now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from informer.testing import EmbeddedAPIServer
from tests.embedded.fuzz.recorder import key_of
from tests.support.objects import namespace_object

NAMESPACES = ("default", "one", "two")
NAMES = ("a", "b", "c", "d", "e")

# Whether a client follows an object.
Part = Callable[[Any], bool]


class Model:
    """Objects of one kind on one server; only the model writes them."""

    def __init__(self, server: EmbeddedAPIServer) -> None:
        self.server = server
        self.objects: dict[str, dict[str, Any]] = {}
        # By key: each state, with the version since which it holds.
        self._history: dict[str, list[tuple[int, dict[str, Any] | None]]] = {}
        for namespace in NAMESPACES[1:]:
            server.create(namespace_object(namespace))

    def put(self, namespace: str, name: str, color: str, number: int, padding: int) -> None:
        """Creates or changes an object."""
        obj = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"namespace": namespace, "name": name, "labels": {"color": color}},
            # The version makes every write a change; the server ignores a write without one.
            "data": {"number": str(number), "padding": "ü" * padding, "version": self.server.resource_version},
        }
        known = f"{namespace}/{name}" in self.objects
        stored = self.server.update(obj) if known else self.server.create(obj)
        self.objects[key_of(stored)] = stored
        self._note(key_of(stored), stored)

    def delete(self, namespace: str, name: str) -> bool:
        """Deletes an object; returns whether it existed."""
        key = f"{namespace}/{name}"
        if self.objects.pop(key, None) is None:
            return False
        self.server.delete("configmaps", name, namespace=namespace)
        self._note(key, None)
        return True

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
