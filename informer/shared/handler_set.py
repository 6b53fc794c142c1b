"""The handlers and streams of one informer: adding them early or late, and removing them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from informer.arguments import check_function
from informer.handlers.inline import InlineRegistration
from informer.handlers.processor import Processor
from informer.handlers.registration import HandlerRegistration
from informer.handlers.subscription import BacklogPolicy, Subscription, make_backlog
from informer.shared.cache_feed import CacheFeed
from informer.shared.checks import check_period
from informer.shared.lifecycle import Lifecycle
from informer.shared.waiting import Waiters

__all__ = ["HandlerSet"]


class HandlerSet:
    """Joins handlers and streams to an informer's processor, and handlers' threads to its lifecycle.

    Args:
        lifecycle: starts the handlers' threads, and refuses handlers after the stop.
        processor: gives every change to the subscriptions made here.
        waiters: notified when a handler has had its initial adds, and when one is removed.
        feed: has the cached objects, and the function that converts them to the user's.
        resync_period: seconds between two resyncs of a handler that does not ask for a period; 0 for none.

    Threads: any.
    """

    def __init__(
        self,
        lifecycle: Lifecycle,
        processor: Processor,
        waiters: Waiters,
        feed: CacheFeed[Any],
        *,
        resync_period: float,
    ) -> None:
        self._lifecycle = lifecycle
        self._processor = processor
        self._waiters = waiters
        self._resync_period = resync_period
        self._feed = feed
        self._inline: tuple[InlineRegistration, ...] = ()  # replaced as a whole; guarded by the processor's lock

    def subscribe(
        self,
        keep: Callable[[Any], object] | None,
        resync_period: float | None,
        backlog: BacklogPolicy,
        *,
        initial: bool = True,
    ) -> Subscription | None:
        """Adds a subscription; returns None after the stop.

        Args:
            keep: lets objects of interest pass; None lets all pass.
            resync_period: seconds between two resyncs, 0 for none, None for the informer's period.
            backlog: how changes wait.
            initial: begin with an add for each cached object, and pass the adds of the first list.
        """
        self._lifecycle.check_process()
        check_function("filter", keep, 1, or_none=True)
        requested = self._resync_period if resync_period is None else resync_period
        check_period(requested)
        subscription = Subscription(
            make_backlog(backlog),
            self._processor.schedule(requested),
            unwrap=self._feed.unwrap,
            keep=keep,
            skip_initial=not initial,
            on_initial_done=self._waiters.notify,
            check_process=self._lifecycle.check_process,
        )
        snapshot = self._feed.indexer.records.copy if initial else dict
        if self._lifecycle.is_stopped or not self._processor.add(subscription, snapshot):
            return None
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Removes a subscription, and drops what waits in it. Idempotent."""
        if self._lifecycle.is_forked:
            return
        self._processor.remove(subscription)
        subscription.close()
        self._waiters.notify()

    def add(self, registration: HandlerRegistration) -> bool:
        """Adds a handler, whose calls begin at once if the informer runs.

        Returns:
            Whether it was added; False after the stop, when its subscription is removed.
        """
        added = False
        try:
            # Before its start: that looks for what came until now, and the reader brings what comes later.
            if isinstance(registration, InlineRegistration):
                with self._processor.lock:
                    self._inline += (registration,)
            added = self._lifecycle.add_member(registration)
        finally:
            if not added:
                self._remove_inline(registration)
                self.unsubscribe(registration.subscription)
        return added

    def remove(self, registration: HandlerRegistration) -> None:
        """Removes a handler without waiting for its call under way; another informer's is left alone.

        Raises:
            TypeError: the argument is not a registration.
        """
        if not isinstance(registration, HandlerRegistration):
            raise TypeError(f"a handler's registration is needed, not a {type(registration).__name__}")
        if not self._lifecycle.is_forked and self._lifecycle.remove_member(registration):
            self._processor.remove(registration.subscription)
            self._remove_inline(registration)
            registration.discard()
            self._waiters.notify()

    def batch_applied(self) -> None:
        """Reports progress to the waiting threads, and calls the inline handlers.

        Threads: the one that has applied a batch, under no lock.
        """
        self._waiters.notify()
        for registration in self._inline:
            registration.call_pending()
            if registration.subscription.dropped:
                # It may have forked: this is the child then.
                self._lifecycle.end_in_child()

    def _remove_inline(self, registration: HandlerRegistration) -> None:
        with self._processor.lock:
            self._inline = tuple(each for each in self._inline if each is not registration)

    @property
    def registrations(self) -> list[HandlerRegistration]:
        """The registrations of the present handlers."""
        return [member for member in self._lifecycle.members if isinstance(member, HandlerRegistration)]
