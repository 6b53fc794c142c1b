"""When the server's first object contradicts a saved state, and when a restored state has caught up."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest

from informer import Object, ObjectList
from informer.cache.snapshot_file import SavedState
from informer.objects.entry import Undecodable
from informer.reflector.resumption import Resumption
from informer.reflector.state import ReflectorState, Step
from watch.errors import ApiError


def stored(name: str, version: str, uid: str = "u", api_version: str = "v1") -> Object:
    return Object.from_dict(
        {
            "apiVersion": api_version,
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "ns", "uid": uid, "resourceVersion": version},
        }
    )


class Setting:
    """A resumption from objects a and b at version 20, and what it was joined to."""

    def __init__(self, *items: Object) -> None:
        self.state = ReflectorState(watch_list=False, page_size=500)
        self.target, self.health = Mock(), Mock()
        saved = SavedState([*items], "20")
        self.resumption = Resumption(lambda: saved, "pods", self.state, self.target, Mock(), self.health)
        self.resumption.begin()

    def confirm(self, *found: Any, version: str = "30", more: str | None = None) -> Exception | None:
        return self.resumption.confirmed(ObjectList([*found], version, more))


@pytest.fixture
def setting() -> Setting:
    return Setting(stored("a", "10"), stored("b", "20"))


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ([stored("a", "9")], "it lists an older object with another uid or resourceVersion"),
        ([stored("a", "10", uid="other")], "it lists an older object with another uid or resourceVersion"),
        ([stored("c", "15")], "it lists an older object that the snapshot lacks"),
        ([stored("a", "10", api_version="v2")], "it lists another apiVersion or kind"),
        ([stored("c", "25", api_version="v2")], "it lists another apiVersion or kind"),
        ([object()], "an object cannot be compared: KeyFuncError"),
        ([], "it lists no object"),
    ],
)
def test_a_contradicted_state_is_not_used(
    setting: Setting, caplog: pytest.LogCaptureFixture, found: list[Any], reason: str
) -> None:
    error = setting.confirm(*found)
    assert isinstance(error, ApiError)
    assert error.message == f"the snapshot is not used: {reason}"
    assert error.is_too_large_resource_version
    assert setting.target.method_calls == []
    text = "as after a restore of etcd or in another cluster: listing"
    assert f"pods: the snapshot does not fit the server ({reason}), {text}" in caplog.text
    assert setting.state.confirm_failed(error).step is Step.LIST


@pytest.mark.parametrize(
    "found",
    [
        [stored("a", "10")],
        [stored("a", "25")],
        [stored("c", "25")],
        [Undecodable("a", "ns", "u", "10", b"", ValueError())],
    ],
)
def test_a_state_that_may_be_earlier_is_stored(setting: Setting, found: list[Any]) -> None:
    assert setting.confirm(*found) is None
    assert [call[0] for call in setting.target.method_calls] == ["restore"]
    assert setting.state.is_resuming


def test_an_empty_page_of_more_says_nothing(setting: Setting) -> None:
    assert setting.confirm(more="token") is None


def test_an_empty_list_fits_an_empty_state() -> None:
    assert Setting().confirm() is None


def test_it_has_caught_up_with_the_version_at_the_confirmation(setting: Setting) -> None:
    setting.confirm(stored("a", "10"))
    setting.resumption.stored("29")
    setting.resumption.stored("")
    assert setting.state.is_resuming
    assert setting.resumption.patience(100) < 1
    setting.resumption.stored("30")
    assert not setting.state.is_resuming
    assert [call[0] for call in setting.target.method_calls] == ["restore", "caught_up"]
    setting.health.record_sync.assert_called_once_with()
    assert setting.resumption.patience(100) == 100


def test_it_has_caught_up_at_once_if_nothing_has_changed(setting: Setting) -> None:
    setting.confirm(stored("a", "10"), version="20")
    assert not setting.state.is_resuming


def test_it_has_caught_up_when_the_watch_is_quiet(setting: Setting) -> None:
    setting.confirm(stored("a", "10"))
    assert setting.resumption.was_quiet()
    assert not setting.resumption.was_quiet()


@pytest.mark.parametrize("status", [400, 403, 404, 405, 410, 500])
def test_a_refused_watch_is_followed_by_a_list(setting: Setting, status: int) -> None:
    setting.confirm(stored("a", "10"))
    assert setting.state.watch_call_failed(ApiError(status, "Expired" if status == 410 else "", "")).step is Step.LIST


def test_an_error_event_or_an_end_is_followed_by_a_list(setting: Setting) -> None:
    for outcome in (
        lambda state: state.watch_error(ApiError(410, "Expired", "")),
        lambda state: state.watch_ended(events=3, seconds=5),
    ):
        setting.state.is_resuming = True
        assert outcome(setting.state).step is Step.LIST


@pytest.mark.parametrize("error", [ConnectionError(), ApiError(429, "TooManyRequests", "")])
def test_a_failed_connection_is_retried(setting: Setting, error: Exception) -> None:
    assert setting.state.confirm_failed(error).step is Step.CONFIRM
    assert setting.state.begin().step is Step.CONFIRM
    setting.confirm(stored("a", "10"))
    assert setting.state.watch_call_failed(error).step in (Step.CONFIRM, Step.WATCH)
    assert setting.state.is_resuming


def test_a_server_that_cannot_confirm_is_listed(setting: Setting) -> None:
    assert setting.state.confirm_failed(ApiError(400, "BadRequest", "")).step is Step.LIST
