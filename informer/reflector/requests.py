"""Sends the requests of a reflector, with the options that its state decides."""

from __future__ import annotations

from random import Random
from typing import Any

from informer.listwatch.lister_watcher import ObjectList
from informer.listwatch.source import Source
from informer.reflector.config import ReflectorConfig
from informer.reflector.counts import ReflectorCounts
from informer.reflector.health import Health, answer_of
from informer.reflector.resumption import Resumption
from informer.reflector.state import Next, ReflectorState
from informer.reflector.stop_scope import StopScope
from informer.reflector.waits import Waits
from watch.errors import ApiError
from watch.logs import get_logger
from watch.options import ListOptions
from watch.versions import shown_version
from watch.watcher import Watcher

__all__ = ["Requests"]

_log = get_logger(__name__)


class Requests:
    """Sends the requests of a reflector, with the options that its state decides.

    Each answer is recorded: it shows that the server can be reached.

    Args:
        name: the reflector's, for logs.
        source: what to list and watch.
        state: gives the options.
        config: the reflector's options.
        random: chooses the time after which the server is asked to end a watch.
        health, waits, counts: record what was answered.
        resumption: checks a confirmation.

    Threads: the reflector's.
    """

    def __init__(
        self,
        name: str,
        source: Source[Any],
        state: ReflectorState,
        config: ReflectorConfig,
        random: Random,
        health: Health,
        waits: Waits,
        counts: ReflectorCounts,
        resumption: Resumption,
    ) -> None:
        self._name = name
        self._source = source.bounded(max_line_bytes=config.max_line_bytes, max_objects=config.max_objects)
        self._state = state
        self._config = config
        self._random = random
        self._health = health
        self._waits = waits
        self._counts = counts
        self._resumption = resumption
        self._doubts = False  # whether `doubt_versions` was called with True last

    def page(self, options: ListOptions, stop_scope: StopScope) -> ObjectList[Any]:
        """Requests a page of a list.

        Raises:
            ApiError: the list is older than what was seen.
            Exception: what the source raises.
        """
        page = self._answer(options, stop_scope)
        behind = None if options.continue_ else self._state.is_behind(str(page.resource_version or ""))
        if behind is not None:
            raise behind
        return page

    def _answer(self, options: ListOptions, stop_scope: StopScope) -> ObjectList[Any]:
        with stop_scope.scope:
            page = self._source.list(options)
        self._answered()
        return page

    def confirm(self, stop_scope: StopScope) -> Exception | None:
        """Requests a list of one object, which shows whether the server's history still reaches the last version.

        Returns:
            Why it does not, why the request failed, or why a saved state is not used; None if it does.
        """
        try:
            page = self._answer(self._state.confirm_options(), stop_scope)
            return self._resumption.confirmed(page)
        # The list function of a user may raise anything.
        except Exception as error:
            answer = answer_of(error)
            if isinstance(answer, ApiError) and answer.is_too_large_resource_version:
                _log.warning(
                    "%s: the server has gone back to before resourceVersion %s (was etcd restored from a backup?): "
                    "listing its newest state",
                    self._name,
                    shown_version(self._state.last_resource_version),
                )
            return error

    def list_stored(self) -> None:
        """Called when a complete list is stored: versions can be trusted again."""
        if self._doubts and self._config.doubt_versions is not None:
            self._config.doubt_versions(False)
        self._doubts = False
        self._resumption.discard()

    def watch(self, stop_scope: StopScope, *, with_list: bool = False) -> Watcher[Any] | Exception:
        """Opens a watch from the last version, or a watch list; returns the error if that fails."""
        seconds = max(1, int(self._random.uniform(*self._config.watch_timeout)))
        state = self._state
        options = state.watch_list_options(seconds) if with_list else state.watch_options(seconds)
        try:
            with stop_scope.scope:
                watcher = self._source.watch(options)
        # The watch function of a user may raise anything.
        except Exception as error:
            return error
        if watcher is None:
            return ConnectionError("the watch function returned None")
        self._answered()
        self._counts.watch_opened(with_list=with_list)
        return watcher

    def watch_went_silent(self) -> Next:
        """Called when a watch is abandoned as silent; the next request will open a new connection."""
        self._source.close_idle()
        return self._state.watch_went_silent()

    def record_failure(self, error: Exception) -> None:
        """Records a failed request. If it shows that the server's history may have gone back, versions are doubted."""
        self._waits.record_failure(error)
        answer = answer_of(error)
        if isinstance(answer, ApiError) and answer.is_too_large_resource_version and not self._doubts:
            self._doubts = True
            if self._config.doubt_versions is not None:
                self._config.doubt_versions(True)

    def _answered(self) -> None:
        self._health.record_activity()
        self._waits.record_answer()
