"""Lists: selectors, pages and resourceVersions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.timeout(120)

CONFIGMAPS = "/api/v1/namespaces/{ns}/configmaps"
PODS = "/api/v1/namespaces/{ns}/pods"
WIDGETS = "/apis/contracts.example.com/v1/namespaces/{ns}/widgets"

LABELS = {
    "a": {"app": "web", "tier": "front"},
    "b": {"app": "web", "tier": "back"},
    "c": {"app": "db"},
    "d": {"other": "x", "size": "5"},
    "e": {},
}


def names(answer):
    return [item["metadata"]["name"] for item in answer.body["items"]]


@pytest.fixture
def five(servers):
    """Five ConfigMaps and five widgets with labels."""
    for name, labels in LABELS.items():
        metadata = {"name": name, "labels": labels} if labels else {"name": name}
        servers.ask("POST", CONFIGMAPS, {"metadata": metadata, "data": {"name": name}})
        widget = {"kind": "Widget", "apiVersion": "contracts.example.com/v1", "metadata": metadata}
        servers.ask("POST", WIDGETS, {**widget, "spec": {"color": labels.get("app", "none")}})
    return servers


@pytest.mark.parametrize("path", [CONFIGMAPS, WIDGETS], ids=["configmaps", "widgets"])
def test_list_has_all_objects_by_name(five, path):
    """A list has its kind, its resourceVersion, and the objects sorted by name."""
    assert names(five.ask("GET", path)) == ["a", "b", "c", "d", "e"]
    assert five.ask("GET", path, query={"resourceVersion": "0"}).status == 200


@pytest.mark.parametrize("path", [CONFIGMAPS, WIDGETS], ids=["configmaps", "widgets"])
def test_empty_list(servers, path):
    """`items` is an empty list if there are no objects."""
    assert servers.ask("GET", path).body["items"] == []


LABEL_SELECTORS = [
    "app=web",
    "app==web",
    "app!=web",
    "app",
    "!app",
    "app in (web,db)",
    "app notin (web)",
    "app=web,tier=back",
    "size>4",
    "size<4",
    "size in ()",
    " app = web ",
    "app=",
    "app in (web),!tier",
    "",
    ",",
    "app=web,",
    "=web",
    "app==",
    "app=web tier=back",
    "app in web",
    "app>web",
    "a b=c",
    "app=a b",
    "app=web;tier",
    "!",
    "app in (web",
    "-app=web",
    "x/y/z=1",
]


@pytest.mark.parametrize("selector", LABEL_SELECTORS)
def test_label_selectors(five, selector):
    """Both servers select the same objects and refuse the same selectors; only the parser's message may differ."""
    assert five.ask("GET", CONFIGMAPS, query={"labelSelector": selector}, any_message=True).status in (200, 400)


FIELD_SELECTORS = [
    "metadata.name=a",
    "metadata.name!=a",
    "metadata.name==a",
    "metadata.name=a,metadata.name=b",
    "metadata.namespace!=default",
    "metadata.name=",
    "metadata.uid=x",
    "data.name=a",
    "nonsense",
    "metadata.name in (a,b)",
    "",
    "=a",
    "metadata.name=a\\=b",
]


@pytest.mark.parametrize("selector", FIELD_SELECTORS)
def test_field_selectors(five, selector):
    """Field selectors select by name and namespace; other fields and unreadable selectors are refused."""
    query = {"fieldSelector": selector}
    assert five.ask("GET", CONFIGMAPS, query=query, any_message=True).status in (200, 400, 500)


@pytest.mark.parametrize("selector", ["spec.color=web", "spec.color!=web", "spec.size=1", "metadata.name=a"])
def test_field_selectors_of_a_custom_resource(five, selector):
    """The definition of a custom resource names its selectable fields."""
    assert five.ask("GET", WIDGETS, query={"fieldSelector": selector}).status in (200, 400)


@pytest.mark.parametrize(
    "selector",
    ["status.phase=Pending", "status.phase=Running", "spec.nodeName=", "spec.restartPolicy=Always", "spec.x=1"],
)
def test_field_selectors_of_pods(servers, selector):
    """Pods can also be selected by some fields of spec and status."""
    spec = {"containers": [{"name": "main", "image": "example.com/app:1"}]}
    servers.ask("POST", PODS, {"metadata": {"name": "a"}, "spec": spec}, like={"spec": spec})
    assert servers.ask("GET", PODS, query={"fieldSelector": selector}, like={"spec": spec}).status in (200, 400)


