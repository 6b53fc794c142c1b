"""The validated options of an election."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from informer.leaderelection import LeaderElector


def do_nothing(*args: Any) -> None:
    return None


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (
            {"lease_duration": 10, "renew_deadline": 10},
            ValueError,
            "lease_duration must be greater than renew_deadline",
        ),
        ({"lease_duration": float("nan")}, ValueError, "lease_duration must be greater than renew_deadline"),
        ({"renew_deadline": 2.4, "retry_period": 2}, ValueError, "renew_deadline must be greater than retry_period"),
        ({"lease_duration": 5, "renew_deadline": 5, "retry_period": 5}, ValueError, "lease_duration must be greater"),
        (
            {"lease_duration": -1, "renew_deadline": -2, "retry_period": -3},
            ValueError,
            "lease_duration must be greater than zero",
        ),
        ({"renew_deadline": -2, "retry_period": -3}, ValueError, "renew_deadline must be greater than zero"),
        ({"retry_period": 0}, ValueError, "retry_period must be greater than zero"),
        ({"on_started_leading": None}, TypeError, "on_started_leading must be callable"),
        ({"on_stopped_leading": None, "on_new_leader": 1}, TypeError, "on_stopped_leading must be callable"),
        ({"on_new_leader": 1}, TypeError, "on_new_leader must be callable"),
        ({"lock": None}, TypeError, "lock must not be None"),
        ({"lock": ""}, ValueError, "identity is empty"),
    ],
    ids=str,
)
def test_invalid_options_are_refused(
    options: dict[str, Any], error: type[Exception], text: str, make_lock: Any
) -> None:
    """Go: TestLeaderElectionConfigValidation. Each mistake has its own message, in this order."""
    given = {"on_started_leading": do_nothing, "on_stopped_leading": do_nothing, "lock": "baz", **options}
    identity = given.pop("lock")
    with pytest.raises(error, match=text):
        LeaderElector(None if identity is None else make_lock(identity), **given)


def test_on_new_leader_is_optional(make_lock: Any) -> None:
    """client-go source. The elector works without it."""
    elector = LeaderElector(make_lock(), on_started_leading=do_nothing, on_stopped_leading=do_nothing)
    assert not elector.is_leader()
    assert elector.leader == ""
    assert elector.name == "foo/bar"


async def run_controller(stop: threading.Event) -> None:
    """Would never run: a call only makes a coroutine."""


def generate(stop: threading.Event) -> Iterator[None]:
    """Would never run either."""
    yield


class AsyncCall:
    """An object whose call is async."""

    async def __call__(self, *args: Any) -> None: ...


CALLBACKS: list[tuple[str, Any, str]] = [
    ("on_started_leading", run_controller, "is an async function.*asyncio.run"),
    ("on_started_leading", functools.partial(run_controller), "is an async function"),
    ("on_started_leading", AsyncCall(), "is an async function"),
    ("on_started_leading", generate, "is a generator function"),
    ("on_started_leading", lambda: None, "is called with 1 argument; .*lambda.* does not take that"),
    ("on_started_leading", lambda stop, leader: None, "is called with 1 argument"),
    ("on_started_leading", lambda stop, *, leader: None, "is called with 1 argument"),
    ("on_stopped_leading", AsyncCall(), "is an async function"),
    ("on_stopped_leading", lambda stop: None, "is called with no arguments"),
    ("on_new_leader", AsyncCall(), "is an async function"),
    ("on_new_leader", lambda: None, "is called with 1 argument"),
]


@pytest.mark.parametrize(("name", "function", "message"), CALLBACKS)
def test_callbacks_that_could_not_be_called_are_refused(
    make_election: Any, name: str, function: Any, message: str
) -> None:
    """When they are given: an elector that has won the lease must not find out then."""
    with pytest.raises(TypeError, match=rf"^{name} {message}"):
        make_election(**{name: function})
