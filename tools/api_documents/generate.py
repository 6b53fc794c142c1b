"""Writes informer/testing/api_documents/kubernetes.json.xz: what kube-apiserver publishes about its built-in kinds.

    KUBEBUILDER_ASSETS=... python tools/api_documents/generate.py

It starts a real kube-apiserver and reads its OpenAPI v3 documents, the columns of its tables, and the documents of two custom
resources, whose names are placeholders. The embedded server puts the names and schemas of other custom resources in their
place. The result is the same for the same version of Kubernetes.
"""

from __future__ import annotations

import json
import lzma
import pathlib
import time
from typing import Any

import urllib3

from informer.testing import ControlPlane

TARGET = pathlib.Path(__file__).resolve().parents[2] / "informer" / "testing" / "api_documents" / "kubernetes.json.xz"
GROUP, VERSION, PLURAL, KIND = "xgroup.example.com", "xversion", "xplurals", "Xkind"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


class Server:
    def __init__(self, plane: ControlPlane) -> None:
        self._url = plane.url
        self._http = urllib3.PoolManager(ca_certs=str(plane.ca_file))
        self._authorization = {"Authorization": f"Bearer {plane.token()}"}

    def ask(self, path: str, accept: str = "application/json", method: str = "GET", body: Any = None) -> Any:
        headers = {**self._authorization, "Accept": accept, "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body)
        answer = self._http.request(method, self._url + path, body=data, headers=headers)
        if answer.status >= 300:
            raise SystemExit(f"{method} {path}: {answer.status} {answer.data.decode()}")
        return json.loads(answer.data)


def documents(server: Server) -> dict[str, Any]:
    index = server.ask("/openapi/v3")["paths"]
    return {path: server.ask(each["serverRelativeURL"]) for path, each in sorted(index.items())}


def columns(server: Server) -> dict[str, Any]:
    groups = server.ask("/apis")["groups"]
    roots = ["/api/v1", *(f"/apis/{v['groupVersion']}" for group in groups for v in group["versions"])]
    found = {}
    for root in sorted(roots):
        for resource in server.ask(root)["resources"]:
            if "/" not in resource["name"] and "list" in resource["verbs"]:
                table = server.ask(f"{root}/{resource['name']}", TABLE)
                found[f"{root}/{resource['name']}"] = table["columnDefinitions"]
    return found


def custom_document(server: Server, scope: str) -> Any:
    """Returns the document of a custom resource with placeholders for names, in a scope: "Namespaced" or "Cluster"."""
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"replicas": {"type": "integer"}}}},
    }
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    version = {"name": VERSION, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    version["subresources"] = {"status": {}, "scale": scale}
    spec = {"group": GROUP, "scope": scope, "names": {"plural": PLURAL, "kind": KIND}, "versions": [version]}
    metadata = {"name": f"{PLURAL}.{GROUP}"}
    definition = {"kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1"}
    server.ask(DEFINITIONS, method="POST", body={**definition, "metadata": metadata, "spec": spec})
    path = f"apis/{GROUP}/{VERSION}"
    for _ in range(100):
        found = server.ask("/openapi/v3")["paths"].get(path)
        if found is not None:
            break
        time.sleep(0.1)  # noqa: TID251
    document = server.ask(found["serverRelativeURL"])
    server.ask(f"{DEFINITIONS}/{PLURAL}.{GROUP}", method="DELETE")
    while path in server.ask("/openapi/v3")["paths"]:
        time.sleep(0.1)  # noqa: TID251
    return document


def main() -> None:
    with ControlPlane() as plane:
        server = Server(plane)
        published = {
            "kubernetes": server.ask("/version")["gitVersion"],
            "openapi": documents(server),
            "columns": columns(server),
            "custom": {scope: custom_document(server, scope) for scope in ("Namespaced", "Cluster")},
        }
    text = json.dumps(published, separators=(",", ":")).encode()
    TARGET.write_bytes(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME))
    print(f"{TARGET}: {len(text):,} bytes, {TARGET.stat().st_size:,} compressed")


if __name__ == "__main__":
    main()