@pytest.mark.parametrize("query", [{}, {"labelSelector": "app"}], ids=["all", "selected"])
def test_pages(five, query):
    """Pages of two: each has the token of the next and, without a label selector, the number of remaining objects."""
    answer = five.ask("GET", CONFIGMAPS, query={"limit": "2", **query})
    seen = names(answer)
    while "continue" in answer.body["metadata"]:
        five.keep("token", lambda body: body["metadata"]["continue"])
        answer = five.ask("GET", CONFIGMAPS, query={"limit": "2", "continue": "{token}", **query})
        seen += names(answer)
    assert seen == ["a", "b", "c"] + (["d", "e"] if not query else [])


def test_pages_belong_to_one_snapshot(five):
    """Changes between two pages are not seen on the second page, which has the resourceVersion of the first."""
    five.ask("GET", CONFIGMAPS, query={"limit": "2"})
    five.keep_version()
    five.keep("token", lambda body: body["metadata"]["continue"])
    five.ask("DELETE", f"{CONFIGMAPS}/d")
    five.ask("POST", CONFIGMAPS, {"metadata": {"name": "f"}})
    second = five.ask("GET", CONFIGMAPS, query={"continue": "{token}"})
    assert names(second) == ["c", "d", "e"]
    five.keep_version("second")
    assert all(side.known["version"] == side.known["second"] for side in five.sides)


def test_invalid_page_token_is_400(five):
    """A token that the server did not make is 400."""
    for token in ("nonsense", "e30", "eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ"):
        answer = five.ask("GET", CONFIGMAPS, query={"limit": "2", "continue": token}, any_message=True)
        assert (answer.status, answer.body["reason"]) == (400, "BadRequest")


MATCHES = [None, "Exact", "NotOlderThan", "Nonsense"]
VERSIONS = {"unset": None, "zero": "0", "old": "{old}", "newest": "{newest}", "text": "abc", "negative": "-1"}


@pytest.mark.parametrize("limit", [None, "2"], ids=["all", "limited"])
@pytest.mark.parametrize("match", MATCHES)
@pytest.mark.parametrize("version", VERSIONS)
def test_versions_of_lists(five, version, match, limit):
    """Every combination of resourceVersion, its match and a limit gives the same objects or the same refusal."""
    five.ask("GET", CONFIGMAPS)
    five.keep_version("old")
    five.ask("POST", CONFIGMAPS, {"metadata": {"name": "f"}})
    five.keep_version("newest")
    # A list at "0" comes from the server's cache, which may be behind; this waits for the cache.
    five.ask("GET", CONFIGMAPS, query={"resourceVersion": "{newest}", "resourceVersionMatch": "NotOlderThan"})
    query = {"resourceVersion": VERSIONS[version], "resourceVersionMatch": match, "limit": limit}
    query = {name: value for name, value in query.items() if value is not None}
    answer = five.ask("GET", CONFIGMAPS, query=query)
    assert answer.status in (200, 400, 422)
    if version == "old" and answer.status == 200 and limit == "2":
        five.keep_version("listed")
        exact = match in (None, "Exact")
        assert all((side.known["listed"] == side.known["old"]) is exact for side in five.sides)


def test_future_version_is_504(five):
    """A list at a future resourceVersion is 504 with its own cause and a Retry-After of one second."""
    five.ask("GET", CONFIGMAPS)
    five.keep("future", lambda body: int(body["metadata"]["resourceVersion"]) + 1_000_000)
    queries = [{"resourceVersion": "{future}", "resourceVersionMatch": match} for match in ("Exact", "NotOlderThan")]
    # A server waits a few seconds for the version; all these requests wait at the same time.
    queries += [{"resourceVersion": "{future}"}, {"resourceVersion": "{future}", "limit": "1"}]
    with ThreadPoolExecutor(len(queries)) as pool:
        for answer in pool.map(lambda query: five.ask("GET", CONFIGMAPS, query=query), queries):
            assert (answer.status, answer.headers["Retry-After"]) == (504, "1")


