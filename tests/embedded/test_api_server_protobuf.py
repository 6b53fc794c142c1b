"""Answers in protobuf: what the contracts cannot compare with the real server, and faults in streams."""

from __future__ import annotations

import pytest

from informer.testing import EmbeddedAPIServer
from tests.support.objects import config_map
from tests.support.protobuf_bodies import body_of, events_in

MAPS = "/api/v1/namespaces/default/configmaps"
JSON, PROTOBUF = "application/json", "application/vnd.kubernetes.protobuf"
MANAGED = [{"manager": "x", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"a": {}}}]


@pytest.mark.parametrize("form", ["", ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"], ids=["whole", "metadata"])
@pytest.mark.parametrize("media", [JSON, PROTOBUF])
@pytest.mark.parametrize(("version", "dropped"), [("1.37", False), ("1.38", True)])
def test_managed_fields_are_left_out_if_the_version_knows_it(client_of, version, dropped, media, form):
    obj = config_map("a")
    obj["metadata"]["managedFields"] = MANAGED
    with EmbeddedAPIServer(version=version) as server:
        server.create(obj)
        answer = client_of(server)("GET", MAPS, Accept=f"{media}{form};drop=metadata.managedFields")
        body = body_of(answer.body) if media == PROTOBUF else answer.json
        assert ("managedFields" in body["items"][0]["metadata"]) is not dropped


def test_an_object_of_wrong_types_is_an_error_of_the_server(server, call):
    """The real server refuses to store such an object; this one cannot write it in protobuf."""
    server.create({**config_map("a"), "data": "text"})
    answer = call("GET", MAPS, Accept=PROTOBUF)
    assert (answer.status, body_of(answer.body)["code"]) == (500, 500)


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda faults: faults.error_event(410), ("ERROR", 410)),
        (lambda faults: faults.error_event(429, retry_after=2), ("ERROR", 429)),
        (lambda faults: faults.unknown_event(), ("RENAMED", None)),
        (lambda faults: faults.line({"type": "ADDED", "object": config_map("mine")}), ("ADDED", None)),
    ],
    ids=["410", "429", "unknown", "own"],
)
def test_a_fault_inserts_an_event_into_a_stream_in_protobuf(server, call, act, expected):
    act(server.faults)
    stream = call.watch(MAPS, Accept=PROTOBUF)
    size = stream.response.read(4)
    ((event,), rest) = events_in(size + stream.response.read(int.from_bytes(size, "big")))
    assert (event["type"], event["object"].get("code"), rest) == (*expected, b"")
