"""Bodies of answers in protobuf as dicts, and dicts as bodies of requests."""

from __future__ import annotations

from typing import Any

from informer.listwatch.protobuf_list import ProtobufListParser
from informer.protobuf.kinds import DELETE_OPTIONS, PARTIAL_METADATA, kind_named
from informer.protobuf.plan import plan_for
from informer.testing.storage.protobuf_encoding import encode_envelope, encode_list, encode_message, encode_status
from watch.protobuf_wire import bytes_in, open_envelope, status_in, text_in


def body_of(data: bytes) -> dict[str, Any]:
    """Returns an object, a list or a Status in API form; fails if the embedded server would write other bytes for it."""
    envelope = open_envelope(data)
    kind, message = envelope.kind, data[envelope.start : envelope.end]
    head = {"kind": kind, "apiVersion": envelope.api_version}
    if kind == "Status":
        status = status_in(message)
        again = encode_status(status)
    elif kind.endswith("List"):
        status, again = _list_of(data, envelope.api_version, kind)
    else:
        name = _message_named(envelope.api_version, kind)
        status = plan_for(name).read(message, 0, len(message))
        again = encode_message(status, name)
    assert data == encode_envelope(envelope.api_version, kind, again)
    return {**head, **status}


def events_in(data: bytes) -> tuple[list[dict[str, Any]], bytes]:
    """Splits a part of a watch into its events, and the beginning of one that is incomplete."""
    events = []
    while len(data) >= 4 and len(data) - 4 >= (size := int.from_bytes(data[:4], "big")):
        frame, data = data[4 : 4 + size], data[4 + size :]
        events.append({"type": text_in(frame, 1), "object": body_of(bytes_in(bytes_in(frame, 2), 1))})
    return events, data


def request_body(obj: dict[str, Any]) -> bytes:
    """Returns an object, or the options of a deletion, as a client sends it."""
    api_version, kind = obj["apiVersion"], obj["kind"]
    return encode_envelope(api_version, kind, encode_message(obj, _message_named(api_version, kind)))


def as_typed(obj: dict[str, Any]) -> dict[str, Any]:
    """Returns an object as Go's types write it: with the fields that they never leave out. A custom resource is unchanged."""
    api_version, kind = obj["apiVersion"], obj["kind"]
    known = kind_named(api_version, kind)
    if known is None:
        return obj
    message = encode_message(obj, known.message)
    return {"kind": kind, "apiVersion": api_version, **plan_for(known.message).read(message, 0, len(message))}


def _list_of(data: bytes, api_version: str, kind: str) -> tuple[dict[str, Any], bytes]:
    name = _message_named(api_version, kind.removesuffix("List"))
    parser = ProtobufListParser(lambda _version, _kind, message: message, len(data))
    items = [*parser.feed(data), *parser.last_items()]
    read = [plan_for(name).read(item, 0, len(item)) for item in items]
    # Lists of built-in kinds in JSON leave out what is empty.
    metadata = {key: value for key, value in parser.metadata.items() if value}
    return {"metadata": metadata, "items": read}, encode_list(metadata, [encode_message(each, name) for each in read])


def _message_named(api_version: str, kind: str) -> str:
    if kind == "DeleteOptions":
        return DELETE_OPTIONS
    known = kind_named(api_version, kind)
    # Of other kinds there are only metadata in protobuf.
    return PARTIAL_METADATA if known is None else known.message
