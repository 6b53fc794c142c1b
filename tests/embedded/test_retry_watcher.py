"""RetryWatcher and the functions that wait for conditions, over HTTP."""

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
from tests.support.waiting import DEADLINE, PROMPT
from watch import Event, RetryWatcher, WatchTimeoutError, list_watch_until, until_with_retry


def name_of(event: Event[Any]) -> str:
    return str(event.object["metadata"]["name"])


@pytest.fixture
def list_watch(embedded_apiserver: EmbeddedAPIServer) -> Iterator[Any]:
    with embedded_apiserver.api_client() as api_client:
        yield ListWatch.for_resource(api_client, "configmaps", model=dict)


@pytest.fixture
def retry(embedded_apiserver: EmbeddedAPIServer, list_watch: Any) -> Iterator[Callable[..., RetryWatcher[Any]]]:
    """Makes RetryWatchers without restart delay, by default from the server's current state; stopped when the test is over."""
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


@pytest.mark.parametrize("break_watch", BREAKS.values(), ids=BREAKS)
def test_each_event_is_delivered_once_across_breaks(embedded_apiserver, retry, break_watch):
    """A watch that breaks between or within events resumes without a missed or repeated event."""
    watcher = retry()
    for round_ in range(3):
        embedded_apiserver.create(config_map(f"before-{round_}"))
        assert name_of(take(watcher)) == f"before-{round_}"
        break_watch(embedded_apiserver.faults)
        embedded_apiserver.create(config_map(f"after-{round_}"))
        assert name_of(take(watcher)) == f"after-{round_}"


def test_connecting_is_retried_until_the_server_is_back(embedded_apiserver, retry):
    """Connection attempts are retried until the server accepts one."""
    watcher = retry()
    embedded_apiserver.create(config_map("one"))
    assert name_of(take(watcher)) == "one"
    embedded_apiserver.faults.refuse_connections(0.2)
    embedded_apiserver.faults.cut_connections()
    embedded_apiserver.create(config_map("two"))
    assert name_of(take(watcher)) == "two"


def test_expired_version_ends_with_an_error_event(embedded_apiserver, retry):
    """If the version is older than the server's history, an ERROR event with code 410 is the last event."""
    old = embedded_apiserver.create(config_map("one"))["metadata"]["resourceVersion"]
    embedded_apiserver.create(config_map("two"))
    embedded_apiserver.compact()
    (last,) = retry(old)
    assert last.type == "ERROR"
    assert last.object["code"] == 410


def test_watch_request_answered_with_410_is_retried(embedded_apiserver, retry):
    """A 410 in answer to the watch request itself is retried."""
    embedded_apiserver.faults.expired(on="watch", times=2)
    watcher = retry()
    embedded_apiserver.create(config_map("one"))
    assert name_of(take(watcher)) == "one"
    assert embedded_apiserver.faults.pending == []


@pytest.mark.parametrize("status", [401, 403])
def test_refusal_ends_with_an_error_event(embedded_apiserver, retry, status):
    """Without permission to watch there is one ERROR event, with the server's Status."""
    embedded_apiserver.faults.answer(status, on="watch", times=None)
    (last,) = retry()
    assert last.type == "ERROR"
    assert last.object["code"] == status
    assert last.object["kind"] == "Status"


@pytest.mark.parametrize(
    "hang", [lambda faults: faults.hang(on="watch"), lambda faults: faults.freeze()], ids=["no-answer", "frozen-stream"]
)
def test_a_stop_does_not_wait_for_the_server(embedded_apiserver, retry, hang):
    """`stop` closes a request that has no answer, and a stream that is silent, at once."""
    hang(embedded_apiserver.faults)
    watcher = retry()
    embedded_apiserver.requests.wait_for(1, verb="watch", timeout=DEADLINE)
    began = time.monotonic()
    watcher.stop()
    assert watcher.done.wait(PROMPT)
    assert time.monotonic() - began < PROMPT


def test_a_stop_does_not_wait_for_a_handshake(retry):
    """`stop` closes a connection to a server that accepts it and then sends nothing, not even a TLS handshake."""
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
    """One condition is met before the watch breaks, the next one after it."""
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
    """A listed object meets the first condition, an object created after the list the second."""
    embedded_apiserver.create(config_map("one"))

    def first(event: Event[Any]) -> bool:
        # The list has ended by now.
        embedded_apiserver.create(config_map("two"))
        return name_of(event) == "one"

    found = list_watch_until(list_watch, first, lambda event: name_of(event) == "two", timeout=DEADLINE)
    assert found is not None
    assert (found.type, name_of(found)) == ("ADDED", "two")


def test_list_without_an_answer_times_out(embedded_apiserver, list_watch):
    """A list that hangs ends at the time-out, and its connection is closed."""
    embedded_apiserver.faults.hang(on="list")
    began = time.monotonic()
    with pytest.raises(WatchTimeoutError):
        list_watch_until(list_watch, lambda event: True, timeout=0.2)
    assert time.monotonic() - began < PROMPT
