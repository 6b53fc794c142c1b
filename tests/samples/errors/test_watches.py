"""Messages of docs/errors.md about watches outside of informers, each in full."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from informer import ListWatch, Object, ObjectList, informer_watcher
from informer.testing import EmbeddedAPIServer, FakeControllerSource
from tests.support.messages import check_logged, check_raised
from tests.support.objects import pod
from tests.support.waiting import DEADLINE
from watch import (
    ApiError,
    Event,
    EventType,
    FakeWatcher,
    ListOptions,
    RaceFreeFakeWatcher,
    RetryWatcher,
    StreamWatcher,
    filter_watch,
    until,
)
from watch.json_decoder import JSONDecoder
from watch.request_scope import RequestScope


class Source:
    """A watch function that does one thing after the other, and then opens watches in which nothing happens."""

    def __init__(self, *steps: Callable[[], Any]) -> None:
        self._steps = [*steps]

    def watch(self, options: ListOptions) -> Any:
        return self._steps.pop(0)() if self._steps else RaceFreeFakeWatcher()


def raising(error: Exception) -> Callable[[], Any]:
    def step() -> Any:
        raise error

    return step


class BrokenWatcher(FakeWatcher[Any]):
    """A watcher that raises when it is read, and when it is stopped."""

    def result_chan(self) -> Any:
        raise LookupError("cannot be read")

    def stop(self) -> None:
        raise LookupError("cannot be stopped")


def error_without_status() -> FakeWatcher[Any]:
    watcher: RaceFreeFakeWatcher[Any] = RaceFreeFakeWatcher()
    watcher.error(7)
    return watcher


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (raising(ConnectionError("refused")), "watching from 5 failed: refused: trying again"),
        (lambda: None, "watching from 5 failed: the watch function returned None: trying again"),
        (BrokenWatcher, "reading a watch failed: trying again from 5"),
        (BrokenWatcher, "stopping a watch failed"),
        (
            error_without_status,
            "a watch sent an ERROR event with an object of type int instead of a Status: trying again",
        ),
        (
            raising(ApiError(403, "Forbidden", "pods is forbidden")),
            "watching failed, and is not tried again: 403 Forbidden: pods is forbidden (check the credentials and the right "
            "to watch)",
        ),
    ],
)
def test_a_retry_watcher_logs_why_it_watches_again(
    step: Callable[[], Any], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log gives the reason for watching again, or for ending."""
    watcher: RetryWatcher[Any] = RetryWatcher("5", Source(step), min_restart_delay=0.01)
    with watcher:
        watcher.result_chan()
        check_logged(caplog, message)


def test_an_object_without_a_version_ends_a_retry_watcher() -> None:
    """The next watch could not begin after it."""
    inner: RaceFreeFakeWatcher[Any] = RaceFreeFakeWatcher()
    inner.add({"metadata": {"name": "a"}})
    watcher: RetryWatcher[Any] = RetryWatcher("5", Source(lambda: inner))
    with watcher:
        event = watcher.result_chan().get(timeout=DEADLINE)
    assert event.type == EventType.ERROR
    assert event.object["message"] == (
        "Internal error occurred: retryWatcher: object of type dict doesn't support resourceVersion, so the watch could not be "
        "resumed: use an informer, which lists again"
    )


def test_a_negative_time_out(caplog: pytest.LogCaptureFixture) -> None:
    """A negative time-out counts as 0, with a warning."""
    inner: RaceFreeFakeWatcher[Any] = RaceFreeFakeWatcher()
    inner.add(1)
    assert until(inner, lambda event: True, timeout=-1) == Event(EventType.ADDED, 1)
    check_logged(caplog, "the time-out is negative: -1 s is treated as 0")


def test_a_filter_function_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """The watch ends with an ERROR event."""
    inner: RaceFreeFakeWatcher[Any] = RaceFreeFakeWatcher()
    inner.add(1)
    watcher = filter_watch(inner, lambda event: event.object["name"])
    event = watcher.result_chan().get(timeout=DEADLINE)
    assert event.object["message"] == "a filtered watch failed: 'int' object is not subscriptable"
    check_logged(caplog, "a filtered watch failed: its filter function raised an exception")
    watcher.stop()


