"""The live page as a WSGI application: what it shows, what it hides, and who may see it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest
from kubernetes import client

from informer import Object, index_by
from informer.cache.indexer import meta_namespace_index
from informer.cache.records import Records
from informer.errors import ApiError
from informer.leaderelection.metrics import ElectionMetrics
from informer.metrics import make_live_page_app, serve_live_page
from informer.metrics.live_page import cache
from informer.testing.fake_source import FakeControllerSource
from informer.workqueue import WorkQueue
from tests.informer.metrics.conftest import thing
from tests.support.waiting import eventually
from tests.support.web_pages import Browser, Parsed


@pytest.fixture
def browser(registry, collector) -> Browser:
    """A browser of the live page."""
    return Browser(make_live_page_app(registry=registry))


@pytest.fixture
def pods() -> FakeControllerSource:
    """A source that says that its objects are pods."""
    return source_of("pods")


def source_of(resource: str | None) -> FakeControllerSource:
    source: Any = FakeControllerSource()
    source.resource_name = resource
    return source


def pod(name: str, namespace: str = "ns", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", **thing(name, namespace, **fields)}


class Refused:
    """A list-watch that the server refuses."""

    resource_name = "nodes"

    def list(self, options: Any) -> Any:
        raise ApiError(403, "Forbidden", "no rights <b>here</b>")

    watch = list


def test_the_overview_shows_informers_handlers_queues_and_leases(browser, collector, make, pods) -> None:
    """Each has a row with its numbers, and an informer that fails says why."""
    pods.add(pod("a"))
    handler = make(pods, name="my-pods").add_event_handler(on_add=lambda obj: None)
    failing = make(Refused(), sync=False, name="my-nodes")
    assert eventually(handler.has_synced)
    assert eventually(lambda: failing.sync_error() is not None)
    queue = WorkQueue(name="my-queue", metrics_provider=collector)
    queue.add("ns/a")
    election = ElectionMetrics("default/my-lease", lambda: True)
    election.read_leader_from(lambda: "replica-1")
    collector.elector_started(election)
    page = browser.open()
    ready, refused = page.rows("informers")
    assert ready[:3] == ["my-pods pods", "synced", "1"]
    assert refused[:2] == ["my-nodes nodes", "failing 403 Forbidden: failed to list my-nodes: no rights <b>here</b>"]
    assert page.rows("handlers")[0][1:] == ["my-pods", "0", "0.0 s", "1", "0.0 s", "0"]
    assert page.rows("queues") == [["my-queue", "1", "1", "0", "0.0 s"]]
    assert page.rows("leases") == [["default/my-lease", "holds it", "replica-1"]]
    queue.shut_down()


def test_an_empty_process_has_a_page(browser) -> None:
    """Sentences stand in place of the tables."""
    page = browser.open()
    assert page.all("table") == []
    assert "No informer runs." in page.text


def test_plots_show_the_history_since_the_first_look(browser, make, pods) -> None:
    """A plot is a picture whose label says its last and its highest value."""
    make(pods)
    assert browser.open().all("svg") == []
    page = browser.open()
    labels = [str(each.attributes["aria-label"]) for each in page.all("svg", role="img")]
    assert labels == ["Lag: now 0 seconds, at most 0"]


def test_every_object_is_on_one_page(browser, make, pods) -> None:
    """The links lead from page to page, and to each object."""
    for number in range(cache.PAGE_SIZE * 2 + 7):
        pods.add(pod(f"p{number}"))
    make(pods)
    seen = walk(browser, "objects?informer=things")
    assert [len(page) for page in seen] == [cache.PAGE_SIZE, cache.PAGE_SIZE, 7]
    assert sorted(chain(*seen)) == sorted(f"ns/p{number}" for number in range(cache.PAGE_SIZE * 2 + 7))
    page = browser.open("objects?informer=things")
    shown = browser.open(str(page.link("ns/p3"))).json()
    assert shown["metadata"]["name"] == "p3"


def walk(browser: Browser, address: str, most: int = 1000) -> list[list[str]]:
    """Follows the links to the next page, and returns the first column of each."""
    seen = []
    following: str | None = address
    while following is not None:
        page = browser.open(following)
        seen.append([row[0] for row in page.rows("objects") + page.rows("values")])
        following = page.link("Next page")
        assert len(seen) < most
    return seen


def test_objects_are_found_by_key_selector_and_index(browser, make, pods) -> None:
    """A search may combine them."""
    for number in range(60):
        labels = {"app": "web" if number % 2 else "db"}
        made = pod(f"p{number}", spec={"nodeName": f"node-{number % 3}"})
        made["metadata"]["labels"] = labels
        pods.add(made)
    make(pods, indexers={"node": index_by("spec.nodeName"), "namespace": meta_namespace_index})
    assert walk(browser, "objects?informer=things&key=ns/p7") == [["ns/p7"]]
    assert walk(browser, "objects?informer=things&key=p5") == [["ns/p5", *(f"ns/p5{number}" for number in range(10))]]
    by_both = walk(browser, "objects?informer=things&index=node&value=node-1&selector=app%3Ddb")
    assert by_both == [[f"ns/p{number}" for number in range(60) if number % 3 == 1 and number % 2 == 0]]
    assert walk(browser, "objects?informer=things&index=node") == [["node-0", "node-1", "node-2"]]
    page = browser.open("objects?informer=things&index=node")
    assert len(browser.open(str(page.link("node-2"))).rows("objects")) == 20
    assert walk(browser, "objects?informer=things&selector=app%3Dx") == [[]]


def test_the_values_of_an_index_are_paged(browser, make, pods) -> None:
    """Each value is on one page, with its number of objects."""
    for number in range(cache.PAGE_SIZE + 5):
        pods.add(pod(f"p{number}"))
    make(pods, indexers={"name": index_by("metadata.name")})
    seen = walk(browser, "objects?informer=things&index=name")
    assert [len(page) for page in seen] == [cache.PAGE_SIZE, 5]
    assert sorted(chain(*seen)) == sorted(f"p{number}" for number in range(cache.PAGE_SIZE + 5))


def test_an_index_value_is_not_a_link_if_it_is_too_long_or_a_credential(browser, make, pods) -> None:
    """Values may be annotations of 256 KiB; a page of them must stay small, and private keys are hidden in links, too."""
    private = "-----BEGIN EC PRIVATE KEY-----c2VjcmV0-----END EC PRIVATE KEY-----"
    for name, value in (("a", "short"), ("b", "x" * 200_000), ("c", private)):
        pods.add(pod(name, spec={"value": value}))
    make(pods, indexers={"value": index_by("spec.value")})
    answer = browser.ask("objects?informer=things&index=value")
    page = Parsed(answer.text)
    assert [row[0][:10] for row in page.rows("values")] == ["short", "xxxxxxxxxx", "[redacted]"]
    assert [bool(page.link(row[0])) for row in page.rows("values")] == [True, False, False]
    assert "c2VjcmV0" not in answer.text
    assert len(answer.text) < 10_000


def test_a_long_search_pauses_and_goes_on(browser, make, pods, monkeypatch) -> None:
    """No request searches for longer than its time, and the pages together find everything."""
    monkeypatch.setattr(cache, "_MAX_SECONDS", 0.0)
    for number in range(300):
        pods.add(pod(f"p{number}"))
    make(pods)
    seen = walk(browser, "objects?informer=things&key=9")
    assert len(seen) > 2
    assert [*chain(*seen)] == [f"ns/p{number}" for number in range(300) if "9" in str(number)]
    assert "64 of 300 objects were searched" in browser.open("objects?informer=things&key=none").text


def test_no_request_copies_the_cache(browser, make, pods, monkeypatch) -> None:
    """Pages, searches and the overview read parts of a cache only, whatever its size."""
    pods.add(pod("a"))
    make(pods, indexers={"namespace": meta_namespace_index})

    def forbidden(*arguments: Any) -> Any:
        raise AssertionError("the whole cache was read")

    for name in ("objects", "keys", "copy", "by_index"):
        monkeypatch.setattr(Records, name, forbidden)
    for address in ("/", "state.json", "objects?informer=things", "objects?informer=things&selector=a"):
        assert browser.ask(address).status == 200
    assert browser.ask("objects?informer=things&index=namespace").status == 200
    assert browser.ask("objects?informer=things&index=namespace&value=ns").status == 200
    assert browser.ask("object?informer=things&key=ns/a").status == 200


HOSTILE = '</td><script>alert(1)</script>\u202e\x1b[2J\u200b\'"& onclick="x'


def test_hostile_text_is_shown_as_text(browser, make, pods) -> None:
    """Names, labels, values and what a visitor typed neither become HTML nor move the text around."""
    pods.add(pod(HOSTILE, spec={HOSTILE: HOSTILE}))
    make(pods, name=HOSTILE, indexers={"bad": index_by("spec"), HOSTILE: lambda obj: [HOSTILE]})
    overview = browser.open()
    objects = str(overview.link(overview.rows("informers")[0][0].removesuffix(" pods")))
    pages = [objects, f"{objects}&index=bad", f"{objects}&selector={'%3Cscript%3E'}", f"{objects}&key=%3Cb%3E%E2%80%AE"]
    (key,) = [row[0] for row in browser.open(objects).rows("objects")]
    pages.append(str(browser.open(objects).link(key)))
    for address in ("/", *pages):
        answer = browser.ask(address)
        page = Parsed(answer.text)
        assert [each.attributes.get("src") for each in page.all("script")] == ["page.js"]
        assert all(each.text in ("synced", "") for each in page.all("b"))
        assert not [each for each in page.elements if "onclick" in each.attributes]
        assert not set("\u202e\x1b\u200b") & set(answer.text)
    # The parser drops references to control characters, unlike a browser.
    (hidden,) = browser.open(objects).all("input", name="informer")
    assert hidden.attributes["value"] == HOSTILE.replace("\x1b", "")
    assert browser.open(pages[-1]).json()["spec"]


SECRET = "cGw0bnQzZA"
"""Stands for the data of a Secret."""


def secret(kind: str = "Secret") -> dict[str, Any]:
    made = {"apiVersion": "v1", "kind": kind, "type": "Opaque", **thing("s"), "data": {"key": SECRET}}
    made["stringData"] = {"other": SECRET}
    made["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": SECRET, "tool": SECRET}
    return made


class BadText:
    """A value whose text cannot be had."""

    def __repr__(self) -> str:
        raise AttributeError(SECRET)


class Credentials:
    """What a user's transform may make of a Secret."""

    def __init__(self) -> None:
        self.metadata = client.V1ObjectMeta(name="s", namespace="ns", resource_version="1")
        self.password = SECRET


