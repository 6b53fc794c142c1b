"""The objects that kube-apiserver itself creates in a new cluster. They are in the file initial_objects.yaml."""

from __future__ import annotations

from typing import Any

import msgspec

from informer.testing.storage.kinds.tables import yaml_file

__all__ = ["initial_objects"]


# Read when the module is imported, not while a server starts.
_ENCODED = {part: msgspec.json.encode(objects) for part, objects in yaml_file("initial_objects.yaml").items()}


def initial_objects(part: str, **values: Any) -> list[tuple[str, dict[str, Any]]]:
    """Returns objects, each with its resource's name.

    Args:
        part: "cluster", or "service" for those of the service that leads to the server.
        values: what stands in place of the words in angle brackets: `now` in "cluster", `port` in "service".
    """
    text = _ENCODED[part]
    for name, value in values.items():
        text = text.replace(f'"<{name}>"'.encode(), msgspec.json.encode(value))
    return [(resource, obj) for resource, objects in msgspec.json.decode(text).items() for obj in objects]
