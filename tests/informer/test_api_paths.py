"""Names that become a part of a request's path: hostile ones are refused wherever they come from, and never sent."""

from __future__ import annotations

import ast
import enum
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from informer import ApiError, KubeconfigError, ListWatch, SharedInformerFactory, current_namespace
from informer.api_paths import checked_parameter, dns_label, dns_subdomain, is_path_segment, resource_path
from informer.leaderelection import LeaseLock
from informer.listwatch.resources import Resource, resolve
from informer.record import CoreV1EventSink, EventsV1Sink
from informer.transport.transport import Transport
from watch import ListOptions

ROOT = Path(__file__).resolve().parents[2]

HOSTILE = {
    "dots": "team-a/../kube-system",
    "escape-to-secrets": "../../../../api/v1/namespaces/kube-system/secrets?x=",
    "parent": "..",
    "here": ".",
    "slash": "a/b",
    "backslash": "a\\b",
    "query": "a?watch=true",
    "fragment": "a#b",
    "quoted-slash": "a%2fb",
    "quoted-twice": "a%252f..%252fkube-system",
    "quoted-dots": "%2e%2e",
    "newline": "a\nb",
    "newline-at-the-end": "kube-system\n",
    "request-splitting": "a HTTP/1.1\r\nX-Evil: 1\r\n\r\n",
    "null": "a\0b",
    "space": " default",
    "capitals": "Default",
    "kelvin-sign": "\u212aube-system",
    "cyrillic": "kube-s\u0443stem",
    "full-width-slash": "a\uff0fb",
    "one-dot-leader": "\u2024\u2024",
    "arabic-digit": "team-\u0661",
    "bidi": "a\u202eb",
    "zero-width": "kube\u200b-system",
    "surrogate": "a\ud800",
    "semicolon": "a;b",
    "underscore": "a_b",
    "hyphens": "-a-",
    "too-long": "a" * 64,
    "huge": "a/" * 1_000_000,
}
hostile = pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)


class Speaking(str):
    """A str that formats itself as another text than it compares as."""

    __slots__ = ()

    def __str__(self) -> str:
        return "../kube-system"

    def __format__(self, spec: str) -> str:
        return "../kube-system"


class Team(str, enum.Enum):  # noqa: UP042 - that is what users of Python 3.10 have
    A = "team-a"


def refused(make: Callable[[], Any]) -> str:
    with pytest.raises(ValueError, match="must be") as caught:
        make()
    text = str(caught.value)
    assert len(text) < 300
    assert text.isprintable()
    return text


@hostile
def test_a_hostile_namespace_is_refused_at_once(name: str) -> None:
    """A list-watch, one of several namespaces, a factory and a lock refuse it where it is given. No request is sent."""
    api_client = client.ApiClient(client.Configuration(host="http://127.0.0.1:1"))
    core = client.CoreV1Api(api_client)
    refused(lambda: ListWatch.for_resource(api_client, "pods", namespace=name))
    refused(lambda: ListWatch.for_resource(api_client, "pods", namespace=["good", name]))
    refused(lambda: ListWatch.for_resource(api_client, "pods").for_namespace(name))
    refused(lambda: ListWatch.from_api(core.list_namespaced_pod, namespace=name))
    refused(lambda: SharedInformerFactory(api_client, namespace=name))
    refused(lambda: SharedInformerFactory(api_client).informer("pods", namespace=name))
    refused(lambda: SharedInformerFactory(api_client).informer(core.list_namespaced_pod, namespace=name))
    refused(lambda: LeaseLock(api_client, name, "leader", "me"))


@hostile
@pytest.mark.parametrize("sink_type", [CoreV1EventSink, EventsV1Sink])
def test_an_event_of_a_hostile_namespace_is_not_written(name: str, sink_type: Any) -> None:
    """Both sinks refuse it, without a request, for creating and for patching."""
    sink = sink_type(client.ApiClient(client.Configuration(host="http://127.0.0.1:1")))
    event = {"metadata": {"namespace": name, "name": "web.1"}, "message": "m"}
    refused(lambda: sink.create(event))
    refused(lambda: sink.patch(event, {"message": "n"}))


@pytest.mark.parametrize("name", ["a/../b", "..", "a%2fb"])
def test_an_event_of_a_hostile_name_is_not_patched(name: str) -> None:
    """The name of an event begins with that of its object."""
    sink = CoreV1EventSink(client.ApiClient(client.Configuration(host="http://127.0.0.1:1")))
    refused(lambda: sink.patch({"metadata": {"namespace": "shop", "name": name}}, {}))


