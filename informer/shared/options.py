"""Types of the options of `SharedInformerFactory.informer`, for type checkers; the program does not check against them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import CodeType
from typing import Any, Generic, Literal, Protocol

from typing_extensions import TypeVar

from informer.controller.wiring import QueueKind
from informer.objects.label_selector import Selector
from informer.reflector.config import TuningOptions
from informer.shared.snapshot import Snapshot

__all__ = ["InformerOptions", "ListMethod"]

T = TypeVar("T", default=Any)


class ListMethod(Protocol):
    """A list method of the official client, such as `core_v1.list_pod_for_all_namespaces`."""

    # Functions and methods have this attribute. Classes, which can be called too, do not.
    @property
    def __code__(self) -> CodeType: ...


class InformerOptions(TuningOptions, Generic[T], total=False):
    """The options of `SharedInformerFactory.informer` besides the resource and the model.

    The first seven say what is listed; see `SharedInformerFactory.informer`. The others are arguments of `SharedInformer`.
    """

    namespace: str | Sequence[str] | None
    label_selector: Selector
    field_selector: str | Mapping[str, str] | None
    metadata_only: bool
    wire: Literal["json", "protobuf"]
    drop_managed_fields: bool
    transform: Callable[[Any], Any] | None
    resync_period: float
    indexers: Mapping[str, Callable[[T], Iterable[str]]] | None
    name: str | None
    watch_error_handler: Callable[[Any, Exception], object] | None
    on_decode_error: Callable[[Any, bytes, Exception], object] | None
    queue: QueueKind
    key_func: Callable[[Any], str]
    snapshot: str | os.PathLike[str] | Snapshot | None
