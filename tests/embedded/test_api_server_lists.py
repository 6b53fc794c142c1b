"""Lists: selectors, pages of one moment, rules of resourceVersion, representations and compression."""

from __future__ import annotations

import gzip

import pytest
from kubernetes import client

from informer.testing import EmbeddedAPIServer
from informer.testing.listwatch.shard_selector import fnv1a_64

MAPS = "/api/v1/namespaces/default/configmaps"
ALL_MAPS = "/api/v1/configmaps"
PARTIAL = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


@pytest.fixture
def maps(server, make):
    """Five ConfigMaps, four in one namespace and one in another."""
    server.create({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "aaa"}})
    server.create(make("z", "aaa", n="5"))
    for number, name in enumerate("abcd", 1):
        server.create(make(name, n=str(number), app="web" if number < 3 else "db"))


def test_a_list_says_its_kind_and_its_items_do_not(server, call, maps):
    """Built-in kinds come without kind and apiVersion in the items, in the order of namespace and name."""
    answer = call("GET", ALL_MAPS)
    assert (answer.json["kind"], answer.json["apiVersion"]) == ("ConfigMapList", "v1")
    assert answer.json["metadata"] == {"resourceVersion": server.resource_version}
    assert list(answer.json["items"][0]) == ["metadata"]
    assert answer.names == ["z", "a", "b", "c", "d"]
    assert call("GET", MAPS).names == ["a", "b", "c", "d"]


def test_an_empty_list_has_items(call):
    """As an empty list, not null; a namespace that is not there is an empty list too."""
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
    """Only what is selected is listed."""
    assert "".join(call("GET", f"{MAPS}?{query}").names) == names


def test_pods_can_be_selected_by_node_and_phase(server, call):
    """Field selectors know the fields of the kind, and count as empty or as their default what is not there."""
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
        '"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"',
    ),
    "field of another kind": ("/api/v1/pods?fieldSelector=spec.x%3D1", 400, "field label not supported: spec.x"),
    "field of a job": (
        "/apis/batch/v1/jobs?fieldSelector=a.b%3D1",
        400,
        'field label "a.b" not supported for Job',
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
    "no token": (f"{MAPS}?continue=abc", 400, "invalid continue token: continue key is not valid: "),
    "html": (f"{MAPS}?html", 406, "406: Not Acceptable"),
}


@pytest.mark.parametrize(("path", "status", "message"), REFUSALS.values(), ids=REFUSALS)
def test_a_list_is_refused_in_the_real_servers_words(call, path, status, message):
    """What cannot be asked for is answered with the code and text of kube-apiserver."""
    answer = call("GET", path, Accept="text/html" if path.endswith("html") else "application/json")
    assert answer.status == status
    assert answer.message.startswith(message)


def test_pages_show_one_moment(server, call, make, maps):
    """However much is written between two pages, they are parts of one list, with its resourceVersion."""
    first = call("GET", f"{ALL_MAPS}?limit=2")
    token = first.json["metadata"]["continue"]
    assert first.names == ["z", "a"]
    assert first.json["metadata"]["remainingItemCount"] == 3
    server.create(make("aa"))
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


def test_a_page_of_a_selection_does_not_say_how_many_remain(call, maps):
    """And whether anything that follows is selected is only known on the next page, which may be empty."""
    first = call("GET", f"{MAPS}?limit=2&labelSelector=app%3Dweb")
    assert first.names == ["a", "b"]
    assert "remainingItemCount" not in first.json["metadata"]
    second = call("GET", f"{MAPS}?limit=2&labelSelector=app%3Dweb&continue={first.json['metadata']['continue']}")
    assert second.names == []
    assert "continue" not in second.json["metadata"]


def test_the_official_client_pages(server, make):
    """Its models read continue and remainingItemCount."""
    for number in range(7):
        server.create(make(f"m{number}"))
    with server.api_client() as api:
        core, names, token = client.CoreV1Api(api), [], None
        while True:
            page = core.list_namespaced_config_map("default", limit=3, _continue=token)
            names += [item.metadata.name for item in page.items]
            token = page.metadata._continue
            if not token:
                break
    assert names == [f"m{number}" for number in range(7)]


def test_after_a_compaction_a_token_has_expired(server, call, make, maps):
    """410, with a token that goes on from the same place in the list as it is now."""
    token = call("GET", f"{ALL_MAPS}?limit=2").json["metadata"]["continue"]
    server.create(make("aa"))
    server.compact()
    expired = call("GET", f"{ALL_MAPS}?limit=2&continue={token}")
    assert (expired.status, expired.json["reason"]) == (410, "Expired")
    assert expired.message.startswith("The provided continue parameter is too old to display a consistent list result.")
    again = expired.json["metadata"]["continue"]
    assert call("GET", f"{ALL_MAPS}?limit=9&continue={again}").names == ["aa", "b", "c", "d"]


def test_rules_of_the_resource_version(server, call, make):
    """Exact and (with a limit) unset show the past, NotOlderThan and unset without a limit the present."""
    old = server.create(make("a"))["metadata"]["resourceVersion"]
    server.create(make("b"))
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
    # From resourceVersion 0 there are no pages.
    assert listed("resourceVersion=0&limit=1") == ("ab", new)