def test_a_reporter_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """The ERROR event has the Status that it would have without a reporter."""

    class Broken:
        def decode(self) -> Event[Any]:
            raise ValueError("not an event")

        def close(self) -> None: ...

    watcher: StreamWatcher[Any] = StreamWatcher(Broken(), raising_reporter)
    (event,) = watcher.next_batch()
    assert event.object["message"].endswith("unable to decode an event from the watch stream: not an event")
    check_logged(caplog, "the reporter of a StreamWatcher raised an exception: sending the default Status")
    watcher.stop()


def raising_reporter(error: Exception) -> Any:
    raise KeyError("of the reporter")


def test_a_response_that_cannot_be_closed(caplog: pytest.LogCaptureFixture) -> None:
    """The other requests of the scope are cancelled all the same."""
    scope = RequestScope()
    scope.on_cancel(raising_close)
    scope.cancel()
    check_logged(caplog, "closing a cancelled request failed")


def raising_close() -> None:
    raise OSError("cannot be closed")


def test_a_watch_that_has_ended() -> None:
    """Reading a watch that has ended raises."""
    watcher = informer_watcher(FakeControllerSource())
    watcher.stop()
    check_raised(lambda: watcher.next_batch(DEADLINE), "the watch has ended")
    assert watcher.done.wait(DEADLINE)


@dataclass
class Spec:
    nodeName: int


@dataclass
class WrongPod:
    """A model whose field has another type than in the API."""

    spec: Spec


@pytest.fixture
def server() -> Iterator[EmbeddedAPIServer]:
    with EmbeddedAPIServer() as made:
        made.create(pod("a", node="n"))
        yield made


def test_objects_that_a_model_cannot_read(server: EmbeddedAPIServer, caplog: pytest.LogCaptureFixture) -> None:
    """A watch leaves them out, with or without an informer behind it."""
    reason = "ValidationError at spec.nodeName: Expected `int`, got `str`"
    with server.api_client() as api_client:
        list_watch: ListWatch[Any] = ListWatch.for_resource(api_client, "pods", model=WrongPod)
        with informer_watcher(list_watch) as watched:
            watched.result_chan()
            check_logged(caplog, f"informer <...> left out default/a: it does not decode ({reason})")
        with list_watch.watch(ListOptions(resource_version="0")) as watcher:
            watcher.result_chan()
            server.create(pod("b", node="n"))
            check_logged(caplog, f"pods left out: default/b does not decode ({reason})")


class Unreadable(FakeControllerSource):
    """A source of which no object can be shown to users."""

    @staticmethod
    def unwrap(obj: Any) -> Any:
        raise ValueError("secret words")

    def list(self, options: Any = None) -> Any:
        page = super().list(options)
        return ObjectList([Object.from_dict(obj) for obj in page.items], page.resource_version)


def test_an_object_that_a_watch_cannot_show(caplog: pytest.LogCaptureFixture) -> None:
    """The watch leaves the object out and logs it; the informer has stored it."""
    source = Unreadable()
    source.add({"metadata": {"name": "a"}})
    with informer_watcher(source) as watcher:
        watcher.result_chan()
        check_logged(caplog, "the watch left out a: it does not decode (ValueError)")
    assert watcher.done.wait(DEADLINE)


def test_an_error_that_is_too_large() -> None:
    """An ERROR event of a server, of which the beginning of the message is kept."""

    class Response:
        """A response with one event."""

        def read1(self, size: int) -> bytes:
            return line

        def close(self) -> None:
            """Does nothing: the response has no connection."""

    status = {"kind": "Status", "code": 500, "message": "boom", "details": {"causes": [{}] * 30_000}}
    line = json.dumps({"type": "ERROR", "object": status}, separators=(",", ":")).encode() + b"\n"
    (event, *_) = JSONDecoder(Response()).decode_batch()
    size = len(json.dumps(status, separators=(",", ":")))
    assert event.object["message"] == f"the server sent an error of {size} bytes in place of a short Status: boom"