@pytest.mark.parametrize(
    ("version", "match", "status"),
    [("0", None, 200), ("0", "NotOlderThan", 422), ("{version}", None, 400), ("{version}", "NotOlderThan", 422)],
)
def test_version_together_with_a_page_token(five, version, match, status):
    """With a page token, resourceVersion "0" is ignored, another version is 400, and any match is 422."""
    five.ask("GET", CONFIGMAPS, query={"limit": "2"})
    five.keep("token", lambda body: body["metadata"]["continue"])
    five.keep_version()
    query = {"continue": "{token}", "resourceVersion": version, "resourceVersionMatch": match}
    answer = five.ask("GET", CONFIGMAPS, query={name: value for name, value in query.items() if value})
    assert answer.status == status


ODD_QUERIES = {
    "limit-is-text": {"limit": "many"},
    "limit-is-negative": {"limit": "-1"},
    "limit-zero": {"limit": "0"},
    "timeout-is-text": {"timeoutSeconds": "soon"},
    "initial-events": {"sendInitialEvents": "true"},
    "watch-is-text": {"watch": "false"},
    "unknown": {"nonsense": "1"},
}


@pytest.mark.parametrize("case", ODD_QUERIES)
def test_odd_queries(five, case):
    """Parameters that a list must not have are refused; unknown ones are ignored."""
    assert five.ask("GET", CONFIGMAPS, query=ODD_QUERIES[case]).status in (200, 400, 422)


@pytest.mark.parametrize("path", [CONFIGMAPS, WIDGETS], ids=["configmaps", "widgets"])
def test_metadata_only_list(five, path):
    """A list of PartialObjectMetadata has only the objects' metadata, also in pages."""
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    answer = five.ask("GET", path, accept=accept, query={"limit": "2"})
    assert answer.body["kind"] == "PartialObjectMetadataList"
    accept += ",application/json"
    assert len(five.ask("GET", path, accept=accept).body["items"]) == 5


def test_list_of_all_namespaces(servers):
    """A list without a namespace has the objects of all namespaces, sorted by namespace and name."""
    for i in range(2):
        namespace = f"{servers.sides[0].known['ns']}-{i}"
        servers.ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}}, like={})
        for name in ("a", "b"):
            body = {"metadata": {"name": name, "labels": {"test": "{ns}"}}}
            servers.ask("POST", f"/api/v1/namespaces/{namespace}/configmaps", body)
    answer = servers.ask("GET", "/api/v1/configmaps", query={"labelSelector": "test={ns}"})
    assert names(answer) == ["a", "b", "a", "b"]
    answer = servers.ask("GET", "/api/v1/configmaps", query={"labelSelector": "test={ns}", "limit": "3"})
    servers.keep("token", lambda body: body["metadata"]["continue"])
    query = {"labelSelector": "test={ns}", "continue": "{token}"}
    assert names(servers.ask("GET", "/api/v1/configmaps", query=query)) == ["b"]


RANGES = {
    "everything": "shardRange(object.metadata.uid, '0x0000000000000000', '0x10000000000000000')",
    "by-namespace": "shardRange(object.metadata.namespace, '0x0000000000000000', '0x10000000000000000')",
    "two": "shardRange(object.metadata.uid, '0x0000000000000000', '0x8000000000000000') || "
    "shardRange(object.metadata.uid, '0x8000000000000000', '0x10000000000000000')",
    "short-hex": "shardRange(object.metadata.uid, '0x0', '0x8')",
    "other-field": "shardRange(object.metadata.name, '0x0000000000000000', '0x8000000000000000')",
    "backwards": "shardRange(object.metadata.uid, '0x8000000000000000', '0x0000000000000000')",
    "nonsense": "nonsense",
}


def test_a_list_of_metadata_does_not_name_its_shard(five):
    """Although it is a list of the shard only."""
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    answer = five.ask("GET", CONFIGMAPS, query={"shardSelector": RANGES["everything"]}, accept=accept)
    assert "shardInfo" not in answer.body["metadata"]
    assert len(answer.body["items"]) == 5


@pytest.mark.parametrize("case", RANGES)
def test_shard_selectors(five, case):
    """A list of a shard names its selector; an unreadable selector is refused."""
    answer = five.ask("GET", CONFIGMAPS, query={"shardSelector": RANGES[case]}, any_message=True)
    assert answer.status in (200, 500)
