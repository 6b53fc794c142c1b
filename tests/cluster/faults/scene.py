"""Informers of every kind behind a proxy that fails, in front of a real server on which pods come and go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from random import Random
from threading import Event
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from informer import Backoff, ListWatch, SharedInformer
from tests.cluster.faults.proxy import FaultProxy
from tests.cluster.faults.refuser import Refuser
from tests.cluster.faults.replay import Replay
from tests.cluster.faults.writer import Writer

WAYS = [{"watch_list": watch_list, "queue": queue} for watch_list in (False, True) for queue in ("in_order", "delta")]
# For what comes after the last wait: a connection, a list, and other work on the machine.
_SLACK = 3.0
# Before a watch is resumed, when many in a row have ended at once.
_LEAST_PAUSE = 0.1
_MOST_PAUSE = 5.0


class Recovery(NamedTuple):
    """What a fault led to.

    Args:
        seconds: from its end until each informer's handler had been told of the server's state.
        connections: opened at the proxy since it began.
        requests: lists, watch lists and watches that were begun since then, of those whose end is known.
        ended: when the fault did, by the monotonic clock.
        lasted: seconds from its begin until all had recovered.
    """

    seconds: list[float]
    connections: int
    requests: int
    ended: float
    lasted: float


class Scene:
    """See the module. All informers share one proxy: the faults take their time, and so last once for all of them.

    Args:
        namespace: of a server that may be killed.
        backoff: the informers'.
        silence_timeout: the informers', in seconds.
        random: of the proxy, of the writer, and for faults.
        pause: seconds between two writes.
    """

    def __init__(
        self, namespace: Any, *, backoff: Backoff, silence_timeout: float, random: Random, pause: float = 0.01
    ) -> None:
        self.namespace = namespace
        self.cluster = namespace.cluster
        self.plane = namespace.cluster.plane
        self.backoff = backoff
        self.silence_timeout = silence_timeout
        self.random = random
        self.others = 0  # how many other clients connect to the proxy
        self._pause = pause
        address = urlsplit(self.plane.url)
        self.proxy = FaultProxy(address.hostname or "", address.port or 0, random=random)
        certificate = self.plane.ca_file
        self.refuser = Refuser(certificate, certificate.with_suffix(".key"))
        api_client = self.plane.api_client()
        api_client.configuration.host = f"https://127.0.0.1:{self.proxy.port}"
        list_watch = ListWatch.for_resource(api_client, "pods", namespace=namespace.name)
        self.informers: list[SharedInformer[Any]] = [
            SharedInformer(list_watch, name=f"pods-{number}", backoff=backoff, silence_timeout=silence_timeout, **way)
            for number, way in enumerate(WAYS)
        ]
        self.replays = [Replay(informer) for informer in self.informers]
        self.errors: list[list[Exception]] = []  # what each informer was answered or lost its connection with

    def start(self) -> None:
        """Starts the informers, and waits until they have synced."""
        for informer in self.informers:
            informer.start()
        assert all(informer.wait_for_sync(20) for informer in self.informers)
        self.errors = [_errors_of(informer) for informer in self.informers]

    def close(self) -> None:
        """Ends everything."""
        try:
            stopped = {informer.name: informer.stop(10) for informer in self.informers}
        finally:
            self.proxy.close()
            self.refuser.close()
        assert all(stopped.values()), stopped

    # What faults need

    def hold(self, seconds: float) -> None:
        """Lets time pass."""
        Event().wait(seconds)

    def wait_until(self, condition: Callable[[], bool], within: float = 20) -> None:
        """For what nobody tells of."""
        deadline = time.monotonic() + within
        while not condition():
            assert time.monotonic() < deadline, f"not within {within:g} s"
            self.hold(0.02)

    def versions(self) -> list[str]:
        """Up to where each informer has come."""
        return [informer.last_sync_resource_version for informer in self.informers]

    def longest_wait(self) -> float:
        """The longest that an informer may wait between two tries, in seconds."""
        return max(self.backoff.maximum * (1 + self.backoff.jitter), _MOST_PAUSE)

    def server_state(self) -> dict[str, int]:
        """What the server lists: resourceVersions by name."""
        pods = self.cluster.items(self.namespace.pods).values()
        return {pod["metadata"]["name"]: int(pod["metadata"]["resourceVersion"]) for pod in pods}

    # A fault and what follows

    def undergo(self, fault: Callable[[Scene], object]) -> Recovery:
        """Has a fault happen while pods are written, and waits until caches and handlers are at the server's state.

        Args:
            fault: makes it happen; what it returns, if anything, is called in the end to check that it did.

        Raises:
            AssertionError: they are not, after the time that backoff and silence allow; handlers were told what cannot
                be; or there were more connections or requests than the waits allow.
        """
        for errors in self.errors:
            errors.clear()
        writer = Writer(self.namespace, self.random, pause=self._pause)
        try:
            self.wait_until(lambda: writer.written > 20)
            connections, requests, begun = len(self.proxy.accepted()), self._requests(), time.monotonic()
            check = fault(self)
            ended = time.monotonic()
        finally:
            writer.stop()
        seconds = list(self._recoveries(ended, self._most_seconds(fault)))
        lasted = time.monotonic() - begun
        if callable(check):
            check()
        recovery = Recovery(
            seconds, len(self.proxy.accepted()) - connections, self._requests() - requests, ended, lasted
        )
        allowed = len(self.informers) * most_requests(lasted, self.backoff)
        assert self.others or recovery.connections <= allowed, (recovery, allowed)
        assert recovery.requests <= allowed, (recovery, allowed)
        return recovery

    def _recoveries(self, since: float, within: float) -> Iterator[float]:
        listed = self.cluster.items(self.namespace.pods)
        versions = self.server_state()
        for informer, replay in zip(self.informers, self.replays, strict=True):

            def cached(informer: Any = informer) -> dict[str, Any]:
                return {f"{pod.namespace}/{pod.name}": pod.to_dict() for pod in informer.store.list()}

            left = since + within - time.monotonic()
            informer.wait_until(lambda cached=cached: cached() == listed, max(left, 0.01))
            assert cached() == listed, f"{informer} is not right {within:g} s after the fault: {informer.sync_error()}"
            self.wait_until(lambda replay=replay: replay.state() == versions)
            yield max(0.0, replay.told_at() - since)

    def _most_seconds(self, fault: Callable[[Scene], object]) -> float:
        """The longest that an informer may take after the fault's end.

        It may have begun its longest wait just before, and what it asks then may lead to one more: when it hears that its
        version has expired.
        """
        wait = self.backoff.maximum * (1 + self.backoff.jitter)
        seconds = wait + max(wait, _MOST_PAUSE) + _SLACK
        return seconds + self.silence_timeout * 1.1 if getattr(fault, "leads_to_silence", False) else seconds

    def _requests(self) -> int:
        reflectors = [reflector for informer in self.informers for reflector in informer.controller.reflectors]
        return sum(reflector.lists + reflector.watches + reflector.watch_lists for reflector in reflectors)


def most_requests(seconds: float, backoff: Backoff) -> int:
    """How many requests, and so connections, one informer may begin in so many seconds.

    At first what was open is resumed, twice without a wait. From then on there is a pause before a watch is resumed, which
    grows while watches go on ending at once, or else one of the backoff's waits, with a list and a watch after it. Jitter,
    which makes waits longer, is left out.
    """
    requests, passed, wait, pause = 4, 0.0, backoff.initial, _LEAST_PAUSE
    while True:
        passed += min(wait, pause)
        if passed > seconds:
            return requests
        if wait <= pause:
            requests += 2
            wait = min(wait * backoff.factor, backoff.maximum)
        else:
            requests += 1
            pause = min(2 * pause, _MOST_PAUSE)


def _errors_of(informer: Any) -> list[Exception]:
    """Fills with what the decisions about an informer's next requests are told of failures."""
    errors: list[Exception] = []
    (reflector,) = informer.controller.reflectors
    state = reflector._state

    def spy(told: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def call(error: Exception) -> Any:
            errors.append(error)
            return told(error)

        return call

    for name in ("list_failed", "watch_list_failed", "watch_call_failed", "watch_error"):
        setattr(state, name, spy(getattr(state, name)))
    return errors
