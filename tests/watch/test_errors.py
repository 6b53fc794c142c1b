"""The errors of the package, and reading a server's answer."""

from __future__ import annotations

import json
import pickle
import queue
from typing import Any

import pytest

import watch
from watch import (
    ApiError,
    BroadcasterShutdownError,
    ChannelClosedError,
    ChannelFullError,
    ConditionError,
    WatchClosedError,
    WatchError,
    WatchTimeoutError,
)
from watch.errors import as_api_error, parse_retry_after

TOO_LARGE = "Too large resource version: 10, current: 5"


class Answer(Exception):
    """An exception like the official client's ApiException."""

    def __init__(self, status: Any, reason: Any, body: Any = None, headers: Any = None) -> None:
        self.status, self.reason, self.body, self.headers = status, reason, body, headers


class Headers:
    """Headers that are not a mapping and ignore case, like those of http.client."""

    def get(self, name: str, default: Any = None) -> Any:
        return {"retry-after": "5"}.get(name.lower(), default)


def test_all_errors_are_one_family() -> None:
    """Every error is a WatchError; two are also errors of the standard library."""
    for error in (ApiError, ChannelClosedError, ChannelFullError, BroadcasterShutdownError, ConditionError):
        assert issubclass(error, WatchError)
    assert issubclass(WatchTimeoutError, WatchError)
    assert issubclass(WatchTimeoutError, TimeoutError)
    assert issubclass(ChannelFullError, queue.Full)
    assert issubclass(WatchClosedError, WatchError)


def test_watch_exports_its_errors() -> None:
    """`watch` exports all of its errors."""
    for name in ("ApiError", "ChannelFullError", "ConditionError", "WatchClosedError", "WatchTimeoutError"):
        assert name in watch.__all__


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ApiError(410, "Expired", "too old"), "410 Expired: too old"),
        (ApiError(404), "404"),
        (ApiError(0, "Expired"), "Expired"),
        (ApiError(0, "", "only words"), "API error: only words"),
        (ApiError(0), "API error"),
    ],
    ids=str,
)
def test_the_text_of_an_answer(error: ApiError, text: str) -> None:
    """The text has the status, the reason and the message, where there are any."""
    assert str(error) == text


def test_an_answer_survives_pickling() -> None:
    """Pickling keeps every attribute."""
    error = ApiError(429, "TooManyRequests", "slow down", 2.5, details={"causes": [{"reason": "x"}]})
    copied = pickle.loads(pickle.dumps(error))
    assert type(copied) is ApiError
    assert vars(copied) == vars(error)


@pytest.mark.parametrize("kind", [WatchClosedError, WatchTimeoutError, ConditionError])
def test_a_last_event_survives_pickling(kind: type[WatchClosedError]) -> None:
    """Pickling keeps `last_event`, which is None by default."""
    copied = pickle.loads(pickle.dumps(kind("text", last_event=("ADDED", 1))))
    assert (type(copied), str(copied), copied.last_event) == (kind, "text", ("ADDED", 1))
    assert kind("text").last_event is None


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(
            {"code": 410, "reason": "Expired", "message": "m", "details": {"retryAfterSeconds": 3}},
            (410, "Expired", "m", 3.0),
            id="whole",
        ),
        pytest.param({}, (0, "", "", None), id="empty"),
        pytest.param(None, (0, "", "", None), id="null"),
        pytest.param("text", (0, "", "", None), id="text"),
        pytest.param([{"code": 1}], (0, "", "", None), id="list"),
        pytest.param({"code": "410", "reason": 5, "message": {}, "details": []}, (0, "", "", None), id="odd-types"),
        pytest.param({"code": True, "reason": None, "message": None}, (0, "", "", None), id="nulls"),
        pytest.param({"details": {"retryAfterSeconds": True}}, (0, "", "", None), id="true-seconds"),
        pytest.param({"details": {"retryAfterSeconds": "5"}}, (0, "", "", None), id="text-seconds"),
        pytest.param({"details": {"retryAfterSeconds": 0}}, (0, "", "", None), id="no-seconds"),
        pytest.param({"details": {"retryAfterSeconds": -5}}, (0, "", "", None), id="negative-seconds"),
        pytest.param({"details": {"retryAfterSeconds": 10**400}}, (0, "", "", None), id="huge-seconds"),
        pytest.param({"details": {"retryAfterSeconds": float("inf")}}, (0, "", "", None), id="infinite-seconds"),
        pytest.param({"details": {"retryAfterSeconds": float("nan")}}, (0, "", "", None), id="nan-seconds"),
        pytest.param({"code": 10**30}, (0, "", "", None), id="huge-code"),
    ],
)
def test_any_status_becomes_an_answer(status: Any, expected: tuple[Any, ...]) -> None:
    """A malformed Status does not raise: fields of the expected type are read."""
    error = ApiError.from_status(status)
    assert (error.status, error.reason, error.message, error.retry_after) == expected


def test_http_fills_in_what_a_status_lacks() -> None:
    """The HTTP status replaces a missing code; the Retry-After header takes precedence over the body."""
    error = ApiError.from_status({"details": {"retryAfterSeconds": 3}}, http_status=429, retry_after=7)
    assert (error.status, error.retry_after) == (429, 7)
    assert ApiError.from_status({"code": 410}, http_status=500).status == 410