FORMS: dict[str, Callable[[Any], Any]] = {
    "dict": lambda obj: obj,
    "object": Object.from_dict,
    "moved": lambda obj: {"metadata": obj["metadata"], "password": SECRET},
    "model": lambda obj: client.V1Secret(
        data=obj["data"],
        string_data=obj["stringData"],
        metadata=client.V1ObjectMeta(name="s", namespace="ns", annotations=obj["metadata"]["annotations"]),
    ),
    "class": lambda obj: Credentials(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("resource", "kind"), [("secrets", "Secret"), ("secrets", ""), (None, "Secret"), (None, "")])
def test_the_data_of_secrets_are_on_no_page(browser, make, form: str, resource: str | None, kind: str) -> None:
    """Neither as JSON nor as values of an index, in whichever form they are kept."""
    source = source_of(resource)
    source.add(secret(kind))
    indexers = {"namespace": meta_namespace_index, "password": lambda obj: [SECRET]}
    make(source, transform=FORMS[form], indexers=indexers)
    addresses = ["/", "state.json", "object?informer=things&key=ns/s"]
    searches = [
        "",
        "&index=password",
        f"&index=password&value={SECRET[:-1]}",
        "&index=namespace",
        "&key=s",
        "&selector=x",
    ]
    for address in (*addresses, *(f"objects?informer=things{search}" for search in searches)):
        answer = browser.ask(address)
        assert answer.status == 200
        assert SECRET not in answer.text
    page = browser.open("objects?informer=things&index=namespace")
    assert page.rows("values") == [["ns", "1"]]
    assert [each.attributes["value"] for each in page.all("option")] == ["", "namespace"]
    shown = browser.open("object?informer=things&key=ns/s").text
    assert "ns" in shown


def test_the_data_of_secrets_are_hidden_whatever_their_list_watch_calls_them(browser, make) -> None:
    """Its first object shows that a cache has Secrets; the metadata of objects without a kind may be those of Secrets."""
    source = source_of("credentials")
    source.add(secret())
    make(source, indexers={"password": lambda obj: [SECRET]})
    partial = source_of(None)
    partial.add({**secret("PartialObjectMetadata"), "data": {}})
    make(partial, name="partial")
    for address in ("objects?informer=things&index=password", "object?informer=partial&key=ns/s"):
        assert SECRET not in browser.ask(address).text


class Unreadable(dict[str, Any]):
    """An object of a user's type that raises whatever is done with it."""

    def to_dict(self) -> Any:
        raise AttributeError(SECRET)

    def __repr__(self) -> str:
        raise AttributeError(SECRET)


@pytest.mark.parametrize("transform", [Unreadable, lambda obj: {**obj, "spec": [object.__new__(BadText)]}])
def test_an_object_that_raises_is_reported_on_its_page(browser, make, pods, caplog, transform: Any) -> None:
    """Without its text, which the exception may quote. Its neighbours and their indices are shown."""
    pods.add(pod("a"))
    make(pods, transform=transform, indexers={"one": lambda obj: ["1"]})
    shown = browser.open("object?informer=things&key=ns/a").text
    assert "This object cannot be shown as JSON (AttributeError)." in shown
    assert browser.open("objects?informer=things&index=one").rows("values") == [["1", "1"]]
    assert SECRET not in shown + caplog.text


def test_an_object_whose_labels_are_not_texts_has_no_label(browser, make, pods) -> None:
    """No server has checked the objects of a user's source. The others are found."""
    for name, labels in (("a", {"app": {"web": 1}}), ("b", {"app": "web"})):
        made = pod(name)
        made["metadata"]["labels"] = labels
        pods.add(made)
    make(pods)
    assert walk(browser, "objects?informer=things&selector=app%3Dweb") == [["ns/b"]]


def test_a_secret_shows_the_names_of_its_data(browser, make) -> None:
    """So a reader sees which keys there are."""
    source = source_of("secrets")
    source.add(secret())
    make(source)
    shown = browser.open("object?informer=things&key=ns/s").json()
    assert shown["data"] == {"key": "[hidden]"}
    assert shown["stringData"] == {"other": "[hidden]"}
    assert (shown["kind"], shown["type"], shown["metadata"]["name"]) == ("Secret", "Opaque", "s")


def test_a_token_is_needed_if_there_is_one(registry, make, pods) -> None:
    """As a bearer token, or as the password that a browser asks for. No page shows it."""
    token = "0123-live-page-token"
    pods.add(pod("a", spec={"copied": token}))
    make(pods)
    browser = Browser(make_live_page_app(registry=registry, token=f"{token}\n"))
    basic = base64.b64encode(f"me:{token}".encode()).decode()
    for right in (f"Bearer {token}", f"bearer {token}", f"Basic {basic}"):
        answer = browser.ask("object?informer=things&key=ns/a", HTTP_AUTHORIZATION=right)
        assert answer.status == 200
        assert token not in answer.text
    wrong = [
        "",
        "Bearer",
        f"Bearer {token}x",
        f"Bearer {token[:-1]}",
        f"Token {token}",
        "Basic ***",
        "Basic YQ==",
        "Bearer \xff",
    ]
    for given in wrong:
        for path in ("/", "state.json", "page.js", "objects?informer=things"):
            answer = browser.ask(path, HTTP_AUTHORIZATION=given)
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_an_empty_token_is_refused(registry) -> None:
    """It is a setting that is missing, not a page without a token."""
    with pytest.raises(ValueError, match="the live page's token= is empty: give a long random text"):
        make_live_page_app(registry=registry, token=" ")


def test_other_hosts_need_a_token(registry) -> None:
    """Without one the page listens on loopback addresses only."""
    with pytest.raises(
        ValueError, match=r"the live page on '0.0.0.0' shows all cached objects to other hosts: give token="
    ):
        serve_live_page(0, "0.0.0.0", registry=registry)
    with serve_live_page(0, "0.0.0.0", registry=registry, token="a-token-for-others") as server:
        assert server.port


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("objects?informer=none", 404, "This process has no informer none."),
        ("objects", 404, "This process has no informer"),
        ("object?informer=things&key=none", 404, "The cache has no such object now."),
        ("objects?informer=things&selector=a%3D%3D%3D", 200, "cannot read the label selector"),
        ("objects?informer=things&index=none", 200, "This cache has no index none to show."),
        ("objects?informer=things&from=-1", 200, "0 objects, in the order of the cache."),
        ("objects?informer=things&from=99999999999999999999", 200, "No object matches."),
        ("objects?informer=%ff%fe", 400, "The address is malformed."),
        ("objects?" + "&".join("a=b" for _ in range(50)), 400, "The address is malformed."),
    ],
)
def test_a_request_that_makes_no_sense_is_answered(browser, make, pods, path: str, status: int, text: str) -> None:
    """The page says what is wrong."""
    make(pods)
    answer = browser.ask(path)
    assert answer.status == status
    assert text in Parsed(answer.text).text


