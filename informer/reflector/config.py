"""The options of a reflector, validated once in one place."""

from __future__ import annotations

import random as stdlib_random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from typing_extensions import TypedDict

from informer.cache.snapshot_file import SavedState
from informer.objects.entry import Undecodable
from informer.objects.keys import meta_namespace_key
from informer.reflector.backoff import Backoff
from watch.clock import SYSTEM_CLOCK, Clock
from watch.framing import DEFAULT_MAX_LINE_BYTES

__all__ = ["ReflectorConfig", "ReflectorOptions", "TuningOptions", "config_from"]

DEFAULT_PAGE_SIZE = 500
# kube-apiserver sends a bookmark every minute. Measured on 1.37.2 with quiet watches of 300 and 600 s: at most 61.5 seconds
# between two messages; but up to 121.6 before the first bookmark, if the resource has not changed since the server's start
# and etcd has its default `--watch-progress-notify-interval`.
_BOOKMARK_PERIOD = 61.5
_FIRST_BOOKMARK = 130.0
# More objects than fit into the largest supported etcd (8 GiB), at some 800 bytes per object.
DEFAULT_MAX_OBJECTS = 10_000_000


class TuningOptions(TypedDict, total=False):
    """The options of a reflector that an informer accepts, too; `ReflectorConfig` documents them."""

    watch_list: bool | Literal["auto"]
    page_size: int
    backoff: Backoff | None
    watch_timeout: tuple[float, float]
    silence_timeout: float
    max_line_bytes: int
    max_objects: int | None
    clock: Clock
    random: stdlib_random.Random | None


class ReflectorOptions(TuningOptions, total=False):
    """All fields of a `ReflectorConfig`, as keyword arguments."""

    resync_period: float
    should_resync: Callable[[], bool] | None
    watch_error_handler: Callable[[Any, Exception], object] | None
    on_undecodable: Callable[[Undecodable], object] | None
    doubt_versions: Callable[[bool], object] | None
    key_func: Callable[[Any], str]
    expected_type: type | tuple[str, str] | None
    saved_state: Callable[[], SavedState | None] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReflectorConfig:
    """The options of a `Reflector`, validated.

    Args:
        watch_list: whether to get lists as a stream (WatchList, KEP-3157). "auto" lists, which costs the server
            less, unless the list-watch is made of a user's functions that support watch lists. If the server cannot stream
            lists, the reflector lists instead.
        page_size: objects per page of a list; 0 asks for everything in one page.
        backoff: the waits after failures; None is `Backoff()`.
        watch_timeout: (shortest, longest) duration of a watch in seconds; the server is asked to end each watch after a random
            time in this range.
        silence_timeout: seconds without a byte after which a watch is abandoned and resumed, plus up to 10 % jitter. A server
            sends a bookmark at least once a minute, but may omit a watch's first one. So a new watch has 130 seconds if this
            is more than a minute.
        max_line_bytes: the longest event or object, in bytes, that is accepted from a server.
        max_objects: the most objects that are accepted from a server; None for no limit. An empty page counts as one object.
        clock: measures resync periods and the waits within a round.
        random: the source of jitter; None makes one.
        resync_period: seconds between two resyncs of the target; 0 for none.
        should_resync: called before each resync, and returns whether it is due; None always resyncs.
        watch_error_handler: called with (reflector, error) for each failed request that a wait follows: one that has ended a
            round of listing and watching, and one that is retried within it. None logs them.
        on_undecodable: called with each object that does not decode; None logs it.
        doubt_versions: called with True when the server's history has gone back, so that a resourceVersion may stand for
            another state than before, and with False when the list that follows is stored. None ignores it.
        key_func: returns an object's key.
        expected_type: the class or the (apiVersion, kind) of the objects; others in events are skipped. None accepts any.
        saved_state: called once, on the reflector's thread, for a state from which to continue instead of a first list; it
            returns None if there is none, and does not raise.

    Raises:
        ValueError: a value is not allowed; the message names the option.
    """

    watch_list: bool | Literal["auto"] = "auto"
    page_size: int = DEFAULT_PAGE_SIZE
    backoff: Backoff | None = field(default_factory=Backoff)
    watch_timeout: tuple[float, float] = (300, 600)
    silence_timeout: float = 75
    max_line_bytes: int = DEFAULT_MAX_LINE_BYTES
    max_objects: int | None = DEFAULT_MAX_OBJECTS
    clock: Clock = SYSTEM_CLOCK
    random: stdlib_random.Random | None = None
    resync_period: float = 0
    should_resync: Callable[[], bool] | None = None
    watch_error_handler: Callable[[Any, Exception], object] | None = None
    on_undecodable: Callable[[Undecodable], object] | None = None
    doubt_versions: Callable[[bool], object] | None = None
    key_func: Callable[[Any], str] = meta_namespace_key
    expected_type: type | tuple[str, str] | None = None
    saved_state: Callable[[], SavedState | None] | None = None

    def __post_init__(self) -> None:
        shortest_longest: Any = self.watch_timeout
        if self.watch_list not in (True, False, "auto"):
            raise ValueError(f'watch_list must be True, False or "auto", not {self.watch_list!r}')
        if self.page_size < 0:
            raise ValueError(f"page_size must be 0 or more, not {self.page_size}")
        if len(shortest_longest) != 2 or not 0 < shortest_longest[0] <= shortest_longest[1]:
            raise ValueError(f"watch_timeout must be (shortest, longest) in seconds, not {shortest_longest!r}")
        if self.silence_timeout <= 0:
            raise ValueError(f"silence_timeout must be more than 0 seconds, not {self.silence_timeout}")
        if self.resync_period < 0:
            raise ValueError(f"resync_period must be 0 or more seconds, not {self.resync_period}")
        if self.max_objects is not None and self.max_objects < 1:
            raise ValueError(f"max_objects must be 1 or more, or None for no limit, not {self.max_objects}")

    def silence_timeouts(self, random: stdlib_random.Random) -> tuple[float, float]:
        """Returns after how many seconds a silent watch is abandoned: before its first message, and later."""
        jitter = 1 + 0.1 * random.random()
        first = self.silence_timeout
        if first > _BOOKMARK_PERIOD:
            first = max(first, _FIRST_BOOKMARK)
        return first * jitter, self.silence_timeout * jitter


def config_from(config: ReflectorConfig | None, options: ReflectorOptions) -> ReflectorConfig:
    """Returns the given config, or else one with these options.

    Raises:
        TypeError: a config and options are given, or an option does not exist.
        ValueError: an option has a value that is not allowed.
    """
    if config is None:
        return ReflectorConfig(**options)
    if options:
        raise TypeError(f"pass a config or options, not both: {', '.join(options)}")
    return config