@pytest.mark.parametrize(
    "error",
    [
        ApiError(410, "Expired", "too old"),
        ApiError(429, "TooManyRequests", "", 2),
        ApiError(504, "Timeout", TOO_LARGE, 1, details={"causes": [{"reason": "ResourceVersionTooLarge"}]}),
        ApiError(0),
    ],
    ids=str,
)
def test_an_answer_as_a_status_and_back(error: ApiError) -> None:
    """An error made from an error's Status has the same attributes, retry_after included."""
    status = json.loads(json.dumps(error.to_status()))
    assert (status["kind"], status["apiVersion"], status["status"]) == ("Status", "v1", "Failure")
    again = ApiError.from_status(status)
    assert str(again) == str(error)
    assert again.retry_after == error.retry_after
    assert again.is_too_large_resource_version == error.is_too_large_resource_version


def test_a_status_does_not_share_its_details() -> None:
    """Changing a Status does not change the error that it came from."""
    error = ApiError(500, details={"name": "x"}, retry_after=1.5)
    error.to_status()["details"]["name"] = "y"
    assert error.details == {"name": "x"}
    assert error.to_status()["details"]["retryAfterSeconds"] == 2


@pytest.mark.parametrize(
    ("error", "expired", "too_large", "too_many"),
    [
        pytest.param(ApiError(410), True, False, False, id="410"),
        pytest.param(ApiError(0, "Expired"), True, False, False, id="expired"),
        pytest.param(ApiError(0, "Gone"), True, False, False, id="gone"),
        pytest.param(ApiError(429), False, False, True, id="429"),
        pytest.param(ApiError(0, "TooManyRequests"), False, False, True, id="too-many"),
        pytest.param(ApiError(504, "Timeout"), False, False, False, id="timeout"),
        pytest.param(ApiError(504, "Timeout", TOO_LARGE), False, True, False, id="too-large-message"),
        pytest.param(ApiError(500, "InternalError", TOO_LARGE), False, False, False, id="message-of-another"),
        pytest.param(
            ApiError(504, "Timeout", details={"causes": [{"reason": "ResourceVersionTooLarge"}]}),
            False,
            True,
            False,
            id="too-large-cause",
        ),
        pytest.param(
            ApiError(504, "Timeout", details={"causes": [{"message": "Too large resource version"}]}),
            False,
            True,
            False,
            id="too-large-cause-message",
        ),
        pytest.param(
            ApiError(504, "Timeout", details={"causes": ["x", None, {"reason": ["list"]}, {}]}),
            False,
            False,
            False,
            id="odd-causes",
        ),
        pytest.param(ApiError(504, "Timeout", details={"causes": "x"}), False, False, False, id="no-causes"),
    ],
)
def test_what_an_answer_means(error: ApiError, expired: bool, too_large: bool, too_many: bool) -> None:
    """client-go source. Code, reason and cause tell an expired, a too large version and too many requests."""
    assert error.is_expired is expired
    assert error.is_too_large_resource_version is too_large
    assert error.is_too_many_requests is too_many


def test_an_official_exception_is_an_answer() -> None:
    """The official client's exception is recognised by its attributes. Its body takes precedence over HTTP's status."""
    body = json.dumps({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})
    for text in (body, body.encode()):
        error = as_api_error(Answer(500, "Internal Server Error", text, {"Retry-After": "3"}))
        assert error is not None
        assert (error.status, error.reason, error.message, error.retry_after) == (410, "Expired", "too old", 3.0)


@pytest.mark.parametrize(
    "body", [None, "", "not json", b"\xff", "[" * 100_000, 5, "null", '"text"'], ids=lambda body: repr(body)[:10]
)
def test_an_answer_without_a_status(body: Any) -> None:
    """Where the body is not a Status, HTTP's status and reason are used."""
    error = as_api_error(Answer(503, "Service Unavailable", body))
    assert error is not None
    assert (error.status, error.reason, error.message) == (503, "Service Unavailable", "")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (None, None),
        ({}, None),
        ({"Retry-After": "5"}, 5.0),
        ({"retry-after": "5"}, 5.0),
        (Headers(), 5.0),
        ([("Retry-After", "5")], None),
        ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, None),
    ],
    ids=["none", "empty", "mapping", "lower-case", "http.client", "list", "date"],
)
def test_headers_of_any_kind(headers: Any, seconds: float | None) -> None:
    """Retry-After is found in any form of headers, and may be missing."""
    error = as_api_error(Answer(429, "Too Many Requests", None, headers))
    assert error is not None
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    "error", [ValueError("x"), OSError(5, "x"), Answer("410", "x"), Answer(None, None)], ids=lambda e: type(e).__name__
)
def test_other_exceptions_are_no_answers(error: Exception) -> None:
    """An exception without an HTTP status is not a server's answer."""
    assert as_api_error(error) is None


def test_an_answer_is_itself() -> None:
    """An ApiError is returned as it is."""
    error = ApiError(410)
    assert as_api_error(error) is error


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("5", 5.0), (" 1.5 ", 1.5), (0, 0.0), ("-1", None), ("nan", None), ("inf", None), ("1e9", None), (10**400, None)],
)
def test_retry_after(value: Any, seconds: float | None) -> None:
    """Seconds of up to a day are read; any other value is ignored."""
    assert parse_retry_after(value) == seconds