@hostile
def test_a_hostile_namespace_of_a_kubeconfig_is_refused(name: str, tmp_path: Path) -> None:
    """The message names the context, and not the value."""
    path = tmp_path / "config"
    context = {"cluster": "k", "namespace": name}
    cluster = {"server": "http://127.0.0.1:1"}
    config = {"current-context": "c", "contexts": [{"name": "c", "context": context}]}
    path.write_text(json.dumps(config | {"clusters": [{"name": "k", "cluster": cluster}]}))
    with pytest.raises(KubeconfigError) as caught:
        current_namespace(path)
    assert name not in str(caught.value)


@hostile
def test_a_hostile_part_of_a_resource_is_refused(name: str) -> None:
    """No part of a path is taken from a malformed group, version, plural or name."""
    for part in ("group", "version", "plural", "namespace"):
        parts: dict[str, Any] = {"group": "apps", "version": "v1", "plural": "foos", "namespace": "a"} | {part: name}
        refused(lambda parts=parts: resource_path(**parts))
    if not is_path_segment(name):
        refused(lambda: resource_path("", "v1", "pods", "a", name))
        refused(lambda: checked_parameter("name", name))
    refused(lambda: LeaseLock(client.ApiClient(), "default", name, "me"))
    for resource in (f"{name}/v1/foos", f"apps/{name}/foos", f"foos.{name}"):
        with pytest.raises(ValueError):
            ListWatch.for_resource(None, resource)


@pytest.mark.parametrize("method", ["list_namespaced_custom_object", "list_cluster_custom_object"])
@pytest.mark.parametrize("part", ["group", "version", "plural"])
def test_custom_objects_of_a_hostile_resource_are_refused(method: str, part: str) -> None:
    """The official client's methods for custom objects take every part of the path."""
    arguments = {"group": "example.com", "version": "v1", "plural": "foos"} | {part: "../../../api/v1/secrets?"}
    if "namespaced" in method:
        arguments["namespace"] = "a"
    refused(lambda: ListWatch.from_api(getattr(client.CustomObjectsApi(), method), **arguments))


def test_a_name_is_quoted_for_the_path() -> None:
    """A role may have any name that is a path segment: it stays one segment."""
    assert resource_path("rbac.authorization.k8s.io", "v1", "roles", "a", "x:y?z#\n\x1b \u00e9\ud800") == (
        "/apis/rbac.authorization.k8s.io/v1/namespaces/a/roles/x%3Ay%3Fz%23%0A%1B%20%C3%A9%3F"
    )


def test_the_checked_text_is_the_sent_text() -> None:
    """A subclass of str cannot format itself as another text than the one that was checked."""
    for path in (
        resource_path("", "v1", "pods", Speaking("good")),
        Resource("", "v1", "pods", "Pod", True).path(Speaking("good")),
    ):
        assert path == "/api/v1/namespaces/good/pods"
    assert resource_path("", "v1", "pods", Team.A) == "/api/v1/namespaces/team-a/pods"
    assert type(dns_label("namespace", Speaking("good"))) is str
    refused(lambda: dns_label("namespace", 7))
    refused(lambda: dns_label("namespace", b"good"))


def test_good_names_are_accepted() -> None:
    """The rules are those of the API."""
    assert dns_label("namespace", "a" * 63) == "a" * 63
    assert dns_label("namespace", "0-9") == "0-9"
    assert dns_subdomain("group", "a.b-c.d0") == "a.b-c.d0"
    for name in ("a..b", ".a", "a.", "a.-b", "a" * 254, "", "." * 253):
        refused(lambda name=name: dns_subdomain("group", name))


def test_an_empty_namespace_is_the_whole_cluster(serve: Any) -> None:
    """As documented; in a list of namespaces, and for a list method of one namespace, it is refused."""
    server = serve(
        lambda request, connection: connection.answer({"kind": "PodList", "metadata": {"resourceVersion": "1"}})
    )
    api_client = server.client()
    ListWatch.for_resource(api_client, "pods", namespace="").list(ListOptions())
    assert server.requests[0].path == "/api/v1/pods"
    with pytest.raises(ValueError):
        ListWatch.for_resource(api_client, "pods", namespace=["a", ""])
    refused(lambda: ListWatch.from_api(client.CoreV1Api(api_client).list_namespaced_pod, namespace=""))


