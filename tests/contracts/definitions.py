"""Custom resources of a test module's own, defined on every server."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from tests.contracts.conftest import Servers, embedded_server, side_of_embedded, side_of_real

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition_of(group: str, kind: str, schemas: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Returns a definition.

    Args:
        group: the API group.
        kind: the kind.
        schemas: the schema of each version; the first version is stored.
        more: further fields of each version.
    """
    plural = f"{kind.lower()}s"
    versions = [
        {"name": name, "served": True, "storage": not i, "schema": {"openAPIV3Schema": schema}, **more}
        for i, (name, schema) in enumerate(schemas.items())
    ]
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": versions},
    }


@contextlib.contextmanager
def joint_servers(request: pytest.FixtureRequest, definitions: Sequence[dict[str, Any]]) -> Iterator[Servers]:
    """Gives an embedded server, alone or together with the real one, that have the defined resources; {ns} is a namespace."""
    with embedded_server() as server:
        sides = [side_of_embedded(server)]
        if request.param == "real":
            sides.append(side_of_real(request.getfixturevalue("control_plane")))
        servers = Servers(sides)
        namespace = f"contract-{uuid.uuid4().hex[:8]}"
        for side in sides:
            side.known = {"ns": namespace}
        servers.ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}}, like={})
        for each in definitions:
            assert servers.ask("POST", DEFINITIONS, each, only=("kind",)).status == 201
        for each in definitions:
            spec = each["spec"]
            for version in spec["versions"]:
                servers.wait_until_served(f"/apis/{spec['group']}/{version['name']}/{spec['names']['plural']}")
        yield servers
        servers.close()
