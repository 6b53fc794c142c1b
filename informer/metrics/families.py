"""Every metric: its name, type, help text and labels, and how its readings become samples of the Prometheus client.

Names are client-go's where it has the metric. Label values are short, and unique among the objects of one kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, TypeVar
from weakref import WeakKeyDictionary

from informer.metrics.client import Metric, Sample
from informer.reflector.counts import Summary

__all__ = ["FAMILIES", "Family", "Histogram", "Reading", "UniqueNames", "label_value", "to_metrics"]

T = TypeVar("T")

Kind = Literal["gauge", "counter", "summary", "histogram"]

_MAX_LABEL_LENGTH = 120


class Histogram(Protocol):
    """A histogram of durations, such as `informer.workqueue.Durations`."""

    @property
    def bounds(self) -> Sequence[float]:
        """The upper bound of each bucket except the last one, which has none."""
        ...

    @property
    def counts(self) -> Sequence[int]:
        """The number of durations in each bucket, not cumulative."""
        ...

    @property
    def total(self) -> float:
        """The sum of all durations, in seconds."""
        ...


@dataclass(frozen=True, eq=False)
class Family:
    """One metric.

    Attributes:
        name: its name, without the suffix "_total" of a counter.
        kind: its Prometheus type.
        text: its help text.
        labels: the names of its labels.
    """

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ("name",)

    def of(self, value: float | Summary | Histogram, *labels: str) -> Reading:
        """A reading: the metric's current value for these values of its labels."""
        return self, labels, value

    def samples(self, labels: dict[str, str], value: float | Summary | Histogram) -> list[Sample]:
        """The samples that a reading stands for.

        Args:
            labels: the labels' values by name.
            value: a number, or a `Summary` for a summary, or a `Histogram` for a histogram.
        """
        if isinstance(value, (int, float)):
            return [Sample(self._sample_name, labels, value)]
        if isinstance(value, Summary):
            return [Sample(f"{self.name}_count", labels, value.count), Sample(f"{self.name}_sum", labels, value.total)]
        return self._histogram(labels, value)

    @cached_property
    def _sample_name(self) -> str:
        return f"{self.name}_total" if self.kind == "counter" else self.name

    def _histogram(self, labels: dict[str, str], value: Histogram) -> list[Sample]:
        made = []
        so_far = 0
        bounds = [*(repr(float(bound)) for bound in value.bounds), "+Inf"]
        for bound, count in zip(bounds, value.counts, strict=True):
            so_far += count
            made.append(Sample(f"{self.name}_bucket", {**labels, "le": bound}, so_far))
        return [*made, Sample(f"{self.name}_count", labels, so_far), Sample(f"{self.name}_sum", labels, value.total)]


Reading = tuple[Family, tuple[str, ...], "float | Summary | Histogram"]
"""A metric, the values of its labels, and its value."""

_HANDLER = ("name", "handler")

