"""Snapshots: an informer's cache on disk, so that a new process continues where the last one has stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

import informer
from informer.arguments import function_name
from informer.cache.records import Records
from informer.cache.snapshot_file import (
    SavedState,
    UnusableSnapshotError,
    read_snapshot,
    remove_leftovers,
    write_snapshot,
)
from informer.listwatch.source import Source
from informer.objects.object import Object
from informer.objects.official import is_official
from informer.rate_limited_log import rate_limited
from informer.thread_group import ThreadGroup
from watch.concurrency import Signal
from watch.logs import get_logger

__all__ = ["Snapshot", "SnapshotKeeper"]

_log = get_logger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """Where and when an informer saves its cache.

        SharedInformer(ListWatch.for_resource(api_client, "pods"), snapshot=Snapshot("/var/cache/pods", every=60))

    Args:
        path: the file. Each informer needs one of its own; only this user can read it.
        every: seconds between two saves while the informer runs; 0 saves only when it stops.
        allow_secrets: whether Secrets may be saved. Their content is then on the disk, not encrypted.
        version: any text. Change it whenever your transform or model gives other results for the same object: a file with
            another version is ignored.

    Raises:
        ValueError: `every` is negative.
        TypeError: `path` is not a path.
    """

    path: str | os.PathLike[str]
    every: float = 300.0
    allow_secrets: bool = False
    version: str = ""

    def __post_init__(self) -> None:
        os.fspath(self.path)
        if not self.every >= 0:
            raise ValueError(f"every must be 0 or more seconds, not {self.every}")


class SnapshotKeeper:
    """Loads the snapshot of one informer, and saves it on a thread of its own.

    Args:
        snapshot: where and when.
        source: what the informer lists.
        queue: the informer's kind of queue.
        name: the informer's, for logs.
        records: the cache.
        transform: returns the informer's transform.
        key_func: the informer's.
        is_whole: returns whether the cache shows everything up to its version: no object was left out.
        stop: set when the informer's stop begins.

    Raises:
        ValueError: the informer cannot have a snapshot; the message says why.

    Threads: `load` is called on the reader thread.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        source: Source[Any],
        queue: str,
        name: str,
        records: Records,
        transform: Callable[[], Callable[[Any], Any] | None],
        key_func: Callable[[Any], str],
        is_whole: Callable[[], bool],
        stop: Signal,
    ) -> None:
        self._value_type = _check(snapshot, source, queue)
        self._snapshot = snapshot
        self._source = source
        self._name = name
        self._records = records
        self._transform = transform
        self._key_func = key_func
        self._is_whole = is_whole
        self._stop = stop
        self._limited = rate_limited(_log)
        self._saved_version = ""  # of the file

    def load(self) -> SavedState | None:
        """Returns the saved state; None if there is none. If the file cannot be used, it logs why."""
        try:
            remove_leftovers(self._snapshot.path)
            saved = read_snapshot(self._snapshot.path, self._binding(), self._value_type)
        # Whatever is wrong, the informer can do without.
        except Exception as error:
            _log.warning("%s: the snapshot %s is ignored: %s", self._name, self._snapshot.path, _reason(error))
            return None
        if saved is not None:
            self._saved_version = saved.resource_version
        return saved

    def start(self, thread_group: ThreadGroup) -> None:
        """Starts the thread that saves."""
        thread_group.start(self._run, f"snapshot-{self._name}")

    def _run(self) -> None:
        while not self._stop.wait(self._snapshot.every or None):
            self._save()
        self._save()

    def _save(self) -> None:
        state = self._records.look(self._records.saved_state)
        if not self._is_whole() or not state.resource_version or state.resource_version == self._saved_version:
            return
        try:
            write_snapshot(self._snapshot.path, self._binding(), state, self._value_type)
        # An informer does not fail for want of a snapshot.
        except Exception as error:
            self._limited.warning(
                "%s: the snapshot %s was not written: %s", self._name, self._snapshot.path, _reason(error)
            )
            return
        self._saved_version = state.resource_version

    def _binding(self) -> Mapping[str, str]:
        transform = self._transform()
        return {
            **self._source.binding(),
            "model": _description(self._source.model),
            "transform": "" if transform is None else _code_of(transform),
            "key_func": _code_of(self._key_func),
            "version": self._snapshot.version,
            "version of kube-informer": informer.__version__,
        }


def _check(snapshot: Snapshot, source: Source[Any], queue: str) -> type | None:
    """Checks whether an informer can have a snapshot; returns the type of its values, None for `Object`."""
    if not source.can_be_bound:
        raise ValueError(
            "snapshot= needs a list-watch that ListWatch.for_resource or ListWatch.from_api has made: of another, such as a "
            "shard or one with tweak_list_options, nothing tells whether a file is of the same objects"
        )
    if source.namespaces:
        raise ValueError("snapshot= needs one namespace or all: use an informer for each of several namespaces")
    if queue != "in_order":
        raise ValueError('snapshot= needs queue="in_order": "delta" applies changes of different keys out of order')
    if source.resource_name == "secrets" and not snapshot.allow_secrets:
        raise ValueError(
            "a snapshot of Secrets would write their content to the disk: pass Snapshot(path, allow_secrets=True) if it may"
        )
    model = source.model
    if model is None or model is Object or is_official(model):
        return None
    if model is dict or (isinstance(model, type) and issubclass(model, msgspec.Struct)):
        return model
    raise ValueError(
        f"snapshot= needs objects that can be written: model= may be dict, a msgspec.Struct or an official class, not {model!r}"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, UnusableSnapshotError):
        return str(error)
    return getattr(error, "strerror", None) or type(error).__name__


def _description(model: Any) -> str:
    if model is None or model is Object:
        return ""
    name = function_name(model)
    return f"{name} {msgspec.json.schema(model)}" if issubclass(model, msgspec.Struct) else name


def _code_of(transform: Any) -> str:
    """Returns a text that differs when the code of a transform differs. What it calls is not a part of it."""
    code = getattr(transform, "__code__", None)
    return f"{function_name(transform)} {'' if code is None else _parts(code)}"


def _parts(code: Any) -> str:
    constants = [_parts(each) if hasattr(each, "co_code") else repr(each) for each in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"
