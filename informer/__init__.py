"""Informers: a local, indexed, always-current copy of a cluster's objects.

Every public name and sub-package is loaded on first use. `import informer` itself loads nothing else, since pytest imports this
package in every test run (it holds a plugin), and the official client takes a second to import.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from informer.cache.change import Change as Change
    from informer.cache.consistency_store import ConsistencyStore as ConsistencyStore
    from informer.cache.expiration_cache import ExpirationCache as ExpirationCache, TTLStore as TTLStore
    from informer.cache.indexer import (
        NAMESPACE_INDEX as NAMESPACE_INDEX,
        Indexer as Indexer,
        index_by as index_by,
        meta_namespace_index as meta_namespace_index,
    )
    from informer.cache.lister import Lister as Lister
    from informer.cache.mutation_cache import MutationCache as MutationCache
    from informer.cache.mutation_detector import MutationDetector as MutationDetector
    from informer.cache.store import Store as Store
    from informer.controller.controller import Controller as Controller
    from informer.controller.plain_informer import new_informer as new_informer
    from informer.errors import (
        ApiError as ApiError,
        IndexConflictError as IndexConflictError,
        IndexFuncError as IndexFuncError,
        IndexNotFoundError as IndexNotFoundError,
        InformerError as InformerError,
        InformerForkedError as InformerForkedError,
        KeyFuncError as KeyFuncError,
        KubeconfigError as KubeconfigError,
        NotFoundError as NotFoundError,
        QueueClosedError as QueueClosedError,
    )
    from informer.handlers.async_handlers import (
        AsyncEventStream as AsyncEventStream,
        AsyncRegistration as AsyncRegistration,
    )
    from informer.handlers.event_stream import EventStream as EventStream
    from informer.handlers.handler import ResourceEventHandler as ResourceEventHandler
    from informer.handlers.registration import HandlerRegistration as HandlerRegistration
    from informer.listwatch.list_watch import (
        ListerWatcher as ListerWatcher,
        ListWatch as ListWatch,
        ObjectList as ObjectList,
    )
    from informer.objects.keys import (
        DeletedFinalStateUnknown as DeletedFinalStateUnknown,
        ExplicitKey as ExplicitKey,
        deletion_handling_meta_namespace_key as deletion_handling_meta_namespace_key,
        meta_namespace_key as meta_namespace_key,
        split_meta_namespace_key as split_meta_namespace_key,
    )
    from informer.objects.object import Object as Object, strip_managed_fields as strip_managed_fields
    from informer.process import (
        async_stop_on_signals as async_stop_on_signals,
        stop_on_signals as stop_on_signals,
    )
    from informer.queues.delta import Delta as Delta, DeltaType as DeltaType, Queue as Queue
    from informer.queues.delta_fifo import DeltaFIFO as DeltaFIFO
    from informer.queues.in_order_fifo import InOrderFIFO as InOrderFIFO
    from informer.reflector.backoff import Backoff as Backoff
    from informer.reflector.reflector import Reflector as Reflector
    from informer.shared.aio import AsyncInformer as AsyncInformer
    from informer.shared.factory import SharedInformerFactory as SharedInformerFactory
    from informer.shared.informer_watcher import (
        InformerWatcher as InformerWatcher,
        informer_watcher as informer_watcher,
        until_with_sync as until_with_sync,
    )
    from informer.shared.multi_cluster import (
        ClusterKey as ClusterKey,
        ClusterObject as ClusterObject,
        MultiClusterInformer as MultiClusterInformer,
    )
    from informer.shared.shared_informer import SharedInformer as SharedInformer
    from informer.shared.snapshot import Snapshot as Snapshot
    from informer.shared.waiting import wait_for_cache_sync as wait_for_cache_sync
    from informer.transport.client_loader import (
        current_namespace as current_namespace,
        load_client as load_client,
    )
    from watch.options import (
        ListOptions as ListOptions,
    )

_NAMES = {
    "informer.cache.change": "Change",
    "informer.cache.consistency_store": "ConsistencyStore",
    "informer.cache.expiration_cache": "ExpirationCache TTLStore",
    "informer.cache.indexer": "NAMESPACE_INDEX Indexer index_by meta_namespace_index",
    "informer.cache.lister": "Lister",
    "informer.cache.mutation_cache": "MutationCache",
    "informer.cache.mutation_detector": "MutationDetector",
    "informer.cache.store": "Store",
    "informer.controller.controller": "Controller",
    "informer.controller.plain_informer": "new_informer",
    "informer.errors": (
        "ApiError IndexConflictError IndexFuncError IndexNotFoundError InformerError InformerForkedError "
        "KeyFuncError KubeconfigError NotFoundError QueueClosedError"
    ),
    "informer.handlers.async_handlers": "AsyncEventStream AsyncRegistration",
    "informer.handlers.event_stream": "EventStream",
    "informer.handlers.handler": "ResourceEventHandler",
    "informer.handlers.registration": "HandlerRegistration",
    "informer.listwatch.list_watch": "ListerWatcher ListWatch ObjectList",
    "informer.objects.keys": (
        "DeletedFinalStateUnknown ExplicitKey deletion_handling_meta_namespace_key meta_namespace_key "
        "split_meta_namespace_key"
    ),
    "informer.objects.object": "Object strip_managed_fields",
    "informer.process": "async_stop_on_signals stop_on_signals",
    "informer.queues.delta": "Delta DeltaType Queue",
    "informer.queues.delta_fifo": "DeltaFIFO",
    "informer.queues.in_order_fifo": "InOrderFIFO",
    "informer.reflector.backoff": "Backoff",
    "informer.reflector.reflector": "Reflector",
    "informer.shared.aio": "AsyncInformer",
    "informer.shared.factory": "SharedInformerFactory",
    "informer.shared.informer_watcher": "InformerWatcher informer_watcher until_with_sync",
    "informer.shared.multi_cluster": "ClusterKey ClusterObject MultiClusterInformer",
    "informer.shared.shared_informer": "SharedInformer",
    "informer.shared.snapshot": "Snapshot",
    "informer.shared.waiting": "wait_for_cache_sync",
    "informer.transport.client_loader": "current_namespace load_client",
    "watch.options": "ListOptions",
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}
# Public names of the sub-packages, for the message about a name that is not here. None of them is loaded for it.
_ELSEWHERE = {
    "leaderelection": (
        "ElectionMetrics ElectionStats LeaderElectionRecord LeaderElector LeaderHealthCheck LeaseClock LeaseLock "
        "LeaseNotRenewedError MetricsProvider NotLeadingError ResourceLock resource_lock set_metrics_provider"
    ),
    "metrics": "Check InformerCollector MetricsServer dashboard install make_app make_live_page_app serve serve_live_page",
    "record": (
        "CoreV1EventSink Correlation EventBroadcaster EventCorrelator EventRecorder EventSink EventsV1Sink "
        "FakeRecorder RecordedEvent Report get_partial_reference get_reference"
    ),
    "runtime": (
        "AsyncRequest Clusters ConflictError Manager ManagerError Predicate Request annotations_changed generation_changed "
        "labels_changed owner_reference"
    ),
    "sharding": "ShardElector ShardedListWatch shard_of shard_ranges shard_selector",
    "testing": ("ControlPlane ControlPlaneError EmbeddedAPIServer FakeControllerSource"),
    "workqueue": (
        "BucketRateLimiter DURATION_BUCKETS DelayingQueue Durations ItemExponentialFailureRateLimiter "
        "ItemFastSlowRateLimiter ItemOrder LOW_PRIORITY MaxOfRateLimiter MetricsProvider PriorityQueue "
        "QueueMetrics QueueStats RateLimiter RateLimitingQueue ShutDownError WithMaxWaitRateLimiter WorkQueue "
        "default_controller_rate_limiter default_item_based_rate_limiter enqueue_key enqueue_owner "
        "parallelize_until run_workers run_workers_async set_metrics_provider"
    ),
}
_PACKAGES = ("leaderelection", "metrics", "record", "runtime", "sharding", "testing", "workqueue")

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"informer.{name}")
    module = _MODULE_OF.get(name)
    if module is None:
        hint = _hint(name)
        # `from informer import X` drops the text of an AttributeError. It first asks for X from importlib's function, which
        # lets an ImportError pass; hasattr and getattr need the AttributeError.
        if hint and sys._getframe(1).f_code.co_name == "_handle_fromlist":  # noqa: SLF001 - the caller's frame
            raise ImportError(f"cannot import name {name!r} from 'informer'{hint}", name="informer")
        raise AttributeError(f"module 'informer' has no attribute {name!r}{hint}")
    import_module("informer.watch_check")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def _hint(name: str) -> str:
    """Returns where a missing name is, or the names that are like it; "" for a name that is like none."""
    if name.startswith("_") or not name.isidentifier() or find_spec(f"informer.{name}") is not None:
        return ""
    packages = [f"informer.{package}" for package in _PACKAGES if name in _ELSEWHERE.get(package, "").split()]
    if not packages and name in getattr(import_module("watch"), "__all__", ()):
        packages = ["watch"]
    if packages:
        return f": it is in {' and '.join(packages)} (from {packages[0]} import {name})"
    from difflib import get_close_matches

    places = {each: f"informer.{package}.{each}" for package, names in _ELSEWHERE.items() for each in names.split()}
    places |= {each: each for each in (*_MODULE_OF, *_PACKAGES)}
    close = [places[each] for each in get_close_matches(name, places)]
    return f" (did you mean {' or '.join(close)}?)" if close else ""


def __dir__() -> list[str]:
    return sorted((*_MODULE_OF, *_PACKAGES))
