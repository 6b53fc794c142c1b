"""Informers: a local, indexed, always-current copy of a cluster's objects.

Names are loaded when first used: the pytest plugin lives in this package and must cost a test run nothing, and the
official client, which some parts stand on, takes a second to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from watch.options import ListOptions as ListOptions

_NAMES = {
    "informer.backoff": "Backoff",
    "informer.controller": "Controller new_informer",
    "informer.changes": "Change",
    "informer.delta_fifo": "DeltaFIFO",
    "informer.deltas": "Delta DeltaType Queue",
    "informer.entries": "",
    "informer.errors": (
        "ApiError IndexConflictError IndexFuncError IndexNotFoundError InformerError InformerForkedError KeyFuncError "
        "NotFoundError QueueClosedError"
    ),
    "informer.handlers": "ResourceEventHandler",
    "informer.in_order_fifo": "InOrderFIFO",
    "informer.keys": (
        "DeletedFinalStateUnknown ExplicitKey deletion_handling_meta_namespace_key meta_namespace_key "
        "split_meta_namespace_key"
    ),
    "informer.list_watch": "ListWatch ListerWatcher ObjectList",
    "informer.objects": "Object strip_managed_fields",
    "informer.reflector": "Reflector",
    "informer.shared_informer": "SharedInformer",
    "informer.store": "Indexer NAMESPACE_INDEX Store index_by meta_namespace_index",
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
