"""Data of Secrets and credentials appear nowhere: not in logs, errors or the text of any object."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults

import msgspec
import pytest
from kubernetes import client
from prometheus_client import CollectorRegistry

from informer import (
    DeletedFinalStateUnknown,
    Delta,
    DeltaFIFO,
    DeltaType,
    Indexer,
    InOrderFIFO,
    ListWatch,
    MutationDetector,
    Object,
    ObjectList,
    SharedInformer,
    Store,
    meta_namespace_key,
)
from informer.cache.change import Change
from informer.listwatch.list_parser import ListParser
from informer.metrics import make_app
from informer.objects.entry import Entry, Undecodable
from informer.record import FakeRecorder
from informer.reflector.backoff import Backoff
from informer.testing import EmbeddedAPIServer
from informer.transport.transport import Transport
from tests.support.waiting import DEADLINE
from watch import Event, JSONDecoder, StreamWatcher
from watch.framing import ChunkedBody

PLANTED = "pl4nt3d"
QUICK = Backoff(initial=0.02, maximum=0.05)
SECRET: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {
        "name": "door",
        "namespace": "default",
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"data": {"key": PLANTED}})},
    },
    "data": {"key": f"{PLANTED}="},
    "stringData": {"word": PLANTED},
}


def text_of(thing: Any) -> str:
    """Returns every text form of an object."""
    return f"{thing!r} {thing!s} {thing} {thing:}"


def pages() -> str:
    """Returns the metrics and health pages about this process's informers."""
    app = make_app(registry=CollectorRegistry())
    answers = []
    for path in ("/metrics", "/readyz", "/healthz"):
        environ: dict[str, Any] = {"PATH_INFO": path}
        setup_testing_defaults(environ)
        answers += app(environ, lambda *_: lambda _: None)
    return b"".join(answers).decode()


