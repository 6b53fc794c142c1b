"""Watches that go on, and waiting for conditions, over HTTP."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes import client

from informer import ListWatch
from informer.testing import EmbeddedAPIServer
from tests.support.objects import config_map
from tests.support.waiting import DEADLINE
from watch import Event, RetryWatcher, WatchTimeoutError, list_watch_until, until_with_retry

PROMPT = 2.0


def name_of(event: Event[Any]) -> str:
    return str(event.object["metadata"]["name"])


@pytest.fixture
def list_watch(embedded_apiserver: EmbeddedAPIServer) -> Iterator[Any]:
    with embedded_apiserver.api_client() as api_client:
        yield ListWatch.for_resource(api_client, "configmaps", model=dict)


@pytest.fixture
def retry(embedded_apiserver: EmbeddedAPIServer, list_watch: Any) -> Iterator[Callable[..., RetryWatcher[Any]]]:
    """Makes RetryWatchers from the server's present state on, without a delay; they are stopped at the end."""
    made: list[RetryWatcher[Any]] = []

    def make(version: str | None = None, source: Any = None) -> RetryWatcher[Any]:
        begin = version or embedded_apiserver.create(config_map("begin"))["metadata"]["resourceVersion"]
        made.append(RetryWatcher(begin, source or list_watch, min_restart_delay=0))
        return made[-1]

    yield make
    for watcher in made:
        watcher.stop()
        assert watcher.done.wait(DEADLINE)


def take(watcher: RetryWatcher[Any]) -> Event[Any]:
    return watcher.result_chan().get(timeout=DEADLINE)


BREAKS = {
    "cut": lambda faults: faults.cut_connections(),
    "reset": lambda faults: faults.cut_connections(reset=True),
    "ended": lambda faults: faults.end_watches(),
    "half-a-line": lambda faults: faults.half_line(),
    "garbage": lambda faults: faults.garbage_line(),
    "internal-error": lambda faults: faults.error_event(500),
    "too-many-requests": lambda faults: faults.error_event(429),
}


@pytest.mark.parametrize("break_it", BREAKS.values(), ids=BREAKS)
def test_every_event_comes_once_whatever_breaks(embedded_apiserver, retry, break_it):
    """A watch that breaks between, or in the midst of, events goes on without a gap and without a repetition."""
    watcher = retry()
    for round_ in range(3):
        embedded_apiserver.create(config_map(f"before-{round_}"))
        assert name_of(take(watcher)) == f"before-{round_}"
        break_it(embedded_apiserver.faults)
        embedded_apiserver.create(config_map(f"after-{round_}"))
        assert name_of(take(watcher)) == f"after-{round_}"


def test_a_server_that_is_away_is_waited_for(embedded_apiserver, retry):
    """Refused connections are tried again until the server is back."""
    watcher = retry()
    embedded_apiserver.create(config_map("one"))
    assert name_of(take(watcher)) == "one"
    embedded_apiserver.faults.refuse_connections(0.2)
    embedded_apiserver.faults.cut_connections()
    embedded_apiserver.create(config_map("two"))
    assert name_of(take(watcher)) == "two"


def test_a_lost_history_ends_it_with_an_error(embedded_apiserver, retry):
    """Where the version is older than the server's history, the ERROR event with code 410 is the last."""
    old = embedded_apiserver.create(config_map("one"))["metadata"]["resourceVersion"]
    embedded_apiserver.create(config_map("two"))
    embedded_apiserver.compact()
    (last,) = retry(old)
    assert last.type == "ERROR"
    assert last.object["code"] == 410


def test_a_call_that_is_refused_as_expired_is_tried_again(embedded_apiserver, retry):
    """A 410 in answer to the watch call itself does not end it."""
    embedded_apiserver.faults.expired(on="watch", times=2)
    watcher = retry()
    embedded_apiserver.create(config_map("one"))
    assert name_of(take(watcher)) == "one"
    assert embedded_apiserver.faults.pending == []


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_ends_it_with_an_error(embedded_apiserver, retry, status):
    """Without the right to watch there is one ERROR event, with the server's Status."""
    embedded_apiserver.faults.answer(status, on="watch", times=None)
    (last,) = retry()
    assert last.type == "ERROR"
    assert last.object["code"] == status
    assert last.object["kind"] == "Status"


@pytest.mark.parametrize(
    "hang", [lambda faults: faults.hang(on="watch"), lambda faults: faults.freeze()], ids=["no-answer", "frozen-stream"]
)
def test_a_stop_does_not_wait_for_the_server(embedded_apiserver, retry, hang):
    """A request without an answer, and a stream in which nothing comes, are given up at once."""
    hang(embedded_apiserver.faults)
    watcher = retry()
    embedded_apiserver.requests.wait_for(1, verb="watch", timeout=DEADLINE)
    began = time.monotonic()
    watcher.stop()
    assert watcher.done.wait(PROMPT)
    assert time.monotonic() - began < PROMPT


def test_a_stop_does_not_wait_for_a_handshake(retry):
    """A server that takes the connection and then says nothing, not even in TLS, is given up at once."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(DEADLINE)
        configuration = client.Configuration(host=f"https://127.0.0.1:{silent.getsockname()[1]}")
        configuration.verify_ssl = False
        configuration.proxy = None
        with client.ApiClient(configuration) as api_client:
            watcher = retry("5", ListWatch.for_resource(api_client, "configmaps"))
            connection, _ = silent.accept()
            with connection:
                watcher.stop()
                assert watcher.done.wait(PROMPT)


def test_until_with_retry_over_http(embedded_apiserver, list_watch):
    """Conditions are met by events on both sides of a broken watch."""
    version = embedded_apiserver.create(config_map("one"))["metadata"]["resourceVersion"]
    embedded_apiserver.create(config_map("two"))
    embedded_apiserver.faults.cut_after(500)
    embedded_apiserver.update(config_map("two", "changed"))
    found = until_with_retry(
        version,
        list_watch,
        lambda event: event.type == "ADDED" and name_of(event) == "two",
        lambda event: event.type == "MODIFIED" and event.object["data"]["value"] == "changed",
        timeout=DEADLINE,
    )
    assert found is not None
    assert name_of(found) == "two"


def test_list_watch_until_over_http(embedded_apiserver, list_watch):
    """What is listed counts, and what comes behind the list is waited for."""
    embedded_apiserver.create(config_map("one"))

    def first(event: Event[Any]) -> bool:
        # By now the list is over.
        embedded_apiserver.create(config_map("two"))
        return name_of(event) == "one"

    found = list_watch_until(list_watch, first, lambda event: name_of(event) == "two", timeout=DEADLINE)
    assert found is not None
    assert (found.type, name_of(found)) == ("ADDED", "two")


def test_a_list_without_an_answer_is_given_up(embedded_apiserver, list_watch):
    """A list that hangs does not outlast the time-out, nor does its connection."""
    embedded_apiserver.faults.hang(on="list")
    began = time.monotonic()
    with pytest.raises(WatchTimeoutError):
        list_watch_until(list_watch, lambda event: True, timeout=0.2)
    assert time.monotonic() - began < PROMPT
