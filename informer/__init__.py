"""Informers: a local, indexed, always-current copy of a cluster's objects.

Names are loaded when first used: the pytest plugin lives in this package and must cost a test run nothing, and the
official client, which some parts stand on, takes a second to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from informer.aio import (
        AsyncEventStream as AsyncEventStream,
        AsyncInformer as AsyncInformer,
        AsyncRegistration as AsyncRegistration,
    )
    from informer.backoff import (
        Backoff as Backoff,
    )
    from informer.changes import (
        Change as Change,
    )
    from informer.consistency import (
        ConsistencyStore as ConsistencyStore,
    )
    from informer.controller import (
        Controller as Controller,
    )
    from informer.delta_fifo import (
        DeltaFIFO as DeltaFIFO,
    )
    from informer.deltas import (
        Delta as Delta,
        DeltaType as DeltaType,
        Queue as Queue,
    )
    from informer.errors import (
        ApiError as ApiError,
        IndexConflictError as IndexConflictError,
        IndexFuncError as IndexFuncError,
        IndexNotFoundError as IndexNotFoundError,
        InformerError as InformerError,
        InformerForkedError as InformerForkedError,
        KeyFuncError as KeyFuncError,
        NotFoundError as NotFoundError,
        QueueClosedError as QueueClosedError,
    )
    from informer.event_stream import (
        EventStream as EventStream,
    )
    from informer.expiration_cache import (
        ExpirationCache as ExpirationCache,
        TTLStore as TTLStore,
    )
    from informer.factory import (
        SharedInformerFactory as SharedInformerFactory,
    )
    from informer.handlers import (
        ResourceEventHandler as ResourceEventHandler,
    )
    from informer.in_order_fifo import (
        InOrderFIFO as InOrderFIFO,
    )
    from informer.informer_as_watch import (
        InformerWatcher as InformerWatcher,
        informer_watcher as informer_watcher,
        until_with_sync as until_with_sync,
    )
    from informer.keys import (
        DeletedFinalStateUnknown as DeletedFinalStateUnknown,
        ExplicitKey as ExplicitKey,
        deletion_handling_meta_namespace_key as deletion_handling_meta_namespace_key,
        meta_namespace_key as meta_namespace_key,
        split_meta_namespace_key as split_meta_namespace_key,
    )
    from informer.list_watch import (
        ListerWatcher as ListerWatcher,
        ListWatch as ListWatch,
        ObjectList as ObjectList,
    )
    from informer.listers import (
        Lister as Lister,
    )
    from informer.mutation_cache import (
        MutationCache as MutationCache,
    )
    from informer.mutation_detector import (
        MutationDetector as MutationDetector,
    )
    from informer.objects import (
        Object as Object,
        strip_managed_fields as strip_managed_fields,
    )
    from informer.plain_informer import (
        new_informer as new_informer,
    )
    from informer.reflector import (
        Reflector as Reflector,
    )
    from informer.registration import (
        HandlerRegistration as HandlerRegistration,
    )
    from informer.shared_informer import (
        SharedInformer as SharedInformer,
    )
    from informer.signals import (
        stop_on_signals as stop_on_signals,
    )
    from informer.store import (
        NAMESPACE_INDEX as NAMESPACE_INDEX,
        Indexer as Indexer,
        Store as Store,
        index_by as index_by,
        meta_namespace_index as meta_namespace_index,
    )
    from informer.waiting import (
        wait_for_cache_sync as wait_for_cache_sync,
    )
    from watch.options import (
        ListOptions as ListOptions,
    )

_NAMES = {
    "informer.aio": "AsyncEventStream AsyncInformer AsyncRegistration",
    "informer.backoff": "Backoff",
    "informer.changes": "Change",
    "informer.consistency": "ConsistencyStore",
    "informer.controller": "Controller",
    "informer.delta_fifo": "DeltaFIFO",
    "informer.deltas": "Delta DeltaType Queue",
    "informer.errors": (
        "ApiError IndexConflictError IndexFuncError IndexNotFoundError "
        "InformerError InformerForkedError KeyFuncError NotFoundError "
        "QueueClosedError "
    ),
    "informer.event_stream": "EventStream",
    "informer.expiration_cache": "ExpirationCache TTLStore",
    "informer.factory": "SharedInformerFactory",
    "informer.handlers": "ResourceEventHandler",
    "informer.in_order_fifo": "InOrderFIFO",
    "informer.informer_as_watch": "InformerWatcher informer_watcher until_with_sync",
    "informer.keys": (
        "DeletedFinalStateUnknown ExplicitKey deletion_handling_meta_namespace_key meta_namespace_key "
        "split_meta_namespace_key "
    ),
    "informer.list_watch": "ListWatch ListerWatcher ObjectList",
    "informer.listers": "Lister",
    "informer.mutation_cache": "MutationCache",
    "informer.mutation_detector": "MutationDetector",
    "informer.objects": "Object strip_managed_fields",
    "informer.plain_informer": "new_informer",
    "informer.reflector": "Reflector",
    "informer.registration": "HandlerRegistration",
    "informer.shared_informer": "SharedInformer",
    "informer.signals": "stop_on_signals",
    "informer.store": "NAMESPACE_INDEX Indexer Store index_by meta_namespace_index",
    "informer.waiting": "wait_for_cache_sync",
    "watch.options": "ListOptions",
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'informer' has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
