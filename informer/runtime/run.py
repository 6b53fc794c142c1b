"""The run of a manager: starts its parts, reconciles, and ends everything in order."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from informer.record.event_sink import EventsV1Sink
from informer.runtime.controller import Controller
from informer.runtime.errors import ManagerError
from informer.runtime.owners import CONTROLLER_INDEX, controller_uids
from informer.runtime.parts import Parts
from informer.runtime.registration import Indexers, Registration, resource_key
from informer.shared.shared_informer import SharedInformer
from informer.shared.waiting import wait_for_cache_sync
from informer.thread_group import ThreadGroup
from informer.transport.transport import transport_for
from watch.concurrency import Lock, Signal, on_set
from watch.logs import get_logger

if TYPE_CHECKING:
    from informer.metrics.server import MetricsServer

__all__ = ["STOP_INFORMERS", "InformerFactory", "ManagerRun", "RunOptions", "Served"]

_log = get_logger("informer.runtime")

# Seconds after the end of the lease during which the liveness probe still passes.
_LEASE_TOLERANCE = 30.0
# Seconds after a stop until reconciles that still run are logged; longer than controllers take to finish waiting keys.
_SLOW_END = 10.0
# Seconds for the informers' threads to end.
STOP_INFORMERS = 5.0


class Served(NamedTuple):
    """What a run serves over HTTP.

    Attributes:
        port: of metrics and probes; None serves none.
        host: the address for them.
        live_page: the port of the live page; None shows none.
    """

    port: int | None = None
    host: str = ""
    live_page: int | None = None

    @property
    def is_any(self) -> bool:
        """Whether anything is served."""
        return self.port is not None or self.live_page is not None


class _OnServer(Protocol):
    def __call__(self, server: MetricsServer, *, shows_live_page: bool) -> object: ...


class RunOptions(NamedTuple):
    """Options of a run.

    Attributes:
        name: the manager's.
        registrations: its controllers.
        sync_timeout: seconds within which every cache must have its first list.
        read: the informers of whole resources that the user has asked for, by name: own writes are awaited in them too.
        served: what is served over HTTP.
        on_server: called with each server once it runs, and with whether it shows the live page.
    """

    name: str
    registrations: Sequence[Registration]
    sync_timeout: float
    read: Mapping[str, SharedInformer[Any]]
    served: Served
    on_server: _OnServer


class InformerFactory(Protocol):
    """Starts and stops the informers of a run together; see `SharedInformerFactory`."""

    def start(self) -> None:
        """Starts them."""

    def wait_for_cache_sync(
        self, timeout: float | None = ..., *, stop: threading.Event | None = ...
    ) -> dict[SharedInformer[Any], bool]:
        """Waits for their first lists; returns which of them have synced."""
        ...

    def shutdown(self, timeout: float | None = ...) -> bool:
        """Stops them; returns whether every thread has ended in time."""
        ...


class ManagerRun:
    """One run of a manager, which runs once.

    Args:
        parts: the client, factory, recorder and elector.
        options: all that the user has chosen.

    Attributes:
        halt: set to end the run.
        failure: why the run ended by itself; None if it was asked to end, or has not ended.
        ended: set when everything has ended.
        state: for people: "starting", "syncing", "waiting for the lease", "running" or "stopped".

    Threads: `run` is called once; everything else may be called from any thread.
    """

    def __init__(self, parts: Parts, options: RunOptions) -> None:
        self.halt = Signal()
        self.failure: ManagerError | None = None
        self.state = "starting"
        self.ended = Signal()
        self._name = options.name
        self._parts = parts
        self._informer_factory: InformerFactory = parts.factory
        self._options = options
        self._sync_timeout = options.sync_timeout
        self._read = dict(options.read)
        self._probed: Sequence[SharedInformer[Any]] | None = None  # for /readyz; None: all informers of the process
        self._lock = Lock()
        self._is_ready = Signal()  # reconciling has begun, or the run has ended
        self._controllers: list[Controller] = []
        self._informers: list[SharedInformer[Any]] = []
        # Set after the last reconcile has ended, which needs the lease to write; or at once while there is none.
        self._end_election = Signal()
        self._threads = ThreadGroup()  # those of the controllers, whose workers are made on them
        self._leads = False  # guarded by _lock
        parts.on_leading = self._lead

    def run(self, stop: threading.Event) -> None:
        """Runs until `stop` or `halt` is set; raises ManagerError if it ends by itself."""
        withdraw = on_set(stop, self.halt.set)
        try:
            with ExitStack() as stack:
                self._run(stack)
        except ManagerError as error:
            self._fail(error)
        finally:
            withdraw()
            self.state = "stopped"
            self._is_ready.set()
            self.ended.set()
        if self.failure is not None:
            raise self.failure

    def run_in_background(self) -> None:
        """Runs until `halt` is set; the error stays in `failure`."""
        try:
            self.run(self.halt)
        except ManagerError as error:
            _log.error("manager %s has ended: %s", self._name, error, exc_info=error)
        except BaseException as error:
            self._fail(ManagerError(f"manager {self._name} ended with an unexpected error: {error!r}"), error)
            _log.error("manager %s has ended: %r", self._name, error, exc_info=error)

    def controllers(self) -> list[Controller]:
        """Returns the controllers that run."""
        return list(self._controllers)

    def owns_current(self) -> bool:
        """Whether the calling thread is a worker's."""
        return self._threads.owns_current

    def wait_until_ready(self, timeout: float | None) -> bool:
        """Waits until reconciling has begun; False if the run has ended or the time is over."""
        return self._is_ready.wait(timeout) and self.state == "running"

    def _run(self, stack: ExitStack) -> None:
        # Left in reverse order: the events of everything else are sent last.
        stack.callback(self._parts.broadcaster.shutdown)
        self._parts.broadcaster.start_recording_to_sink(EventsV1Sink(self._parts.client))
        if self._options.served.port is not None:
            self._start_server(stack, self._options.served.port)
        if self._options.served.live_page is not None:
            self._start_live_page(stack, self._options.served.live_page)
        self._reconcile(stack)

    def _reconcile(self, stack: ExitStack) -> None:
        """Makes the controllers, waits for their caches, and reconciles until the end of the run."""
        self._make_controllers(stack)
        stack.callback(self._informer_factory.shutdown, STOP_INFORMERS)
        for informer in self._informers:
            stack.callback(informer.on_end(partial(self._informer_ended, informer)))
        self._informer_factory.start()
        self.state = "syncing"
        if not self._wait_for_sync():
            return
        elector = self._parts.elector
        if elector is None:
            self._work(self.halt)
        else:
            self.state = "waiting for the lease"
            withdraw = on_set(self.halt, self._end_waiting)
            try:
                elector.run(self._end_election)
            finally:
                withdraw()
            if not self.halt.is_set():
                raise ManagerError(f"manager {self._name} has lost its lease: restart the program")

    def _start_server(self, stack: ExitStack, port: int) -> None:
        from informer.metrics import serve
        from informer.runtime.metrics import register

        elector = self._parts.elector or self._parts.shard_elector
        checks = {} if elector is None else {"leader-election": lambda: elector.check(_LEASE_TOLERANCE)}
        server = stack.enter_context(serve(port, self._options.served.host, informers=self._probed, live_checks=checks))
        stack.callback(register(self.controllers))
        self._options.on_server(server, shows_live_page=False)
        _log.info("manager %s serves /healthz, /readyz and /metrics on port %d", self._name, server.port)

    def _start_live_page(self, stack: ExitStack, port: int) -> None:
        from informer.metrics import serve_live_page

        token = os.environ.get("INFORMER_TOKEN", "").strip() or None
        server = stack.enter_context(serve_live_page(port, token=token))
        self._options.on_server(server, shows_live_page=True)
        _log.info("manager %s shows its live page at http://127.0.0.1:%d/", self._name, server.port)

    def _make_controllers(self, stack: ExitStack) -> None:
        for registration in self._options.registrations:
            informers = self._informers_of(registration)
            controller = Controller(
                registration,
                informers,
                # With an election, its writes are refused unless this process leads.
                transport=lambda: transport_for(self._parts.api_client),
                field_manager=self._name,
                recorder=self._parts.recorder,
                cluster=self._parts.cluster,
            )
            stack.callback(controller.close)
            self._controllers.append(controller)
            self._informers += [each for each in informers.values() if each not in self._informers]

    def _informers_of(self, registration: Registration) -> dict[str, SharedInformer[Any]]:
        found = {resource_key(registration.resource): self._informer(registration.resource, registration.indexers)}
        for resource in registration.owns:
            found[resource_key(resource)] = self._informer(resource, {CONTROLLER_INDEX: controller_uids})
        for resource in registration.watches:
            found.setdefault(resource_key(resource), self._informer(resource))
        return {**self._read, **found}

    def _informer(self, resource: str, indexers: Indexers | None = None) -> SharedInformer[Any]:
        factory, cluster = self._parts.factory, self._parts.cluster
        if not cluster:
            return factory.informer(resource, indexers=indexers)
        return factory.informer(resource, indexers=indexers, name=f"{cluster}/{resource}")

    def _wait_for_sync(self) -> bool:
        """Waits for the caches and handlers; returns False if the run was asked to end meanwhile."""
        deadline = time.monotonic() + self._sync_timeout
        synced = self._informer_factory.wait_for_cache_sync(self._sync_timeout, stop=self.halt)
        if self.halt.is_set():
            return False
        missing = [informer for informer, done in synced.items() if not done]
        if missing:
            reasons = "; ".join(f"{each.name}: {each.sync_error() or 'no answer yet'}" for each in missing)
            raise ManagerError(
                f"manager {self._name}: not every cache synced within {self._sync_timeout:g} s: {reasons}"
            ) from missing[0].sync_error()
        # The handlers have the objects of the first lists in the queues before a worker takes the first key.
        handlers = [handler for controller in self._controllers for handler in controller.handlers.values()]
        wait_for_cache_sync(*handlers, timeout=max(0.0, deadline - time.monotonic()), stop=self.halt)
        behind = [
            f"controller {controller.registration.name}: {resource}"
            for controller in self._controllers
            for resource, handler in controller.handlers.items()
            if not handler.has_synced()
        ]
        if behind and not self.halt.is_set():
            raise ManagerError(
                f"manager {self._name}: not every handler has seen the first objects within {self._sync_timeout:g} s: "
                f"{'; '.join(behind)}: does a predicate or a function of watches= block?"
            )
        return not self.halt.is_set()

    def _lead(self, over: threading.Event) -> None:
        """Reconciles until the run is to end, or `over` is set at the end of the term; then gives the lease up."""
        with self._lock:
            if self._end_election.is_set():
                return
            self._leads = True
        stop = Signal()
        withdraws = [on_set(self.halt, stop.set), on_set(over, stop.set)]
        try:
            self._work(stop)
        finally:
            for withdraw in withdraws:
                withdraw()
            self._end_election.set()

    def _end_waiting(self) -> None:
        with self._lock:
            if not self._leads:
                self._end_election.set()

    def _work(self, over: threading.Event) -> None:
        """Reconciles until `over` is set."""
        threads = self._threads
        asynchronous = [each for each in self._controllers if each.registration.is_async]
        for controller in self._controllers:
            if controller not in asynchronous:
                run = partial(controller.run, over)
                threads.start(partial(self._guard, controller, run, over), f"workers-{self._name}")
        if asynchronous:
            run_all = partial(_run_on_a_loop, asynchronous, over)
            threads.start(partial(self._guard, asynchronous[0], run_all, over), f"async-workers-{self._name}")
        threads.close()
        self._begin_work()
        _log.info(
            "manager %s reconciles: %s", self._name, ", ".join(each.registration.name for each in self._controllers)
        )
        over.wait()
        if not threads.ended.wait(_SLOW_END):
            running = ", ".join(f"{each.registration.name} {each.running()}" for each in self._controllers)
            _log.warning("manager %s waits for reconciles that have not ended after the stop: %s", self._name, running)
            threads.ended.wait()

    def _begin_work(self) -> None:
        self.state = "running"
        self._is_ready.set()

    def _guard(self, controller: Controller, run: Callable[[], object], over: threading.Event) -> None:
        cause: BaseException | None = None
        try:
            run()
        except BaseException as error:
            cause = error
        if not over.is_set():
            name = controller.registration.name
            self._fail(ManagerError(f"the workers of controller {name} have ended: {cause!r}"), cause)

    def _informer_ended(self, informer: SharedInformer[Any]) -> None:
        if not self.halt.is_set():
            cause = informer.failure
            self._fail(ManagerError(f"informer {informer.name} has stopped: {cause!r}"), cause)

    def _fail(self, error: ManagerError, cause: BaseException | None = None) -> None:
        with self._lock:
            if self.failure is None:
                if cause is not None:
                    error.__cause__ = cause
                self.failure = error
        self.halt.set()


def _run_on_a_loop(controllers: Sequence[Controller], over: threading.Event) -> None:
    async def run() -> None:
        await asyncio.gather(*(each.run_async(over) for each in controllers))

    asyncio.run(run())