def test_only_reading_is_possible(browser) -> None:
    """Other methods are refused, and other paths not found."""
    assert browser.ask("/", "POST").status == 405
    assert browser.ask("/metrics").status == 404
    assert browser.ask("/", "HEAD").text == ""


def test_nothing_comes_from_elsewhere(browser, make, pods) -> None:
    """Every page has a strict policy, and all that it loads is in the package."""
    pods.add(pod("a"))
    make(pods)
    for address in (
        "/",
        "objects?informer=things",
        "object?informer=things&key=ns/a",
        "page.css",
        "page.js",
        "state.json",
    ):
        answer = browser.ask(address)
        policy = answer.headers["Content-Security-Policy"].split("; ")
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "http" not in answer.text
    loaded = browser.open()
    files = [
        *(each.attributes["href"] for each in loaded.all("link")),
        *(each.attributes["src"] for each in loaded.all("script")),
    ]
    assert [browser.ask(str(name)).status for name in files] == [200, 200]
    assert "style=" not in browser.ask("/").text


def test_pages_can_be_used_with_keyboard_and_screen_reader(browser, make, pods) -> None:
    """Landmarks, headings, labels, captions and the scopes of table headings are there, and each id once."""
    pods.add(pod("a"))
    make(pods, indexers={"namespace": meta_namespace_index})
    browser.open()
    for address in (
        "/",
        "objects?informer=things",
        "objects?informer=things&index=namespace",
        "object?informer=things&key=ns/a",
    ):
        page = browser.open(address)
        assert page.all("html", lang="en")
        assert len(page.all("title")) == len(page.all("main", id="main")) == len(page.all("h1")) == 1
        ids = [each.attributes["id"] for each in page.elements if "id" in each.attributes]
        assert len(ids) == len(set(ids))
        assert page.link("Skip to content") == "#main"
        named = [each.attributes["aria-labelledby"] for each in page.elements if "aria-labelledby" in each.attributes]
        assert set(named) <= set(ids)
        regions = [each for each in page.elements if each.attributes.get("role") in ("region", "img")]
        assert all({"aria-label", "aria-labelledby"} & each.attributes.keys() for each in regions)
        inputs = [
            each
            for each in page.elements
            if each.name in ("input", "select") and each.attributes.get("type") != "hidden"
        ]
        labelled = [inner for label in page.all("label") for inner in label.inside]
        assert all(each in labelled for each in inputs)
        assert all(
            each.text for each in (*page.all("label"), *page.all("a"), *page.all("button"), *page.all("caption"))
        )
        assert len(page.all("caption")) == len(page.all("table"))
        assert all(each.attributes.get("scope") in ("row", "col") for each in page.all("th"))
        assert all(each.attributes.get("tabindex") == "0" for each in page.all("div", role="region"))
    assert ":focus-visible" in browser.ask("page.css").text
    assert "prefers-color-scheme: dark" in browser.ask("page.css").text


def test_the_state_is_json(browser, make, pods) -> None:
    """`informer top` and other programs read it."""
    pods.add(pod("a"))
    make(pods)
    make(pods, name="not-utf-8-\ud800", sync=False)
    state = json.loads(browser.ask("state.json").text)
    assert [(each["name"], each["state"], each["objects"]) for each in state["informers"][:1]] == [
        ("things", "synced", 1)
    ]
    assert state["informers"][1]["name"] == "not-utf-8-?"
    assert state["informers"][0]["event_rate"] is None
