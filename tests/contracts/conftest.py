"""Sends the same requests to the embedded API server and to a real kube-apiserver, and compares their answers.

A test calls `servers`, which asks each server and compares status, the headers that clients act on, and body. With
"embedded" there is only one server, so that the test's own assertions are checked on every machine. With "real" there are two;
the test is skipped on a machine without a control plane.

Before the comparison, what differs by nature is replaced: uids, times, resourceVersions, page tokens, allocated addresses
and ports, the random end of generated names, and the differences of Go's structs in messages. Entries of managedFields are
sorted, since their order depends on their times.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import urllib3
import yaml

from informer.testing.api_server import EmbeddedAPIServer
from informer.testing.control_plane import ControlPlane
from tests.support.protobuf_bodies import body_of, events_in
from tests.support.waiting import DEADLINE, eventually
from watch.protobuf_wire import looks_like_protobuf

ADMIN, NO_RIGHTS = "admin-token", "nobody-token"

_UID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_TIME = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z\b")
_AGE = re.compile(r"(\d+[smhdy]){1,2}")
_VERSIONS = re.compile(
    r"(?<=resource version: )\d+|(?<=current: )\d+|(?<=ResourceVersion in object meta: )\d+|(?<=\()\d+(?=\))"
)
# Lists in which order has no meaning: that of managedFields depends on times, that of conflicts on chance.
_SORTED = {"managedFields", "causes"}
# What kube-apiserver appends to the messages about fields that no update may change.
_GO_DIFFERENCE = re.compile(r"\n@@.*?(?=, [a-z]+(?:\.|\[|:)|\]\Z|\Z)", re.DOTALL)
_ALLOCATED = re.compile(r"10\.0\.\d+\.\d+|3[0-2]\d\d\d")
_GZIP = {"Accept-Encoding": "gzip"}
_COMPARED_HEADERS = ("Content-Type", "Retry-After", "Content-Encoding", "Vary", "Warning")


class Answer(NamedTuple):
    """An answer, made comparable."""

    status: int
    headers: dict[str, str]
    body: Any


class Side:
    """One server, and values from its answers that later requests use."""

    def __init__(self, name: str, url: str, tokens: Mapping[str, str], ca_file: str | None) -> None:
        self.name = name
        self.known: dict[str, str] = {}
        self.last: Any = None  # the last body, decoded
        self._url = url
        self._tokens = tokens
        self._ca_file = ca_file
        self._http = urllib3.PoolManager(ca_certs=ca_file, maxsize=8, retries=False, timeout=DEADLINE)

    def filled(self, value: Any) -> Any:
        """Returns a part of a request with names in braces replaced by this server's values."""
        if isinstance(value, str):
            return re.sub(r"\{(\w+)\}", lambda match: self.known.get(match[1], match[0]), value)
        if isinstance(value, dict):
            return {key: self.filled(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.filled(each) for each in value]
        return value

    def send(self, method: str, path: str, query: Any, body: Any, headers: Mapping[str, str], user: str) -> Any:
        data = body if isinstance(body, bytes) or body is None else json.dumps(self.filled(body)).encode()
        headers = {"Authorization": f"Bearer {self._tokens[user]}", **headers}
        return self._http.request(
            method,
            self._url + self.filled(path) + _query_text(self.filled(query)),
            body=data,
            headers=headers,
            preload_content=False,
        )

    def send_raw(self, text: str) -> tuple[str, dict[str, str], bytes, bool]:
        """Sends the text of a request as it is, with credentials in place of {auth}.

        Returns:
            The protocol and status, such as "HTTP/1.0 200"; the headers; the body up to the connection's end, or what comes
            with Content-Length; whether the server closed the connection.
        """
        url = urlsplit(self._url)
        assert url.hostname is not None
        context = ssl.create_default_context(cafile=self._ca_file) if url.scheme == "https" else None
        with socket.create_connection((url.hostname, url.port or 0), timeout=DEADLINE) as plain:
            sock = plain if context is None else context.wrap_socket(plain, server_hostname=url.hostname)
            with sock, sock.makefile("rb") as file:
                text = self.filled(text.replace("{auth}", f"Authorization: Bearer {self._tokens['admin']}"))
                sock.sendall(text.encode("latin-1"))
                status = b" ".join(file.readline().split()[:2]).decode()
                lines = iter(lambda: file.readline().decode("latin-1").strip(), "")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = file.read(int(headers["content-length"])) if "content-length" in headers else file.read()
                return status, headers, body, _is_closed(sock, headers)

    def wait_until_served(self, path: str) -> None:
        def is_served() -> bool:
            response = self.send("GET", path, {"limit": "1"}, None, {}, "admin")
            response.read()
            return bool(response.status == 200)

        assert eventually(is_served), f"{self.name} does not serve {path}"

    def close(self) -> None:
        # `clear` closes the connections of a pool only once nothing refers to the pool.
        for key in self._http.pools.keys():  # noqa: SIM118 - it is not a mapping
            self._http.pools[key].close()
        self._http.clear()


def _is_closed(sock: socket.socket, headers: Mapping[str, str]) -> bool:
    """Returns whether the server closes the connection behind an answer."""
    if headers.get("connection") == "keep-alive":
        return False
    sock.settimeout(0.3)
    try:
        return sock.recv(1) == b""
    except TimeoutError:
        return False


def _query_text(query: Mapping[str, str] | None) -> str:
    from urllib.parse import urlencode

    return f"?{urlencode(query)}" if query else ""


class Servers:
    """All servers of a test.

    Paths, queries and bodies may contain names in braces, such as {version}; `keep` gives them a value for each server.
    """

    def __init__(self, sides: list[Side]) -> None:
        self.sides = sides
        self.with_owners = True  # compare managedFields

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        media: str = "application/json",
        accept: str = "application/json",
        user: str = "admin",
        like: Any = None,
        any_message: bool = False,
        any_wording: bool = False,
        only: Collection[str] = (),
        unordered: bool = False,
        gzip: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Sends a request to all servers, and returns the answer that they agree on.

        Args:
            method: GET, POST and so on.
            path: without the query.
            body: bytes are sent as they are, anything else as JSON.
            query: parameters.
            media: the content type of the body.
            accept: the Accept header.
            user: the user that sends it.
            like: compare only these fields of spec and status, because the real server fills in more.
            any_message: do not compare a refusal's message, where it comes from Go's own decoders.
            any_wording: do not compare the messages of a refusal's causes either.
            only: compare only these fields of the body.
            unordered: sort the causes of a refusal, which the real server orders at random, and compare them, not the message.
            gzip: accept a compressed answer.
            headers: more headers of the request.
        """
        headers = {"Accept": accept, **(_GZIP if gzip else {}), **(headers or {})}
        if body is not None:
            headers["Content-Type"] = media
        request = (method, path, query, body, headers, user)
        return self._agreed(
            lambda side: self._ask_one(
                side,
                request,
                like,
                any_message=any_message,
                any_wording=any_wording,
                only=only,
                unordered=unordered or any_wording,
            )
        )

    def watch(
        self,
        path: str,
        count: int | None = None,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = "application/json",
        then: Callable[[], object] | None = None,
        state: int = 0,
        any_message: bool = False,
        gzip: bool = False,
    ) -> Answer:
        """Opens a watch on all servers, and returns its events as one answer.

        Only those bookmarks are kept that end the initial events.

        Args:
            path: the path of a list.
            count: how many events to read; None reads to the end of the stream.
            query: parameters besides `watch`.
            accept: the Accept header.
            then: called once every watch is open, to cause events.
            state: how many of the events are initial events, whose order differs between servers; they are sorted by name.
            any_message: do not compare a refusal's message.
            gzip: accept a compressed stream.
        """
        query = {"watch": "true", "timeoutSeconds": "10", **(query or {})}
        request = ("GET", path, query, None, {"Accept": accept, **(_GZIP if gzip else {})}, "admin")
        opened = {side.name: side.send(*request) for side in self.sides}
        try:
            if then is not None:
                then()
            return self._agreed(lambda side: _stream_of(side, opened[side.name], count, state, any_message=any_message))
        finally:
            for response in opened.values():
                response.close()

    def close(self) -> None:
        """Closes the connections; the next request opens new ones. The embedded server has one thread per connection."""
        for side in self.sides:
            side.close()

    def wait_until_served(self, path: str) -> None:
        """Waits until every server lists a newly defined custom resource."""
        for side in self.sides:
            side.wait_until_served(path)

    def wait_for(self, path: str, condition: Callable[[Any], bool]) -> None:
        """Waits until every server answers a GET with a body that meets a condition."""

        def is_met(side: Side) -> bool:
            response = side.send("GET", path, None, None, {}, "admin")
            text = response.read()
            return response.status == 200 and condition(json.loads(text))

        for side in self.sides:
            assert eventually(lambda side=side: is_met(side)), f"{side.name}: {path}"

    def keep(self, name: str, of: Callable[[Any], Any]) -> None:
        """Names a value of the last answer of each server."""
        for side in self.sides:
            side.known[name] = str(of(side.last))

    def keep_version(self, name: str = "version") -> None:
        """Names the resourceVersion of the last answers."""
        self.keep(name, lambda body: body["metadata"]["resourceVersion"])

    def _agreed(self, ask: Callable[[Side], Answer]) -> Answer:
        with ThreadPoolExecutor(len(self.sides)) as pool:
            answers = list(pool.map(ask, self.sides))
        for side, answer in zip(self.sides, answers, strict=True):
            if answer != answers[0]:
                pytest.fail(f"embedded: {json.dumps(answers[0])}\n{side.name}:     {json.dumps(answer)}")
        return answers[0]

    def _ask_one(
        self,
        side: Side,
        request: tuple[Any, ...],
        like: Any,
        *,
        any_message: bool,
        any_wording: bool,
        only: Collection[str],
        unordered: bool,
    ) -> Answer:
        response = side.send(*request)
        text = response.read()
        headers = {name: response.headers[name] for name in _COMPARED_HEADERS if name in response.headers}
        try:
            side.last = _decoded(text, headers)
        except ValueError:
            side.last = text.decode()
        body = normal(side.last)
        if not self.with_owners:
            _drop_owners(body)
        if any_message or any_wording:
            _drop_message(body)
        if unordered:
            _sort_causes(body)
        if any_wording:
            for cause in _causes_of(body):
                del cause["message"]
        if only:
            body = {name: body.get(name) for name in only}
        return Answer(response.status, headers, body if like is None else _restricted(body, like))


def _causes_of(body: Any) -> Any:
    return (body.get("details") or {}).get("causes") or () if isinstance(body, dict) else ()


def _sort_causes(body: Any) -> None:
    causes = _causes_of(body)
    if len(causes) > 1:
        _drop_message(body)
        causes.sort(key=lambda cause: (cause["field"], cause["message"]))


def _drop_owners(body: Any) -> None:
    for each in (body, *(body.get("items") or ())) if isinstance(body, dict) else ():
        each.get("metadata", {}).pop("managedFields", None)


def _drop_message(body: Any) -> None:
    if isinstance(body, dict) and body.get("kind") == "Status":
        body.pop("message", None)


def _decoded(text: bytes, headers: Mapping[str, str]) -> Any:
    if headers.get("Content-Type") == "application/yaml":
        return yaml.safe_load(text)
    return body_of(text) if looks_like_protobuf(text) else json.loads(text)


def _stream_of(side: Side, response: Any, count: int | None, state: int, *, any_message: bool) -> Answer:
    """Reads `count` events, or to the end of the stream."""
    events: list[Any] = []
    buffered = b""
    headers = {name: response.headers[name] for name in _COMPARED_HEADERS if name in response.headers}
    if response.status != 200:
        text = response.read()
        side.last = _decoded(text, headers)
        body = normal(side.last)
        if any_message:
            _drop_message(body)
        return Answer(response.status, headers, body)
    split = events_in if "protobuf" in headers["Content-Type"] else _lines_in
    for chunk in response.stream(decode_content=True) if count != 0 else ():
        some, buffered = split(buffered + chunk)
        for event in some:
            if event["type"] != "BOOKMARK" or "initial-events-end" in json.dumps(event["object"]):
                events.append(event)
        if count is not None and len(events) >= count:
            break
    else:
        assert not buffered
    side.last = sorted(events[:state], key=lambda event: event["object"]["metadata"]["name"]) + events[state:count]
    return Answer(response.status, headers, normal(side.last))


def _lines_in(data: bytes) -> tuple[list[Any], bytes]:
    *lines, rest = data.split(b"\n")
    return [json.loads(line) for line in lines], rest


def normal(value: Any, within: str = "") -> Any:
    """Returns a body with everything replaced that differs by nature."""
    if isinstance(value, list):
        made = [normal(each, within) for each in value]
        # kube-apiserver validates a custom object several times, and repeats each cause.
        return [each for i, each in enumerate(made) if each not in made[:i]] if within == "causes" else made
    if isinstance(value, dict):
        made = {_UID.sub("<uid>", key): normal(each, key) for key, each in _with_generated_name(value).items()}
        for key in _SORTED & made.keys():
            made[key] = sorted(made[key] or [], key=lambda each: json.dumps(each, sort_keys=True))
        return made
    if within in ("clusterIP", "clusterIPs", "nodePort", "healthCheckNodePort") and _ALLOCATED.fullmatch(str(value)):
        return "<allocated>"
    if not isinstance(value, str):
        return value
    if within == "resourceVersion" and value.isdigit() and value != "0":
        return "<version>"
    if within == "continue" and value:
        return "<token>"
    if within == "cells" and _AGE.fullmatch(value):
        return "<age>"
    if within == "message":
        value = _GO_DIFFERENCE.sub("", _VERSIONS.sub("<version>", value))
    return _TIME.sub("<time>", _UID.sub("<uid>", value))


def _with_generated_name(value: dict[str, Any]) -> dict[str, Any]:
    prefix, name = value.get("generateName"), value.get("name")
    if isinstance(prefix, str) and isinstance(name, str) and re.fullmatch(re.escape(prefix) + "[a-z0-9]{5}", name):
        return {**value, "name": prefix + "<random>"}
    return value


def _restricted(body: Any, like: Any) -> Any:
    """Returns a body whose spec and status have only the fields of `like`."""
    if isinstance(body, dict) and isinstance(body.get("items"), list):
        return {**body, "items": [_restricted(item, like) for item in body["items"]]}
    if not isinstance(body, dict) or body.get("kind") == "Status":
        return body
    kept = {key: value for key, value in body.items() if key not in ("spec", "status")}
    # What the real server fills in has an owner too.
    if "metadata" in body:
        kept["metadata"] = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    return kept | {key: _common(body.get(key), like[key]) for key in ("spec", "status") if key in like}


def _common(value: Any, like: Any) -> Any:
    if isinstance(value, dict) and isinstance(like, dict):
        return {key: _common(value.get(key), each) for key, each in like.items()}
    if isinstance(value, list) and isinstance(like, list):
        return [_common(each, wanted) for each, wanted in zip(value, like, strict=False)]
    return value


WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.contracts.example.com"},
    "spec": {
        "group": "contracts.example.com",
        "scope": "Namespaced",
        "names": {
            "plural": "widgets",
            "singular": "widget",
            "kind": "Widget",
            "listKind": "WidgetList",
            "shortNames": ["wd"],
            "categories": ["all"],
        },
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "selectableFields": [{"jsonPath": ".spec.color"}],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {"color": {"type": "string"}},
                                "x-kubernetes-preserve-unknown-fields": True,
                            },
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}
WIDGETS_PATH = "/apis/contracts.example.com/v1/widgets"


def side_of_embedded(server: EmbeddedAPIServer) -> Side:
    return Side("embedded", server.url, {"admin": ADMIN, "nobody": NO_RIGHTS, "wrong": "wrong"}, None)


def side_of_real(plane: ControlPlane) -> Side:
    tokens = {"admin": plane.token(), "nobody": plane.token("nobody"), "wrong": "wrong"}
    return Side("real", plane.url, tokens, str(plane.ca_file))


def embedded_server() -> EmbeddedAPIServer:
    return EmbeddedAPIServer(version="1.37", sharded_list_and_watch=True, tokens={ADMIN: "admin", NO_RIGHTS: "nobody"})


def _define_widgets(side: Side) -> None:
    """Defines the custom resource, and waits until it is served."""
    headers = {"Content-Type": "application/json"}
    root = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    created = side.send("POST", root, None, WIDGETS, headers, "admin")
    assert created.status == 201, created.read()
    created.read()
    side.wait_until_served(WIDGETS_PATH)


BOTH = [pytest.param("embedded", id="embedded"), pytest.param("real", id="real", marks=pytest.mark.cluster)]


@pytest.fixture(scope="session")
def embedded_side() -> Iterator[Side]:
    """The embedded server that tests share."""
    with embedded_server() as server:
        side = side_of_embedded(server)
        _define_widgets(side)
        yield side
        side.close()


@pytest.fixture(scope="session")
def real_side(control_plane: ControlPlane) -> Side:
    """The real server that tests share."""
    side = side_of_real(control_plane)
    _define_widgets(side)
    return side


@pytest.fixture(params=BOTH)
def servers(request: pytest.FixtureRequest, embedded_side: Side) -> Iterator[Servers]:
    """The embedded server alone, or together with the real one; {ns} is a namespace of this test's own."""
    sides = [embedded_side]
    if request.param == "real":
        sides.append(request.getfixturevalue("real_side"))
    made = _with_namespace(sides)
    yield made
    made.close()


@pytest.fixture(params=BOTH, scope="module")
def shared_servers(request: pytest.FixtureRequest, embedded_side: Side) -> Iterator[Servers]:
    """Like `servers`, for all tests of a module, without managedFields. They share a namespace; each uses names of its own."""
    sides = [embedded_side]
    if request.param == "real":
        sides.append(request.getfixturevalue("real_side"))
    made = _with_namespace(sides)
    made.with_owners = False
    yield made
    made.close()


@pytest.fixture(params=BOTH, scope="module")
def servers_and_lose_history(request: pytest.FixtureRequest) -> Iterator[tuple[Servers, Callable[[], None]]]:
    """Servers of the module's own, and a function that makes them forget their history."""
    with embedded_server() as server:
        sides = [side_of_embedded(server)]
        plane = None
        if request.param == "real":
            plane = request.getfixturevalue("unsteady_plane")
            sides.append(side_of_real(plane))

        def lose_history() -> None:
            server.compact()
            if plane is not None:
                plane.compact()
                # The watch cache remembers history too, until a restart.
                plane.restart()

        yield _with_namespace(sides), lose_history


@pytest.fixture(params=BOTH)
def without_rights(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """Like `servers`, with an embedded server on which no user has any rights."""
    with embedded_server() as server:
        sides = [side_of_embedded(server)]
        if request.param == "real":
            sides.append(request.getfixturevalue("real_side"))
        servers = _with_namespace(sides)
        server.forbid("*", "*")
        yield servers
        servers.close()


def _with_namespace(sides: list[Side]) -> Servers:
    servers = Servers(sides)
    namespace = f"contract-{uuid.uuid4().hex[:8]}"
    for side in sides:
        side.known = {"ns": namespace}
    servers.ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}}, like={})
    return servers