@hostile
@pytest.mark.parametrize("part", ["group", "version", "plural"])
def test_a_hostile_answer_of_discovery_leads_nowhere(part: str, name: str, serve: Any) -> None:
    """A server that lies about its groups and resources gets no request for a path of its choice."""
    group, version, plural = (
        name if part == each else good for each, good in [("group", "evil.io"), ("version", "v1"), ("plural", "foos")]
    )
    group = group if part != "group" else f"{name}.evil.io"

    def handler(request: Any, connection: Any) -> None:
        if request.path == "/apis":
            groups = [{"name": group, "versions": [{"version": version}], "preferredVersion": {"version": version}}]
            connection.answer(json.dumps({"groups": groups}).encode())
        elif request.path == "/api/v1":
            connection.answer({"resources": []})
        else:
            entry = {"name": plural, "kind": "Foo", "verbs": ["list", "watch"], "namespaced": True}
            connection.answer(json.dumps({"resources": [entry]}).encode())

    server = serve(handler)
    with pytest.raises(ApiError) as caught:
        resolve("foo", Transport(server.client()))
    assert caught.value.status == 404 or "\ud800" in name  # which is not JSON
    assert {request.target for request in server.requests} <= {"/api/v1", "/apis", "/apis/evil.io/v1"}


@pytest.mark.parametrize("value", [None, 7, [], {}, "x", [7], [None], [{"name": []}], True])
@pytest.mark.parametrize("key", ["name", "kind", "verbs", "singularName", "shortNames"])
def test_an_odd_entry_of_discovery_does_not_hide_the_others(key: str, value: Any, serve: Any) -> None:
    """A field of another type than the API's costs at most its own entry."""

    def handler(request: Any, connection: Any) -> None:
        good = {"name": "bars", "kind": "Bar", "verbs": ["list"], "namespaced": True}
        connection.answer({"resources": [{**good, "name": "foos", "kind": "Foo", key: value}, good]})

    assert resolve("evil.io/v1/bar", Transport(serve(handler).client())).plural == "bars"


# The code


def _source() -> list[Path]:
    return [path for package in ("informer", "watch", "samples") for path in (ROOT / package).rglob("*.py")]


def _bypasses(tree: ast.AST) -> list[int]:
    """The lines that put a value into a path, or quote one, by themselves."""
    found = []
    for node in ast.walk(tree):
        texts: list[Any] = []
        if isinstance(node, ast.JoinedStr) and any(isinstance(part, ast.FormattedValue) for part in node.values):
            texts = [part.value for part in node.values if isinstance(part, ast.Constant)]
        elif isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mod)):
            texts = [side.value for side in (node.left, node.right) if isinstance(side, ast.Constant)]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in ("format", "join", "replace") and isinstance(node.func.value, ast.Constant):
                texts = [node.func.value.value]
            if node.func.attr in ("quote", "quote_plus", "quote_from_bytes", "pathname2url"):
                found.append(node.lineno)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("urllib"):
            found += [node.lineno for each in node.names if each.name.startswith("quote")]
        if any(isinstance(text, str) and ("/api" in text or "/namespaces/" in text) for text in texts):
            found.append(node.lineno)
    return found


# What is not a path: headers, messages, the embedded server's own addresses.
_MAY_QUOTE = {"informer/api_paths.py", "informer/kubeconfig/merge.py", "watch/printable.py"}


def test_no_other_place_builds_a_path() -> None:
    """Every path with a value in it comes from `informer.api_paths`, which checks and quotes it."""
    found = {
        f"{name}:{line}"
        for path in _source()
        if (name := path.relative_to(ROOT).as_posix()) not in _MAY_QUOTE and not name.startswith("informer/testing/")
        for line in _bypasses(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == set()


@pytest.mark.parametrize(
    "code",
    [
        'f"/api/v1/namespaces/{namespace}/pods"',
        'f"{root}/namespaces/{namespace}/pods"',
        '"/apis/" + group',
        '"/api/v1/namespaces/%s" % namespace',
        '"/apis/{}/{}".format(group, version)',
        "urllib.parse.quote(namespace)",
        "from urllib.parse import quote",
    ],
)
def test_the_walk_finds_what_it_looks_for(code: str) -> None:
    """Each way around the one place is found."""
    assert _bypasses(ast.parse(code)) == [1]
