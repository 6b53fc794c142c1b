"""The options of a reflector: their validation, and the three places that name them."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest

from informer import Backoff
from informer.reflector.config import ReflectorConfig, ReflectorOptions, TuningOptions, config_from


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"watch_list": "yes"}, "watch_list", id="watch-list"),
        pytest.param({"page_size": -1}, "page_size", id="page-size"),
        pytest.param({"max_objects": 0}, "max_objects must be 1 or more, or None", id="max-objects"),
        pytest.param({"watch_timeout": (10, 5)}, "watch_timeout", id="watch-timeout-order"),
        pytest.param({"watch_timeout": (0, 5)}, "watch_timeout", id="watch-timeout-zero"),
        pytest.param({"watch_timeout": (5,)}, "watch_timeout", id="watch-timeout-length"),
        pytest.param({"silence_timeout": 0}, "silence_timeout", id="silence-timeout"),
        pytest.param({"resync_period": -1}, "resync_period", id="resync-period"),
    ],
)
def test_invalid_values_are_refused(options: Any, message: str) -> None:
    """The error names the option."""
    with pytest.raises(ValueError, match=message):
        ReflectorConfig(**options)


def test_limits_may_be_switched_off() -> None:
    """None for the number of objects, and 0 for the page size and the resync period, are valid."""
    config = ReflectorConfig(max_objects=None, page_size=0, resync_period=0)
    assert (config.max_objects, config.page_size, config.resync_period) == (None, 0, 0)


def test_every_field_is_an_option() -> None:
    """The keyword arguments of a reflector are the fields of its config."""
    fields = {field.name for field in dataclasses.fields(ReflectorConfig)}
    assert set(ReflectorOptions.__annotations__) == fields
    assert set(TuningOptions.__annotations__) < fields


def test_a_config_does_not_change() -> None:
    """Several reflectors may share one config."""
    config: Any = ReflectorConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.page_size = 1


def test_options_make_a_config() -> None:
    """Options that are not given have the defaults of `ReflectorConfig`."""
    backoff = Backoff(1, 2)
    assert config_from(None, {"backoff": backoff}) == ReflectorConfig(backoff=backoff)


def test_a_given_config_is_used_unchanged() -> None:
    """It is not copied."""
    config = ReflectorConfig(page_size=7)
    assert config_from(config, {}) is config


def test_a_config_and_options_together_are_refused() -> None:
    """The error names the options, which would have been ignored."""
    with pytest.raises(TypeError, match="a config or options, not both: page_size"):
        config_from(ReflectorConfig(), {"page_size": 1})


def test_an_unknown_option_is_refused() -> None:
    """A misspelt option is a TypeError, as for any function."""
    options: Any = {"pagesize": 1}
    with pytest.raises(TypeError, match="pagesize"):
        config_from(None, options)


@pytest.mark.parametrize(
    ("silence_timeout", "first"),
    [(75.0, 130.0), (62.0, 130.0), (200.0, 200.0), (61.5, 61.5), (60.0, 60.0), (0.5, 0.5)],
)
def test_a_new_watch_may_be_silent_for_longer(silence_timeout: float, first: float) -> None:
    """A server may omit the first bookmark. A time-out below the period of bookmarks is meant as it is."""
    config = ReflectorConfig(silence_timeout=silence_timeout)

    class Fixed(random.Random):
        def __init__(self, value: float) -> None:
            super().__init__()
            self.value = value

        def random(self) -> float:
            return self.value

    assert config.silence_timeouts(Fixed(0.0)) == (first, silence_timeout)
    assert config.silence_timeouts(Fixed(0.5)) == pytest.approx((first * 1.05, silence_timeout * 1.05))


def test_the_default_silence_outlasts_the_bookmarks_of_a_server() -> None:
    """At most 61.5 seconds between two were measured, and 121.6 before a first one."""
    first, later = ReflectorConfig().silence_timeouts(random.Random(1))
    assert 121.6 < first < 150
    assert 61.5 < later < 90
