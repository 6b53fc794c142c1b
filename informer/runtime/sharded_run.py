"""The run of a manager with shards: a run of its own for each shard that this process owns."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from informer.runtime.controller import Controller
from informer.runtime.owners import CONTROLLER_INDEX, controller_uids
from informer.runtime.parts import Parts
from informer.runtime.registration import Registration, resource_key
from informer.runtime.run import STOP_INFORMERS, ManagerRun, RunOptions
from informer.runtime.shard_informers import ShardInformers
from informer.shared.shared_informer import SharedInformer
from watch.concurrency import on_set

__all__ = ["ShardedManagerRun"]


class ShardedManagerRun(ManagerRun):
    """One run of a manager with shards.

    Args:
        parts: as of `ManagerRun`.
        options: as of `ManagerRun`.
        informers_of: makes the informers of a shard; they are not started.
    """

    def __init__(self, parts: Parts, options: RunOptions, informers_of: Callable[[int], ShardInformers]) -> None:
        super().__init__(parts, options)
        self._informers_of_shard = informers_of
        self._runs: dict[int, _OneShard] = {}  # guarded by _lock
        parts.on_shard = self._own

    def controllers(self) -> list[Controller]:
        """Returns the controllers of all shards that this process owns."""
        with self._lock:
            runs = list(self._runs.values())
        return [controller for run in runs for controller in run.controllers()]

    def owns_current(self) -> bool:
        """Whether the calling thread is a worker's."""
        with self._lock:
            runs = list(self._runs.values())
        return any(run.owns_current() for run in runs)

    def _reconcile(self, stack: ExitStack) -> None:
        elector = self._parts.shard_elector
        assert elector is not None
        # The informers of whole resources, which all shards of this process share.
        stack.callback(self._parts.factory.shutdown, STOP_INFORMERS)
        self.state = "waiting for shards"
        elector.run(self.halt)

    def _own(self, shard: int, over: threading.Event) -> None:
        """Reconciles the objects of a shard until `over` is set."""
        elector = self._parts.shard_elector
        assert elector is not None
        parts = replace(self._parts, api_client=elector.gate(self._parts.client, shard), shard_elector=None)
        # The metrics, queues and logs of a shard have its number in their names.
        informers = self._informers_of_shard(shard)
        registrations = [
            replace(
                each,
                name=f"{each.name}-shard-{shard}",
                watches={name: informers.own_keys(each.resource, keys_of) for name, keys_of in each.watches.items()},
            )
            for each in self._options.registrations
        ]
        options = self._options._replace(registrations=registrations)
        run = _OneShard(parts, options, informers, self._shard_is_ready)
        with self._lock:
            self._runs[shard] = run
        withdraw = on_set(over, run.halt.set)
        try:
            run.run(over)
        finally:
            withdraw()
            with self._lock:
                del self._runs[shard]

    def _shard_is_ready(self) -> None:
        self.state = "running"
        self._is_ready.set()


class _OneShard(ManagerRun):
    """The run of the controllers of one shard.

    Args:
        informers: those of the shard.
        on_ready: called when reconciling has begun.
    """

    def __init__(
        self, parts: Parts, options: RunOptions, informers: ShardInformers, on_ready: Callable[[], object]
    ) -> None:
        super().__init__(parts, options)
        self._shard_informers = self._informer_factory = informers
        self._on_ready = on_ready

    def _run(self, stack: ExitStack) -> None:
        # Events, metrics and probes are those of the whole manager.
        self._reconcile(stack)

    def _informers_of(self, registration: Registration) -> dict[str, SharedInformer[Any]]:
        informers = self._shard_informers
        found = {resource_key(registration.resource): informers.of_shard(registration.resource, registration.indexers)}
        for resource in registration.owns:
            found[resource_key(resource)] = informers.of_owned(resource, {CONTROLLER_INDEX: controller_uids})
        for resource in registration.watches:
            found.setdefault(resource_key(resource), self._parts.factory.informer(resource))
        return {**self._read, **found}

    def _wait_for_sync(self) -> bool:
        self._parts.factory.start()
        return super()._wait_for_sync() and bool(
            all(self._parts.factory.wait_for_cache_sync(self._sync_timeout, stop=self.halt).values())
        )

    def _begin_work(self) -> None:
        super()._begin_work()
        self._on_ready()
