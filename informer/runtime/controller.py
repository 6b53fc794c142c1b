"""One controller of a manager: its queue and handlers, and what it does before and after each reconcile."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from informer.handlers.handler import ResourceEventHandler
from informer.handlers.registration import HandlerRegistration
from informer.objects.object import Object
from informer.record.event_recorder import EventRecorder
from informer.runtime.applied import AppliedObjects
from informer.runtime.handlers import MappedHandler, OwnedHandler, PrimaryHandler
from informer.runtime.outcomes import Outcomes
from informer.runtime.own_writes import OwnWrites
from informer.runtime.registration import Registration, resource_key
from informer.runtime.request import AsyncRequest, Request
from informer.runtime.writer import Writer
from informer.shared.shared_informer import SharedInformer
from informer.transport.transport import Transport
from informer.workqueue.consumer import Postponed
from informer.workqueue.limiters import ItemExponentialFailureRateLimiter
from informer.workqueue.priority import PriorityQueue
from informer.workqueue.workers import run_workers, run_workers_async
from watch.concurrency import on_set
from watch.errors import as_api_error
from watch.logs import get_logger
from watch.printable import printable

__all__ = ["Controller"]

# Seconds. Each key has its own backoff. A common limit would delay thousands of keys after an outage.
_FIRST_RETRY, _LAST_RETRY = 0.005, 300.0
# Seconds after a stop within which waiting keys are still reconciled. Kubernetes kills a pod 30 seconds after the stop.
_DRAIN = 5.0
_CONFLICT = 409
_NOT_FOUND = 404
_INVALID = 422


class Controller:
    """Fills a queue with the keys of changed objects, and calls the reconcile function for each key.

    Args:
        registration: what the user has registered.
        informers: of all resources that this controller reads, by their names; the first is that of its own objects.
        transport: returns the transport to the server.
        field_manager: for server-side apply and patches.
        recorder: records events.
        cluster: the name of the cluster; "" in a manager of one cluster.

    Attributes:
        handlers: the registrations of its handlers with the informers, by what they handle, such as "owned configmaps".

    Threads: `run` and `run_async` block; `reconcile_key` is called by the workers.
    """

    def __init__(
        self,
        registration: Registration,
        informers: Mapping[str, SharedInformer[Any]],
        *,
        transport: Callable[[], Transport],
        field_manager: str,
        recorder: EventRecorder,
        cluster: str = "",
    ) -> None:
        self.registration = registration
        self.recorder = recorder
        self.cluster = cluster
        self.log = get_logger(f"informer.runtime.{registration.name}")
        self.outcomes = Outcomes()
        self.queue: PriorityQueue[str] = PriorityQueue(
            registration.limiter or ItemExponentialFailureRateLimiter(_FIRST_RETRY, _LAST_RETRY), name=registration.name
        )
        self._informers = dict(informers)
        self._primary = self._informers[resource_key(registration.resource)]
        self._applied = AppliedObjects()
        self.own_writes = OwnWrites(self._informers, self.queue)
        self.writer = Writer(transport, field_manager, self._informers, self.own_writes, self._applied)
        self._running: dict[
            str, None
        ] = {}  # the keys that are being reconciled; a dict, whose single changes are atomic
        self._drained_at = math.inf  # when waiting keys are not reconciled any more, on the monotonic clock
        self.handlers = self._add_handlers()

    def informer_of(self, resource: str) -> SharedInformer[Any]:
        """Returns the informer of an owned resource; raises ValueError for any other."""
        owned = {resource_key(each): each for each in self.registration.owns}
        if resource_key(resource) not in owned:
            raise ValueError(f"{self.registration.name} does not own {resource!r}: name it in owns=")
        return self._informers[resource_key(resource)]

    def run(self, stop: threading.Event) -> None:
        """Reconciles keys on threads until `stop` is set. Keys that wait then are still reconciled for five seconds."""
        with self._draining(stop):
            run_workers(self.queue, self.reconcile_key, workers=self.registration.workers, stop=stop)

    async def run_async(self, stop: threading.Event) -> None:
        """Does what `run` does, with async functions on the running loop."""
        with self._draining(stop):
            await run_workers_async(self.queue, self.reconcile_key_async, workers=self.registration.workers, stop=stop)

    def close(self) -> None:
        """Shuts the queue down, and stops listening to the informers."""
        self.own_writes.close()
        for handler in self.handlers.values():
            handler.remove(wait=False)
        self.queue.shut_down()

    def reconcile_key(self, key: str) -> float | None:
        """Reconciles a key: called by a worker."""
        self._running[key] = None
        request: Request | None = None
        try:
            request, call = self._begin(key, Request)
            result: float | None = self._finish(request, call, None if call is None else call(request))
        except BaseException as error:
            self._failed(request, error)
            raise
        finally:
            del self._running[key]
        return result

    async def reconcile_key_async(self, key: str) -> float | None:
        """Reconciles a key with async functions."""
        loop = asyncio.get_running_loop()
        self._running[key] = None
        request: AsyncRequest | None = None
        try:
            # Finalizers are written by requests that block.
            request, call = await loop.run_in_executor(None, self._begin, key, AsyncRequest)
            result = None if call is None else await call(request)
            return await loop.run_in_executor(None, self._finish, request, call, result)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            await loop.run_in_executor(None, self._failed, request, error)
            raise
        finally:
            del self._running[key]

    def running(self) -> list[str]:
        """Returns the keys that are being reconciled."""
        return list(self._running)

    def _begin(self, key: str, form: type[Any]) -> tuple[Any, Callable[[Any], Any] | None]:
        """Returns the request for a key, and the function to call with it. The function is None if there is nothing to do."""
        if time.monotonic() > self._drained_at:
            raise Postponed("the controller is stopping", retry=False)
        if not self.own_writes.is_ready(key):
            raise Postponed("the caches do not show the last writes yet", retry=False)
        obj: Object | None = self._primary.store.get_by_key(key)
        request = form(key, obj, self.queue.num_requeues(key), self)
        registration = self.registration
        if obj is None or registration.finalizer is None:
            return request, registration.reconcile
        has_finalizer = registration.finalizer in (obj.at("metadata.finalizers") or ())
        if obj.deletion_timestamp is not None:
            return request, registration.cleanup if has_finalizer else None
        if not has_finalizer:
            request.object = self._add_finalizer(key, obj, registration.finalizer)
        return request, registration.reconcile

    def _finish(self, request: Any, call: Any, result: Any) -> Any:
        """Counts the result; removes the finalizer after a cleanup, and what is remembered of a key without an object."""
        registration = self.registration
        if call is not None and call is registration.cleanup and result is None and registration.finalizer is not None:
            self._remove_finalizer(request.key, request.object, registration.finalizer)
        if request.object is None and result is None:
            # Also what this last reconcile has written.
            self.own_writes.forget(request.key)
            self._applied.forget(request.key)
        # Anything else is refused by the worker, as an error.
        is_valid = result is None or isinstance(result, int | float)
        self.outcomes.count("success" if result is None else "requeue_after" if is_valid else "error")
        return result

    def _failed(self, request: Any, error: BaseException) -> None:
        """Counts a failure; raises Postponed, which leads to a quiet retry, for a conflict and for an object that is gone."""
        if isinstance(error, Postponed):
            self.outcomes.count("conflict" if error.retry else "held")
            return
        answer = as_api_error(error)
        if answer is not None and answer.status == _CONFLICT:
            self.outcomes.count("conflict")
            raise Postponed(f"conflict: {printable(answer.message)}", retry=True) from error
        obj = None if request is None else request.object
        # The cache may not show the deletion yet, so the server is asked.
        if answer is not None and answer.status == _NOT_FOUND and obj is not None and self.writer.exists(obj) is False:
            self.outcomes.count("conflict")
            raise Postponed(f"the object was deleted meanwhile: {printable(answer.message)}", retry=True) from error
        self.outcomes.count("error")

    def _add_finalizer(self, key: str, obj: Object, finalizer: str) -> Object:
        at = "-" if obj.at("metadata.finalizers") else ""
        value: Any = finalizer if at else [finalizer]
        path = f"/metadata/finalizers/{at}" if at else "/metadata/finalizers"
        return self._json_patch(key, obj, {"op": "add", "path": path, "value": value})

    def _remove_finalizer(self, key: str, obj: Object, finalizer: str) -> None:
        place = list(obj.at("metadata.finalizers") or ()).index(finalizer)
        self._json_patch(key, obj, {"op": "remove", "path": f"/metadata/finalizers/{place}"})

    def _json_patch(self, key: str, obj: Object, operation: dict[str, Any]) -> Object:
        # With the resourceVersion, since the place of the finalizer in the list is that of this version.
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": obj.resource_version}
        try:
            return self.writer.json_patch(key, obj, [test, operation])
        except Exception as error:
            answer = as_api_error(error)
            if answer is not None and answer.status in (_INVALID, _NOT_FOUND):
                raise Postponed(f"the object has changed: {printable(answer.message)}", retry=True) from None
            raise

    @contextmanager
    def _draining(self, stop: threading.Event) -> Iterator[None]:
        def begin() -> None:
            self._drained_at = time.monotonic() + _DRAIN

        withdraw = on_set(stop, begin)
        try:
            yield
        finally:
            withdraw()

    def _add_handlers(self) -> dict[str, HandlerRegistration]:
        registration, informers = self.registration, self._informers
        wanted: list[tuple[str, str, ResourceEventHandler[Any]]] = [
            ("its own", registration.resource, PrimaryHandler(self.queue, registration.predicate)),
            *(("owned", each, OwnedHandler(self.queue, self._primary.store)) for each in registration.owns),
            *(("watched", each, MappedHandler(self.queue, keys_of)) for each, keys_of in registration.watches.items()),
        ]
        return {
            f"{role} {resource}": informers[resource_key(resource)].add_event_handler(handler)
            for role, resource, handler in wanted
        }