def text_of_error(error: BaseException | None) -> str:
    """Returns the text of an error and of its causes, including hidden ones."""
    said: list[str] = []
    while error is not None:
        said += [text_of(error), *traceback.format_exception(error), repr(getattr(error, "__notes__", None))]
        said += [repr(value) for value in vars(error).values() if not isinstance(value, BaseException)]
        error = error.__cause__ or error.__context__
    return "\n".join(said)


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Checks the log of all loggers at all levels; a test that logs nothing proves nothing by it."""
    caplog.set_level(logging.DEBUG)
    for name in ("urllib3", "kubernetes", "watch", "informer"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield
    for name in ("urllib3", "kubernetes", "watch", "informer"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    assert PLANTED not in caplog.text


_OBJECT = Object.from_dict(SECRET)
_STORE: Indexer[Any] = Indexer(indexers={"by": lambda obj: ["value"]})
_STORE.add(_OBJECT)


def _filled(queue: Any) -> Any:
    queue.add(_OBJECT)
    return queue


@pytest.mark.parametrize(
    "thing",
    [
        pytest.param(_OBJECT, id="object"),
        pytest.param(Event("ADDED", _OBJECT), id="event"),
        pytest.param(Delta(DeltaType.ADDED, _OBJECT), id="delta"),
        pytest.param(Change(DeltaType.UPDATED, _OBJECT, _OBJECT), id="change"),
        pytest.param(ObjectList([_OBJECT], "1"), id="list"),
        pytest.param(Entry("door", "default", "u", "1", SECRET), id="entry"),
        pytest.param(Undecodable("door", "", "", "", _OBJECT.raw, ValueError(PLANTED)), id="undecodable"),
        pytest.param(DeletedFinalStateUnknown("default/door", _OBJECT), id="final-state-unknown"),
        pytest.param(_STORE, id="indexer"),
        pytest.param(_filled(Store()), id="store"),
        pytest.param(_filled(DeltaFIFO()), id="delta-fifo"),
        pytest.param(_filled(InOrderFIFO()), id="in-order-fifo"),
    ],
)
def test_nothing_quotes_the_object_it_holds(thing: Any) -> None:
    """repr, str and format do not quote it; pickles may."""
    assert PLANTED not in text_of(thing)


@pytest.mark.parametrize(
    "cause",
    [
        pytest.param(lambda raw: Object.from_bytes(raw[:-3]), id="half"),
        pytest.param(lambda raw: Object.from_bytes(raw + b"}"), id="more-behind"),
        pytest.param(lambda raw: Object.from_bytes(b"[" + raw + b"]"), id="in-a-list"),
        pytest.param(
            lambda raw: Object.from_bytes(raw.replace(PLANTED.encode(), b"\xff" + PLANTED.encode())), id="utf-8"
        ),
        pytest.param(lambda raw: Object.from_list_item(raw[:-3], "v1", "Secret"), id="item"),
        pytest.param(lambda raw: meta_namespace_key({"data": raw.decode()}), id="key"),
        pytest.param(lambda raw: meta_namespace_key(raw.decode()), id="key-of-text"),
        pytest.param(lambda raw: Object.from_dict({"data": {"key": PLANTED, "bad": object()}}), id="from-dict"),
        pytest.param(lambda raw: _OBJECT.__setitem__("data", PLANTED), id="change"),
        pytest.param(lambda raw: _OBJECT["data"].__setitem__("key", PLANTED), id="change-below"),
        pytest.param(lambda raw: ChunkedBody().feed(f"zz{PLANTED}\r\n".encode()), id="chunk"),
        pytest.param(lambda raw: _STORE.add({"data": PLANTED}), id="store"),
        pytest.param(lambda raw: DeltaFIFO().add({"data": PLANTED}), id="delta-fifo"),
        pytest.param(lambda raw: _listed(b'{"kind":"SecretList","items":[' + raw[:-9]), id="half-a-list"),
        pytest.param(
            lambda raw: _listed(b'{"kind":"SecretList","items":["%s"]}' % PLANTED.encode()), id="text-in-a-list"
        ),
        pytest.param(lambda raw: _listed(b'"%s"' % PLANTED.encode()), id="no-list"),
    ],
)
def test_no_error_quotes_what_it_is_about(cause: Callable[[bytes], Any]) -> None:
    """Neither does a cause of the error, shown or hidden."""
    with pytest.raises(Exception) as caught:
        cause(_OBJECT.raw)
    assert PLANTED not in text_of_error(caught.value)


def _listed(body: bytes) -> Any:
    framing = ListParser(Object.from_list_item, 1 << 20, on_bad_item=lambda raw, error: None)
    return [*framing.feed(body), *[*framing.last_items()]]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b'{"type":"ADDED","object":%s' % _OBJECT.raw, id="half"),
        pytest.param(b'{"type":"ADDED","object":%s}}' % _OBJECT.raw, id="more-behind"),
        pytest.param(b'{"type":"ADDED","object":"%s"}' % PLANTED.encode(), id="text"),
        pytest.param(b"%s" % _OBJECT.raw, id="no-envelope"),
        pytest.param(b'{"type":"ADDED","object":{"data":"%s\xff"}}' % PLANTED.encode(), id="utf-8"),
        pytest.param(PLANTED.encode(), id="garbage"),
    ],
)
def test_a_watch_that_does_not_decode_does_not_say_what_came(line: bytes, serve: Any) -> None:
    """Its ERROR event names only the mistake."""
    import urllib3

    server = serve(lambda _, connection: connection.answer(line + b"\n"))
    response = urllib3.PoolManager().request("GET", server.url, preload_content=False)
    with StreamWatcher(JSONDecoder(response, decode_object=Object.from_bytes)) as watcher:
        for event in watcher:
            assert PLANTED not in repr(event)


class _Strict(msgspec.Struct):
    data: dict[str, int]


@pytest.mark.parametrize("model", [_Strict, None, dict], ids=["strict-model", "object", "dict"])
def test_an_informer_of_secrets_tells_nothing_of_them(model: Any) -> None:
    """Even when models, transforms, index functions and handlers raise."""

    def fails(*_: Any) -> Any:
        raise ValueError("no")

    with EmbeddedAPIServer(tokens=PLANTED) as server, server.api_client(token=PLANTED) as api_client:
        server.create({**SECRET, "metadata": {**SECRET["metadata"], "name": "first"}})
        source = ListWatch.for_resource(api_client, "secrets", model=model)
        informer: Any = SharedInformer(source, indexers={"bad": fails}, backoff=QUICK)
        informer.add_event_handler(on_add=fails, on_update=fails)
        with informer:
            assert informer.wait_for_sync(10)
            made = server.create(SECRET)
            assert informer.wait_for_resource_version(made["metadata"]["resourceVersion"], 10)
            server.set_tokens("other")
            server.faults.cut_connections()
            assert informer.wait_until(lambda: informer.sync_error() is not None, DEADLINE)
            error = informer.sync_error()
            assert PLANTED not in text_of_error(error)
            assert PLANTED not in text_of(informer) + text_of(informer.store) + text_of(informer.lister)
            assert PLANTED not in pages()


def test_the_pages_show_no_password_of_an_address() -> None:
    """They name each informer's server, and what keeps it from its first list."""
    configuration = client.Configuration(host=f"http://user:{PLANTED}@127.0.0.1:1")
    informer = SharedInformer(ListWatch.for_resource(client.ApiClient(configuration), "secrets"), name="away")
    with informer:
        assert informer.wait_until(lambda: informer.sync_error() is not None, 10)
        shown = pages()
    assert "away" in shown
    assert "127.0.0.1:1" in shown
    assert PLANTED not in shown


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"host": f"http://user:{PLANTED}@127.0.0.1:1"}, id="password-in-the-address"),
        pytest.param({"proxy": f"http://user:{PLANTED}@127.0.0.1:1", "host": "http://there.test"}, id="proxy"),
        pytest.param({"proxy": f"http://user:{PLANTED}@127.0.0.1:1", "host": "https://there.test"}, id="tls-proxy"),
        pytest.param({"username": "user", "password": PLANTED}, id="basic"),
        pytest.param({"api_key": {"authorization": f"Bearer {PLANTED}"}}, id="token"),
        pytest.param({"api_key": {"authorization": f"Bearer {PLANTED}\r\nX: y"}}, id="malformed-token"),
        pytest.param({"api_key": {"authorization": f"Bearer {PLANTED}\u20ac"}}, id="token-that-is-not-latin"),
    ],
)
def test_no_error_of_a_request_has_a_credential_in_it(settings: dict[str, Any], serve: Any) -> None:
    """Whether no server listens or the server refuses."""
    refused = {"kind": "Status", "code": 403, "message": "no"}
    server = serve(lambda _, connection: connection.answer(refused, 403))
    with pytest.raises(Exception) as caught:
        Transport(server.client(**settings)).get_json("/")
    assert PLANTED not in text_of_error(caught.value)


def test_a_mutation_report_names_the_object_and_not_what_changed() -> None:
    """The difference between two states of a Secret is secret."""
    detector = MutationDetector("secrets", enabled=True)
    secret = json.loads(json.dumps(SECRET))
    detector.add_object(secret)
    secret["data"]["key"] = f"{PLANTED}-2"
    with pytest.raises(Exception, match="modified") as caught:
        detector.compare_objects()
    assert PLANTED not in text_of_error(caught.value)


def test_a_recorders_event_is_about_its_object_only() -> None:
    """The event holds a reference, not the object."""
    recorder = FakeRecorder(10)
    recorder.event(_OBJECT, "Normal", "Reason", "message")
    assert PLANTED not in text_of(recorder.events.get(5))
