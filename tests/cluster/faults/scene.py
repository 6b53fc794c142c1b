"""Informers of every kind behind a proxy that causes faults, in front of a real server whose pods change all the time."""

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
from tests.support.waiting import eventually

# Both ways to list and both queues, each over both formats.
WAYS: list[tuple[str, dict[str, Any]]] = [
    ("protobuf", {"watch_list": False, "queue": "in_order"}),
    ("json", {"watch_list": True, "queue": "in_order"}),
    ("json", {"watch_list": False, "queue": "delta"}),
    ("protobuf", {"watch_list": True, "queue": "delta"}),
]
# Seconds for what follows the last wait: a connection, a list, and delays by other work on the machine.
_SLACK = 3.0
# Seconds before a watch is resumed when several in a row have ended at once: least and most.
_LEAST_PAUSE = 0.1
_MOST_PAUSE = 5.0


class Recovery(NamedTuple):
    """The recovery from a fault.

    Args:
        seconds: for each informer, from the end of the fault until its handler had the server's state.
        connections: opened at the proxy since the fault began.
        requests: lists, watch lists and watches that began and ended since then.
        ended: the monotonic time at which the fault ended.
        lasted: seconds from the start of the fault until all informers had recovered.
    """

    seconds: list[float]
    connections: int
    requests: int
    ended: float
    lasted: float


class Scene:
    """Informers of every kind behind one proxy. They share it because faults take time, which then passes once for all.

    Args:
        namespace: a namespace of a server that may be killed.
        backoff: the informers' backoff.
        silence_timeout: the informers' silence time-out, in seconds.
        random: used by the proxy, the writer and faults.
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
        self.informers: list[SharedInformer[Any]] = [
            SharedInformer(
                ListWatch.for_resource(api_client, "pods", namespace=namespace.name, wire=wire),
                name=f"pods-{number}",
                backoff=backoff,
                silence_timeout=silence_timeout,
                **way,
            )
            for number, (wire, way) in enumerate(WAYS)
        ]
        self.replays = [Replay(informer) for informer in self.informers]
        self.errors: list[list[Exception]] = []  # for each informer, the failures it got

    def start(self) -> None:
        """Starts the informers, and waits until they have synced."""
        for informer in self.informers:
            informer.start()
        assert all(informer.wait_for_sync(20) for informer in self.informers)
        self.errors = [_errors_of(informer) for informer in self.informers]

    def close(self) -> None:
        """Stops the informers, the proxy and the refusing server."""
        try:
            stopped = {informer.name: informer.stop(10) for informer in self.informers}
        finally:
            self.proxy.close()
            self.refuser.close()
        assert all(stopped.values()), stopped

    # For faults

    def hold(self, seconds: float) -> None:
        """Waits for `seconds`."""
        Event().wait(seconds)

    def wait_until(self, condition: Callable[[], bool], within: float = 20) -> None:
        """Waits for a condition that sends no notification."""
        assert eventually(condition, within), f"not within {within:g} s"

    def versions(self) -> list[str]:
        """Returns the version that each informer has reached."""
        return [informer.last_sync_resource_version for informer in self.informers]

    def longest_wait(self) -> float:
        """Returns the longest wait between two attempts of an informer, in seconds."""
        return max(self.backoff.maximum * (1 + self.backoff.jitter), _MOST_PAUSE)

    def server_state(self) -> dict[str, int]:
        """Returns the resourceVersions, by name, of what the server lists."""
        pods = self.cluster.items(self.namespace.pods).values()
        return {pod["metadata"]["name"]: int(pod["metadata"]["resourceVersion"]) for pod in pods}

    # A fault and the recovery

    def undergo(self, fault: Callable[[Scene], object]) -> Recovery:
        """Causes a fault while pods are written, and waits until caches and handlers have the server's state.

        Args:
            fault: causes the fault. It may return a function, which is called at the end to check that the fault happened.

        Raises:
            AssertionError: a cache or handler does not have the state in the time that backoff and silence allow; a handler
                got contradicting calls; or there were more connections or requests than the waits allow.
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
            yield max(0.0, replay.last_call_at() - since)

    def _most_seconds(self, fault: Callable[[Scene], object]) -> float:
        """Returns the longest time that an informer may take after the end of the fault, in seconds.

        Its longest wait may have begun just before, and the next request may lead to another wait, if its version has expired.
        """
        wait = self.backoff.maximum * (1 + self.backoff.jitter)
        seconds = wait + max(wait, _MOST_PAUSE) + _SLACK
        return seconds + self.silence_timeout * 1.1 if getattr(fault, "leads_to_silence", False) else seconds

    def _requests(self) -> int:
        reflectors = [reflector for informer in self.informers for reflector in informer.controller.reflectors]
        return sum(reflector.lists + reflector.watches + reflector.watch_lists for reflector in reflectors)


def most_requests(seconds: float, backoff: Backoff) -> int:
    """Returns how many requests, and so connections, one informer may begin in `seconds` seconds.

    At first an open watch is resumed, twice without a wait. After that there is either a growing pause before each watch that
    keeps ending at once, or a wait of the backoff with a list and a watch. Jitter, which lengthens waits, is left out.
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
    """Returns a list that collects the failures which the informer's reflector acts on."""
    errors: list[Exception] = []
    (reflector,) = informer.controller.reflectors
    state = reflector._state

    def spy(method: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def call(error: Exception) -> Any:
            errors.append(error)
            return method(error)

        return call

    for name in ("list_failed", "watch_list_failed", "watch_call_failed", "watch_error"):
        setattr(state, name, spy(getattr(state, name)))
    return errors
