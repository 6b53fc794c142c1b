"""What a factory is asked with, for type checkers: nothing here is looked at when the program runs."""

from __future__ import annotations

import random as stdlib_random
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import CodeType
from typing import Any, Generic, Literal, Protocol

from typing_extensions import TypedDict, TypeVar

from informer.controller.wiring import QueueKind
from informer.reflector.backoff import Backoff
from watch.clock import Clock

__all__ = ["InformerOptions", "ListMethod"]

T = TypeVar("T", default=Any)


class ListMethod(Protocol):
    """A list method of the official client, such as `core_v1.list_pod_for_all_namespaces`."""

    # Functions and methods have it; classes do not, which could be called too.
    @property
    def __code__(self) -> CodeType: ...


class InformerOptions(TypedDict, Generic[T], total=False):
    """What `SharedInformerFactory.informer` takes beside the resource and the model; see there and `SharedInformer`."""

    namespace: str | Sequence[str] | None
    label_selector: str | None
    field_selector: str | None
    metadata_only: bool
    transform: Callable[[Any], Any] | None
    resync_period: float
    indexers: Mapping[str, Callable[[T], Iterable[str]]] | None
    name: str | None
    watch_error_handler: Callable[[Any, Exception], object] | None
    on_decode_error: Callable[[Any, bytes, Exception], object] | None
    queue: QueueKind
    key_func: Callable[[Any], str]
    watch_list: bool | Literal["auto"]
    page_size: int
    backoff: Backoff | None
    watch_timeout: tuple[float, float]
    silence_timeout: float
    max_line_bytes: int
    max_objects: int | None
    clock: Clock
    random: stdlib_random.Random | None
