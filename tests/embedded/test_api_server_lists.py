"""Lists: selectors, consistent pages, rules of resourceVersion, representations, compression and shards."""

from __future__ import annotations

import gzip

import pytest
from kubernetes import client

from informer.sharding.ranges import fnv1a_64
from informer.testing import EmbeddedAPIServer
from tests.support.objects import config_map, namespace_object

MAPS = "/api/v1/namespaces/default/configmaps"
ALL_MAPS = "/api/v1/configmaps"
PARTIAL = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


@pytest.fixture
def maps(server):
    """Five ConfigMaps, four in one namespace and one in another."""
    server.create(namespace_object("aaa"))
    server.create(config_map("z", namespace="aaa", labels={"n": "5"}))
    for number, name in enumerate("abcd", 1):
        server.create(config_map(name, labels={"n": str(number), "app": "web" if number < 3 else "db"}))


def test_items_of_a_list_have_no_kind(server, call, maps):
    """Items of built-in kinds have neither kind nor apiVersion, and are sorted by namespace and name."""
    answer = call("GET", ALL_MAPS)
    assert (answer.json["kind"], answer.json["apiVersion"]) == ("ConfigMapList", "v1")
    assert answer.json["metadata"] == {"resourceVersion": server.resource_version}
    assert list(answer.json["items"][0]) == ["metadata", "data"]
    assert answer.names == ["z", "a", "b", "c", "d"]
    assert call("GET", MAPS).names == ["a", "b", "c", "d"]


def test_empty_list_has_items(call):
    """`items` is an empty list, not null, also for a namespace that does not exist."""
    assert call("GET", MAPS).json["items"] == []
    assert call("GET", "/api/v1/namespaces/nope/configmaps").json["items"] == []


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("labelSelector=app%3Dweb", "ab"),
        ("labelSelector=app in (web,db),n!=1", "bcd"),
        ("labelSelector=!app", ""),
        ("labelSelector=n", "abcd"),
        ("fieldSelector=metadata.name%3Db", "b"),
        ("fieldSelector=metadata.name!%3Db", "acd"),
        ("fieldSelector=metadata.namespace%3Ddefault,metadata.name%3D%3Da", "a"),
        ("fieldSelector=metadata.name%3Da&labelSelector=app%3Ddb", ""),
    ],
)
def test_selectors_of_labels_and_fields(call, maps, query, names):
    """Only selected objects are listed."""
    assert "".join(call("GET", f"{MAPS}?{query}").names) == names


