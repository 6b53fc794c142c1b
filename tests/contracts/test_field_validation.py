"""Unknown and duplicate fields: dropped with a warning, or refused, as the client wants."""

from __future__ import annotations

import json
from typing import Any

import pytest

MAPS = "/api/v1/namespaces/{ns}/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/{ns}/deployments"
WIDGETS = "/apis/contracts.example.com/v1/namespaces/{ns}/widgets"
WIDGET = '{"apiVersion":"contracts.example.com/v1","kind":"Widget","metadata":{"name":"x"},'
VALIDATIONS = ("", "Warn", "Strict", "Ignore")

DEPLOYMENT = """{"metadata":{"name":"x"},"spec":{"replicas":1,"replicas":2,"Selector":1,"selector":{"matchLabels":{"a":"b"}},
"foo":1,"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"a","image":"x","imag":"y",
"ports":[{"containerPort":80,"x":1}]}]}}}}"""
BODIES = {
    "built-in": (DEPLOYMENTS, DEPLOYMENT),
    "null": (MAPS, '{"kind":"ConfigMap","foo":null,"metadata":{"name":"x"}}'),
    "owner": (
        MAPS,
        '{"kind":"ConfigMap","kind":"ConfigMap","metadata":{"name":"x","ownerReferences":'
        '[{"apiVersion":"v1","kind":"Pod","name":"x","uid":"1","q":1}]}}',
    ),
    "escapes": (MAPS, r'{"metadata":{"name":"x"},"data":{"a":"\"","\u0061":"\u0022","b":"\\\""}}'),
    "custom": (WIDGETS, f'{WIDGET}"spec":{{"color":"a","color":"b"}},"Spec":{{}},"foo":1,"bar":2}}'),
    "custom metadata": (
        WIDGETS,
        WIDGET.replace('"x"', '"x","foo":1,"labels":{"a":"b","a":"c"}') + '"spec":{"a":[{"b":1,"b":2}]}}',
    ),
    "nothing": (MAPS, '{"metadata":{"name":"x","annotations":{"a":"a\\"a"}},"data":{"a":"a"}}'),
}


@pytest.mark.parametrize("validation", VALIDATIONS)
@pytest.mark.parametrize(("path", "body"), BODIES.values(), ids=BODIES)
def test_fields_of_a_new_object(servers, path, body, validation):
    """The default is to warn. Strict validation refuses with 400."""
    query = {"dryRun": "All", **({"fieldValidation": validation} if validation else {})}
    answer = servers.ask("POST", path, body.encode(), query=query, like={})
    is_wrong = body != BODIES["nothing"][1]
    assert answer.status == (400 if is_wrong and validation == "Strict" else 201)
    assert ("Warning" in answer.headers) is (is_wrong and validation in ("", "Warn"))


def test_unknown_validation(servers):
    """The query has one of three values."""
    assert servers.ask("POST", MAPS, {"metadata": {"name": "x"}}, query={"fieldValidation": "strict"}).status == 422


PATCHES: dict[str, tuple[str, str, str]] = {
    "merge": (MAPS, "application/merge-patch+json", '{"data":{"a":"b","a":"c"},"foo":1}'),
    "strategic": (MAPS, "application/strategic-merge-patch+json", '{"data":{"a":"b","a":"c"},"foo":1}'),
    "json": (MAPS, "application/json-patch+json", '[{"op":"add","op":"add","path":"/foo","value":1}]'),
    "custom": (WIDGETS, "application/merge-patch+json", '{"spec":{"color":"b","color":"c"},"foo":1}'),
}


@pytest.mark.parametrize(("path", "media", "patch"), PATCHES.values(), ids=PATCHES)
def test_fields_of_a_patch(servers, path, media, patch):
    """A patch is refused with 422: its result has unknown fields."""
    obj: Any = json.loads(f'{WIDGET}"spec":{{}}}}') if path == WIDGETS else {"metadata": {"name": "x"}}
    servers.ask("POST", path, obj)
    answer = servers.ask(
        "PATCH", f"{path}/x", patch.encode(), media=media, query={"fieldValidation": "Strict"}, only=("reason",)
    )
    assert answer.status == 422
    answer = servers.ask("PATCH", f"{path}/x", patch.encode(), media=media)
    assert answer.headers["Warning"].count("299") == 2
    assert "foo" not in answer.body
