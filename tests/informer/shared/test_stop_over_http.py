"""Stopping an informer of a real server in every state: within a second, with all threads, and twice."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from informer import Backoff, ListWatch, SharedInformer
from tests.support.waiting import DEADLINE
from watch import Channel

PROMPT = 1.0

POD = {"metadata": {"name": "a", "namespace": "ns", "resourceVersion": "5"}}


def listed(**metadata: Any) -> dict[str, Any]:
    return {
        "kind": "PodList",
        "apiVersion": "v1",
        "metadata": {"resourceVersion": "5", **metadata},
        "items": [POD],
    }


def followed(serve: Any, state: str, reached: Channel[str]) -> SharedInformer[Any]:
    """Returns an informer of a server that brings it into a state, and puts the state into `reached`."""

    def handler(request: Any, connection: Any) -> None:
        if state == "backoff":
            connection.answer({"kind": "Status", "code": 500}, 500)
        elif "continue" in request.query or ("watch" in request.query and state == "read"):
            connection.begin()
            reached.put(state)
            connection.hang()
        elif "watch" in request.query:
            connection.begin()
            connection.hang()
        else:
            connection.answer(listed(**({"continue": "C1"} if state == "page 2" else {})))

    return SharedInformer(
        ListWatch.for_resource(serve(handler).client(), "pods"),
        name="reached",
        watch_list=False,
        backoff=Backoff(initial=60, maximum=60),
        watch_error_handler=lambda informer, error: reached.put(state),
    )


def ends_promptly(informer: SharedInformer[Any], *, drain: bool = False) -> None:
    """Checks that a stop returns in time, leaves no thread, and can be repeated."""
    for _ in range(2):
        begun = time.monotonic()
        assert informer.stop(PROMPT, drain=drain) is True
        assert time.monotonic() - begun < PROMPT
    assert not [thread.name for thread in threading.enumerate() if "reached" in thread.name]


@pytest.mark.parametrize("drain", [False, True])
@pytest.mark.parametrize("state", ["before", "page 2", "backoff", "read"])
def test_a_stop_from_outside(serve: Any, state: str, drain: bool) -> None:
    """Before the start, within a list, in the wait after a failure, and in a silent watch."""
    reached: Channel[str] = Channel(None)
    informer = followed(serve, state, reached)
    informer.add_event_handler(on_add=lambda obj: None)
    if state != "before":
        informer.start()
        assert reached.get(DEADLINE) == state
    ends_promptly(informer, drain=drain)


def test_a_stop_while_a_handler_is_called(serve: Any) -> None:
    """It waits for the call until the time-out, and without limit when asked to."""
    entered, go = Channel[str](None), threading.Event()

    def wait(obj: Any) -> None:
        entered.put(obj.name)
        go.wait(DEADLINE)

    informer = followed(serve, "handler", Channel(None))
    informer.add_event_handler(on_add=wait)
    informer.start()
    assert entered.get(DEADLINE) == "a"
    assert informer.stop(0.01) is False
    go.set()
    ends_promptly(informer)


def test_a_stop_by_a_handler(serve: Any) -> None:
    """It does not wait for itself, and ends the blocked watch."""
    answers: Channel[bool] = Channel(None)
    informer = followed(serve, "handler", Channel(None))
    informer.add_event_handler(on_add=lambda obj: answers.put(informer.stop(None)))
    informer.start()
    assert answers.get(DEADLINE) is False
    ends_promptly(informer)
