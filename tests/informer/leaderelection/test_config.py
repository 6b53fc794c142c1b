"""The validated options of an election."""

from __future__ import annotations

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