def test_the_past_goes_with_a_compaction_and_not_with_a_restart(server, call, make):
    """A list at an old resourceVersion is 410 after a compaction."""
    old = server.create(make("a"))["metadata"]["resourceVersion"]
    server.create(make("b"))
    exact = f"{MAPS}?resourceVersion={old}&resourceVersionMatch=Exact"
    server.restart()
    assert call("GET", exact).names == ["a"]
    server.compact()
    answer = call("GET", exact)
    assert (answer.status, answer.message) == (410, "The resourceVersion for the provided list is too old.")
    assert call("GET", f"{MAPS}?resourceVersion={old}").names == ["a", "b"]


def test_history_beyond_its_limit_is_forgotten(make, client_of):
    """As if it had been compacted."""
    with EmbeddedAPIServer(history_limit=3) as server:
        old = server.create(make("a"))["metadata"]["resourceVersion"]
        for number in range(4):
            server.create(make(f"b{number}"))
        call = client_of(server)
        assert call("GET", f"{MAPS}?resourceVersion={old}&resourceVersionMatch=Exact").status == 410
        recent = str(int(server.resource_version) - 3)
        assert call("GET", f"{MAPS}?resourceVersion={recent}&resourceVersionMatch=Exact").names == ["a", "b0"]


def test_a_resource_version_from_the_future_is_a_timeout(server, call):
    """504 with its own cause, and Retry-After in header and details."""
    answer = call("GET", f"{MAPS}?resourceVersion=99999999")
    assert answer.status == 504
    assert answer.headers["retry-after"] == "1"
    assert answer.json["reason"] == "Timeout"
    assert answer.message == f"Timeout: Too large resource version: 99999999, current: {server.resource_version}"
    assert answer.json["details"] == {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }


def test_metadata_alone(call, maps):
    """PartialObjectMetadata and its list, by Accept; a list as a single one is not acceptable."""
    listed = call("GET", MAPS, Accept=PARTIAL).json
    assert (listed["kind"], listed["apiVersion"]) == ("PartialObjectMetadataList", "meta.k8s.io/v1")
    assert list(listed["items"][0]) == ["kind", "apiVersion", "metadata"]
    assert listed["items"][0]["kind"] == "PartialObjectMetadata"
    single = PARTIAL.replace("List", "")
    assert call("GET", f"{MAPS}/a", Accept=single).json["kind"] == "PartialObjectMetadata"
    assert call("GET", MAPS, Accept=single).status == 406
    # kubectl asks for a table first, and takes plain JSON too.
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    assert call("GET", MAPS, Accept=table).status == 406
    assert call("GET", MAPS, Accept=f"{table},application/json").json["kind"] == "ConfigMapList"


def test_long_lists_are_compressed_for_who_asks(server, call, make):
    """From 128 KiB on, and never for who does not ask; long answers come in chunks."""
    server.create(make("big") | {"data": {"k": "x" * 200_000}})
    plain = call("GET", MAPS)
    packed = call("GET", MAPS, Accept_Encoding="gzip")
    assert plain.headers["transfer-encoding"] == "chunked"
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    small = call("GET", "/api/v1/namespaces", Accept_Encoding="gzip")
    assert "content-encoding" not in small.headers


# --- shards ---

LOW = "shardRange(object.metadata.uid, '0x0000000000000000', '0x8000000000000000')"
HIGH = "shardRange(object.metadata.uid, '0x8000000000000000', '0x10000000000000000')"


def test_a_shard_holds_the_objects_whose_hash_lies_in_it(make, client_of):
    """With the gate, the list says which shard it is, and two halves make the whole."""
    with EmbeddedAPIServer(sharded_list_and_watch=True) as server:
        call = client_of(server)
        uids = {server.create(make(f"m{n}"))["metadata"]["uid"] for n in range(20)}
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
def test_without_the_gate_a_shard_selector_is_ignored(make, client_of, options):
    """Everything is listed, and nothing says so."""
    with EmbeddedAPIServer(**options) as server:
        for number in range(5):
            server.create(make(f"m{number}"))
        listed = client_of(server)("GET", f"{MAPS}?shardSelector={LOW}").json
        assert len(listed["items"]) == 5
        assert "shardInfo" not in listed["metadata"]
        assert client_of(server)("GET", f"{MAPS}?shardSelector=bad").status == 200


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("bad", "unexpected expression kind 3; expected shardRange() call or || operator"),
        (LOW.replace("0x0000000000000000", "0x0"), 'hexStart must be a 0x-prefixed 16-digit hex value, got "0x0"'),
        (LOW.replace("object.", ""), 'unsupported field path "metadata.uid"; supported: object.metadata.uid, object.'),
        (LOW.replace("0x8", "0x0"), "shard range start 0x0000000000000000 must be less than end 0x0000000000000000"),
        (
            f"{LOW}||{HIGH.replace('uid', 'namespace')}",
            'all shard ranges must use the same field, got "object.metadata.uid"',
        ),
    ],
)
def test_a_bad_shard_selector_is_an_error_without_a_reason(client_of, selector, message):
    """500, as the real server has it."""
    with EmbeddedAPIServer(sharded_list_and_watch=True) as server:
        answer = client_of(server)("GET", f"{MAPS}?shardSelector={selector}")
        assert answer.status == 500
        assert "reason" not in answer.json
        assert answer.message.startswith(f"invalid shard selector: {message}")


@pytest.mark.parametrize(
    ("text", "value"), [("", 0xCBF29CE484222325), ("a", 0xAF63DC4C8601EC8C), ("foobar", 0x85944171F73967E8)]
)
def test_the_hash_is_fnv_1a(text, value):
    """The reference values of FNV-1a with 64 bits."""
    assert fnv1a_64(text) == value