def test_pods_can_be_selected_by_node_and_phase(server, call):
    """Field selectors support the fields of the kind; a missing field counts as empty or as its default."""
    for name, node, phase in (("p", "n1", "Running"), ("q", "n2", "Failed"), ("r", None, None)):
        spec = {"nodeName": node} if node else {}
        status = {"status": {"phase": phase}} if phase else {}
        server.create({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name}, "spec": spec} | status)
    server.create({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n1"}})
    select = "/api/v1/pods?fieldSelector="
    assert call("GET", f"{select}spec.nodeName%3Dn1").names == ["p"]
    assert call("GET", f"{select}spec.nodeName%3D").names == ["r"]
    assert call("GET", f"{select}status.phase!%3DRunning").names == ["q", "r"]
    assert call("GET", f"{select}spec.hostNetwork%3Dfalse").names == ["p", "q", "r"]
    assert call("GET", "/api/v1/nodes?fieldSelector=spec.unschedulable%3Dfalse").names == ["n1"]


REFUSALS = {
    "field of no kind": (
        f"{MAPS}?fieldSelector=spec.x%3D1",
        400,
        "field label not supported: spec.x",
    ),
    "field of another kind": ("/api/v1/pods?fieldSelector=spec.x%3D1", 400, "field label not supported: spec.x"),
    "field of a job": (
        "/apis/batch/v1/jobs?fieldSelector=a.b%3D1",
        400,
        "field label not supported: a.b",
    ),
    "no field selector": (f"{MAPS}?fieldSelector=xx", 400, "invalid selector: 'xx'; can't understand 'xx'"),
    "no label selector": (f"{MAPS}?labelSelector=a b", 400, "unable to parse requirement: "),
    "no limit": (f"{MAPS}?limit=abc", 400, 'strconv.ParseInt: parsing "abc": invalid syntax'),
    "no resourceVersion": (
        f"{MAPS}?resourceVersion=abc",
        400,
        "invalid resource version: resourceVersion: Invalid value",
    ),
    "match without version": (
        f"{MAPS}?resourceVersionMatch=Exact",
        422,
        'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless '
        "resourceVersion is provided",
    ),
    "exactly 0": (
        f"{MAPS}?resourceVersionMatch=Exact&resourceVersion=0",
        422,
        'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is '
        'forbidden for resourceVersion "0"',
    ),
    "no match": (
        f"{MAPS}?resourceVersionMatch=Some&resourceVersion=1",
        422,
        'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Unsupported value: "Some": supported values: '
        '"Exact", "NotOlderThan", ""',
    ),
    "initial events": (
        f"{MAPS}?sendInitialEvents=true",
        422,
        'ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list',
    ),
    "match and continue": (
        f"{MAPS}?resourceVersionMatch=Exact&resourceVersion=5&continue=abc",
        422,
        'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when '
        "continue is provided",
    ),
    "no token": (f"{MAPS}?continue=abc", 400, "invalid continue token: continue key is not valid"),
    "html": (f"{MAPS}?html", 406, "406: Not Acceptable"),
}


@pytest.mark.parametrize(("path", "status", "message"), REFUSALS.values(), ids=REFUSALS)
def test_invalid_list_is_refused_like_kube_apiserver(call, path, status, message):
    """The code and message are kube-apiserver's."""
    answer = call("GET", path, Accept="text/html" if path.endswith("html") else "application/json")
    assert answer.status == status
    assert answer.message.startswith(message)


def test_pages_belong_to_one_snapshot(server, call, maps):
    """Whatever is written between two pages, they belong to one snapshot and have its resourceVersion."""
    first = call("GET", f"{ALL_MAPS}?limit=2")
    token = first.json["metadata"]["continue"]
    assert first.names == ["z", "a"]
    assert first.json["metadata"]["remainingItemCount"] == 3
    server.create(config_map("aa"))
    server.delete("configmaps", "c")
    server.patch("configmaps", "d", {"metadata": {"labels": {"n": "changed"}}})
    second = call("GET", f"{ALL_MAPS}?limit=2&continue={token}")
    third = call("GET", f"{ALL_MAPS}?limit=2&continue={second.json['metadata']['continue']}")
    assert (second.names, third.names) == (["b", "c"], ["d"])
    assert third.json["items"][0]["metadata"]["labels"]["n"] == "4"
    versions = {page.json["metadata"]["resourceVersion"] for page in (first, second, third)}
    assert len(versions) == 1
    assert "continue" not in third.json["metadata"]
    assert call("GET", ALL_MAPS).names == ["z", "a", "aa", "b", "d"]


def test_page_of_a_selection_has_no_remaining_count(call, maps):
    """Whether a later object is selected is known only on the next page, which may be empty."""
    first = call("GET", f"{MAPS}?limit=2&labelSelector=app%3Dweb")
    assert first.names == ["a", "b"]
    assert "remainingItemCount" not in first.json["metadata"]
    second = call("GET", f"{MAPS}?limit=2&labelSelector=app%3Dweb&continue={first.json['metadata']['continue']}")
    assert second.names == []
    assert "continue" not in second.json["metadata"]


def test_official_client_reads_pages(server):
    """The official client's models read `continue` and `remainingItemCount`."""
    for number in range(7):
        server.create(config_map(f"m{number}"))
    with server.api_client() as api:
        core, names, token = client.CoreV1Api(api), [], None
        while True:
            page = core.list_namespaced_config_map("default", limit=3, _continue=token)
            names += [item.metadata.name for item in page.items]
            token = page.metadata._continue
            if not token:
                break
    assert names == [f"m{number}" for number in range(7)]


def test_continue_token_expires_with_a_compaction(server, call, maps):
    """410, with a token that continues at the same place of the current list."""
    token = call("GET", f"{ALL_MAPS}?limit=2").json["metadata"]["continue"]
    server.create(config_map("aa"))
    server.compact()
    expired = call("GET", f"{ALL_MAPS}?limit=2&continue={token}")
    assert (expired.status, expired.json["reason"]) == (410, "Expired")
    assert expired.message.startswith("The provided continue parameter is too old to display a consistent list result.")
    again = expired.json["metadata"]["continue"]
    assert call("GET", f"{ALL_MAPS}?limit=9&continue={again}").names == ["aa", "b", "c", "d"]


def test_rules_of_the_resource_version(server, call):
    """Exact, and unset with a limit, list that version; NotOlderThan, and unset without a limit, list the current state."""
    old = server.create(config_map("a"))["metadata"]["resourceVersion"]
    server.create(config_map("b"))
    new = server.resource_version

    def listed(query):
        answer = call("GET", f"{MAPS}?{query}").json
        return "".join(item["metadata"]["name"] for item in answer["items"]), answer["metadata"]["resourceVersion"]

    assert listed(f"resourceVersion={old}&resourceVersionMatch=Exact") == ("a", old)
    assert listed(f"resourceVersion={old}&limit=5") == ("a", old)
    assert listed(f"resourceVersion={old}&resourceVersionMatch=NotOlderThan") == ("ab", new)
    assert listed(f"resourceVersion={old}&resourceVersionMatch=NotOlderThan&limit=5") == ("ab", new)
    assert listed(f"resourceVersion={old}") == ("ab", new)
    assert listed("resourceVersion=0") == ("ab", new)
    # A list at resourceVersion 0 has no pages.
    assert listed("resourceVersion=0&limit=1") == ("ab", new)


def test_compaction_forgets_history_and_restart_does_not(server, call):
    """A list at an old resourceVersion is 410 after a compaction."""
    old = server.create(config_map("a"))["metadata"]["resourceVersion"]
    server.create(config_map("b"))
    exact = f"{MAPS}?resourceVersion={old}&resourceVersionMatch=Exact"
    server.restart()
    assert call("GET", exact).names == ["a"]
    server.compact()
    answer = call("GET", exact)
    assert (answer.status, answer.message) == (410, "The resourceVersion for the provided list is too old.")
    assert call("GET", f"{MAPS}?resourceVersion={old}").names == ["a", "b"]


def test_history_beyond_its_limit_is_forgotten(client_of):
    """Older versions are answered as after a compaction."""
    with EmbeddedAPIServer(history_limit=3) as server:
        old = server.create(config_map("a"))["metadata"]["resourceVersion"]
        for number in range(4):
            server.create(config_map(f"b{number}"))
        call = client_of(server)
        assert call("GET", f"{MAPS}?resourceVersion={old}&resourceVersionMatch=Exact").status == 410
        recent = str(int(server.resource_version) - 3)
        assert call("GET", f"{MAPS}?resourceVersion={recent}&resourceVersionMatch=Exact").names == ["a", "b0"]


def test_future_resource_version_is_504(server, call):
    """504 with its own cause, and Retry-After in the header and the details."""
    answer = call("GET", f"{MAPS}?resourceVersion=99999999")
    assert answer.status == 504
    assert answer.headers["retry-after"] == "1"
    assert answer.json["reason"] == "Timeout"
    assert answer.message == f"Timeout: Too large resource version: 99999999, current: {server.resource_version}"
    assert answer.json["details"] == {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }


def test_metadata_only_lists(call, maps):
    """`Accept` asks for PartialObjectMetadata or a list of it; other forms are not acceptable."""
    listed = call("GET", MAPS, Accept=PARTIAL).json
    assert (listed["kind"], listed["apiVersion"]) == ("PartialObjectMetadataList", "meta.k8s.io/v1")
    assert list(listed["items"][0]) == ["kind", "apiVersion", "metadata"]
    assert listed["items"][0]["kind"] == "PartialObjectMetadata"
    single = PARTIAL.replace("List", "")
    assert call("GET", f"{MAPS}/a", Accept=single).json["kind"] == "PartialObjectMetadata"
    other = "application/json;as=Other;v=v1;g=meta.k8s.io"
    assert call("GET", MAPS, Accept=other).status == 406
    assert call("GET", MAPS, Accept=f"{other},application/json").json["kind"] == "ConfigMapList"


def test_long_lists_are_compressed_on_request(server, call):
    """Lists of 128 KiB or more are gzipped if the client accepts that; long answers are chunked."""
    server.create(config_map("big") | {"data": {"k": "x" * 200_000}})
    plain = call("GET", MAPS)
    packed = call("GET", MAPS, Accept_Encoding="gzip")
    assert plain.headers["transfer-encoding"] == "chunked"
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    small = call("GET", "/api/v1/namespaces", Accept_Encoding="gzip")
    assert "content-encoding" not in small.headers


# Shards

LOW = "shardRange(object.metadata.uid, '0x0000000000000000', '0x8000000000000000')"
HIGH = "shardRange(object.metadata.uid, '0x8000000000000000', '0x10000000000000000')"


def test_shard_holds_the_objects_in_its_hash_range(client_of):
    """With the feature gate the list names its shard, and the two halves together hold every object."""
    with EmbeddedAPIServer(sharded_list_and_watch=True) as server:
        call = client_of(server)
        uids = {server.create(config_map(f"m{n}"))["metadata"]["uid"] for n in range(20)}
        low, high = (call("GET", f"{MAPS}?shardSelector={each}").json for each in (LOW, HIGH))
        assert low["metadata"]["shardInfo"] == {"selector": LOW}
        parts = [{item["metadata"]["uid"] for item in part["items"]} for part in (low, high)]
        assert parts[0] == {uid for uid in uids if fnv1a_64(uid) < 1 << 63}
        assert parts[0] | parts[1] == uids
        assert not parts[0] & parts[1]
        both = call("GET", f"{MAPS}?shardSelector={LOW} || {HIGH}").json
        assert both["metadata"]["shardInfo"] == {"selector": f"{LOW} || {HIGH}"}
        assert len(both["items"]) == 20


@pytest.mark.parametrize("options", [{}, {"version": "1.35", "sharded_list_and_watch": True}], ids=["no gate", "1.35"])
def test_without_the_gate_a_shard_selector_is_ignored(client_of, options):
    """Everything is listed, without a hint in the answer."""
    with EmbeddedAPIServer(**options) as server:
        for number in range(5):
            server.create(config_map(f"m{number}"))
        listed = client_of(server)("GET", f"{MAPS}?shardSelector={LOW}").json
        assert len(listed["items"]) == 5
        assert "shardInfo" not in listed["metadata"]
        assert client_of(server)("GET", f"{MAPS}?shardSelector=bad").status == 200


@pytest.mark.parametrize(
    "selector",
    [
        "bad",
        LOW.replace("0x0000000000000000", "0x0"),
        LOW.replace("object.", ""),
        LOW.replace("0x8", "0x0"),
        f"{LOW}||{HIGH.replace('uid', 'namespace')}",
    ],
)
def test_invalid_shard_selector_is_500_without_a_reason(client_of, selector):
    """500, as in kube-apiserver."""
    with EmbeddedAPIServer(sharded_list_and_watch=True) as server:
        answer = client_of(server)("GET", f"{MAPS}?shardSelector={selector}")
        assert answer.status == 500
        assert "reason" not in answer.json
        assert answer.message.startswith(f"invalid shard selector {selector!r}: expected shardRange(")


@pytest.mark.parametrize(
    ("text", "value"), [("", 0xCBF29CE484222325), ("a", 0xAF63DC4C8601EC8C), ("foobar", 0x85944171F73967E8)]
)
def test_the_hash_is_fnv_1a(text, value):
    """The reference values of 64-bit FNV-1a."""
    assert fnv1a_64(text) == value
