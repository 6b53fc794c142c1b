"""`CacheFeed` without an informer: the stored form of objects, and the controller that is made for it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from informer.errors import KeyFuncError
from informer.handlers.processor import Processor
from informer.listwatch.source import as_source
from informer.objects.keys import meta_namespace_key
from informer.reflector.config import ReflectorConfig
from informer.shared import cache_feed
from informer.shared.cache_feed import CacheFeed
from informer.testing.fake_source import FakeControllerSource


def make(**options: Any) -> CacheFeed[Any]:
    options.setdefault("queue", "in_order")
    options.setdefault("key_func", meta_namespace_key)
    options.setdefault("indexers", {})
    options.setdefault("on_decode_error", None)
    processor = options.pop("processor", None) or Processor()
    config = ReflectorConfig(page_size=7)
    return CacheFeed(as_source(FakeControllerSource()), processor, config, name="mine", **options)


def test_a_transform_changes_the_stored_form() -> None:
    """With a transform objects are stored in entries, from which `unwrap` takes the user's form."""
    feed = make()
    assert feed.unwrap() is None
    feed.set_transform(lambda obj: obj)
    assert feed.unwrap() is not None
    feed.set_transform(None)
    assert feed.unwrap() is None


def test_the_reflectors_get_the_users_options_and_the_feeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's page size stays; resyncs come as often as the processor checks, and keys from the user's function."""
    made: list[ReflectorConfig] = []
    monkeypatch.setattr(
        cache_feed, "make_controller", lambda source, indexer, listeners, config, **_: made.append(config)
    )
    processor = Processor(resync_check_period=30)
    feed = make(processor=processor, key_func=lambda obj: obj["name"])
    feed.make_controller(lambda: None, lambda: None)
    (config,) = made
    assert (config.page_size, config.resync_period, config.watch_error_handler) == (7, 30, None)
    assert config.should_resync == processor.should_resync
    assert config.key_func({"name": "a"}) == "a"


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"queue": "newest"}, ValueError, 'queue must be "in_order" or "delta", not \'newest\''),
        ({"key_func": None}, TypeError, "key_func must be callable"),
        ({"key_func": asyncio.sleep}, TypeError, "key_func is an async function"),
        ({"on_decode_error": 3}, TypeError, "on_decode_error must be callable"),
    ],
    ids=["queue", "no-key-func", "async-key-func", "on-decode-error"],
)
def test_invalid_options_are_refused(options: Any, error: type[Exception], text: str) -> None:
    """The message names the option."""
    with pytest.raises(error, match=text):
        make(**options)


def test_a_key_has_to_be_a_string() -> None:
    """A user's key function that returns anything else raises at the object."""
    feed = make(key_func=lambda obj: 3)
    with pytest.raises(KeyFuncError, match="key_func must return a str, not a int"):
        feed.indexer.add({"metadata": {"name": "a"}})


def test_a_watch_error_handler_may_fail(caplog: pytest.LogCaptureFixture) -> None:
    """Its exception is logged and goes no further."""
    errors: list[Exception] = []

    def fail(error: Exception) -> None:
        errors.append(error)
        raise SystemExit

    feed, error = make(), OSError("no network")
    feed.watch_error_handler = fail
    (reflector,) = feed.make_controller(lambda: None, lambda: None).reflectors
    with caplog.at_level(logging.ERROR):
        feed._watch_failed(reflector, error)
    assert errors == [error]
    assert "watch_error_handler of informer mine failed" in caplog.text