INFO = Family(
    "informer_info",
    "gauge",
    "1 for each informer; the labels say what it follows.",
    ("name", "resource", "namespaces", "server"),
)
UP = Family("informer_up", "gauge", "1 while the informer runs, 0 when its reader thread has ended with an error.")
SYNCED = Family("informer_synced", "gauge", "1 when the first list is in the cache.")
FAILING = Family(
    "informer_failing", "gauge", "1 while an error keeps the informer from syncing or from following the server."
)
WATCHES_OPEN = Family("informer_watches_open", "gauge", "Open watches: one per informer, or one per namespace of it.")
EVENT_AGE = Family(
    "informer_last_event_age_seconds", "gauge", "Seconds since the server last sent an event or bookmark."
)
EVENTS = Family("informer_events", "counter", "Events received from watches, including bookmarks.")
RELISTS = Family("informer_relists", "counter", "Lists stored after the first one.")
RECONNECTS = Family("informer_reconnects", "counter", "Watches that resumed where another had ended, without a list.")
ERRORS = Family(
    "informer_errors",
    "counter",
    "Failed operations (verb: list, watch, follow for an open watch, store) and how they failed (kind: an HTTP status, decode, "
    "refused, tls, timeout, connection, silence or other).",
    ("name", "verb", "kind"),
)
DECODE_ERRORS = Family(
    "informer_decode_errors", "counter", "Objects left out of the cache because decoding or transforming them failed."
)
INDEX_ERRORS = Family("informer_index_errors", "counter", "Calls of index functions that raised.")
QUEUED = Family("informer_queued_items", "gauge", "Items that were read and wait to be applied to the cache.")
PROCESSING = Family(
    "informer_processing_latency_seconds",
    "summary",
    "How long it took to apply the items of one read and to pass them to the handlers.",
)
OBJECTS = Family("informer_store_objects", "gauge", "Objects in the cache.")
BYTES = Family(
    "informer_store_bytes",
    "gauge",
    "JSON bytes of the objects in the cache, estimated from a sample; absent if they are kept in another form.",
)
STORE_VERSION = Family(
    "informer_store_resource_version", "gauge", "The last 15 digits of the resourceVersion that the cache has reached."
)
LISTS = Family("reflector_lists", "counter", "Lists requested in pages, or begun as a stream.")
LIST_SECONDS = Family("reflector_list_duration_seconds", "summary", "How long complete lists took.")
LIST_ITEMS = Family("reflector_items_per_list", "summary", "How many objects complete lists contained.")
WATCHES = Family("reflector_watches", "counter", "Watches requested.")
SHORT_WATCHES = Family("reflector_short_watches", "counter", "Watches that ended within a second and without an event.")
WATCH_SECONDS = Family("reflector_watch_duration_seconds", "summary", "How long the watches that have ended were open.")
WATCH_EVENTS = Family("reflector_items_per_watch", "summary", "How many events the watches that have ended received.")
LAST_VERSION = Family(
    "reflector_last_resource_version", "gauge", "The last 15 digits of the last resourceVersion received."
)
BACKLOG = Family("informer_handler_backlog", "gauge", "Changes that wait for a handler.", _HANDLER)
LAG = Family("informer_handler_lag_seconds", "gauge", "How long the oldest waiting change has waited.", _HANDLER)
HANDLED = Family(
    "informer_handler_duration_seconds",
    "summary",
    "How many changes (not calls) were delivered to a handler, and how long that took.",
    _HANDLER,
)
HANDLER_BUSY = Family(
    "informer_handler_busy_seconds", "gauge", "How long the current batch has been in delivery.", _HANDLER
)
HANDLER_ERRORS = Family(
    "informer_handler_errors",
    "counter",
    "How many deliveries failed: the handler, its filter, or decoding raised.",
    _HANDLER,
)
READ_ERRORS = Family(
    "informer_metrics_read_errors",
    "counter",
    "Informers, work queues and electors left out of a scrape because reading them failed.",
    (),
)
DEPTH = Family("workqueue_depth", "gauge", "Items that wait in the work queue.")
ADDS = Family("workqueue_adds", "counter", "Items added, without those that waited already.")
RETRIES = Family("workqueue_retries", "counter", "Items added with a delay or with backoff.")
QUEUE_SECONDS = Family(
    "workqueue_queue_duration_seconds", "histogram", "How long items waited before a worker took them."
)
WORK_SECONDS = Family("workqueue_work_duration_seconds", "histogram", "How long workers took to process an item.")
UNFINISHED = Family(
    "workqueue_unfinished_work_seconds", "gauge", "How long the items under way have been processed so far, summed up."
)
LONGEST = Family(
    "workqueue_longest_running_processor_seconds",
    "gauge",
    "How long the oldest item under way has been processed so far.",
)
LEADER = Family("leader_election_master_status", "gauge", "1 while this elector leads.")
SLOW_PATH = Family("leader_election_slowpath", "counter", "Renewals that had to read the lease first.")

FAMILIES = tuple(family for family in list(globals().values()) if isinstance(family, Family))
"""All metrics."""


def to_metrics(readings: Iterable[Reading]) -> Iterator[Metric]:
    """Groups readings by metric, in the form of the Prometheus client. A metric without readings is left out."""
    metrics: dict[Family, Metric] = {}
    # Thousands of readings share a few hundred sets of labels, and samples only read them.
    known: dict[tuple[tuple[str, ...], tuple[str, ...]], dict[str, str]] = {}
    for family, values, value in readings:
        metric = metrics.get(family)
        if metric is None:
            metric = metrics[family] = Metric(family.name, family.text, family.kind)
        key = (family.labels, values)
        labels = known.get(key)
        if labels is None:
            labels = known[key] = dict(zip(family.labels, values, strict=True))
        metric.samples += family.samples(labels, value)
    yield from metrics.values()


class UniqueNames:
    """Gives each object of one kind a unique label value, "pods" and "pods#2" where two have the same name.

    An object keeps its label value from one `assign` to the next. A value is free again once its object is gone.

    Threads: not thread-safe; the caller holds a lock.
    """

    def __init__(self) -> None:
        self._names: WeakKeyDictionary[Any, str] = WeakKeyDictionary()

    def assign(self, named: Iterable[tuple[T, str]]) -> list[tuple[T, str]]:
        """Returns each object with its unique label value.

        Args:
            named: all current objects with their names, the oldest first.
        """
        present = list(named)
        kept: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
        for each, _ in present:
            if each in self._names:
                kept[each] = self._names[each]
        taken = set(kept.values())
        for each, name in present:
            if each not in kept:
                kept[each] = _first_free(label_value(name), taken)
                taken.add(kept[each])
        self._names = kept
        return [(each, kept[each]) for each, _ in present]


def label_value(value: Any) -> str:
    """The text of a value, cut to the length of a label."""
    text = str(value)
    return text if len(text) <= _MAX_LABEL_LENGTH else text[: _MAX_LABEL_LENGTH - 1] + "…"


def _first_free(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name}#{number}" in taken:
        number += 1
    return f"{name}#{number}"
