"""Every metric that there is: its name, what it says, and its labels. client-go's names where it has one.

Comes in: readings. Goes out: what the Prometheus client shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

from informer.metrics.client import Metric, Sample
from informer.reflector.counts import Tally

__all__ = ["FAMILIES", "Family", "Histogram", "Reading", "shown"]

Kind = Literal["gauge", "counter", "summary", "histogram"]


class Histogram(Protocol):
    """How many durations were in which bucket, and their sum."""

    @property
    def bounds(self) -> Sequence[float]:
        """Each bucket's upper bound, but the last one's, which has none."""
        ...

    @property
    def counts(self) -> Sequence[int]:
        """How many are in each bucket and in no earlier one."""
        ...

    @property
    def total(self) -> float:
        """The sum of all."""
        ...


@dataclass(frozen=True, eq=False)
class Family:
    """One metric.

    Attributes:
        name: without the "_total" of a counter.
        kind: of Prometheus' types.
        text: what it says.
        labels: names.
    """

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ("name",)

    def of(self, value: float | Tally | Histogram, *labels: str) -> Reading:
        """What it is now, for these values of its labels."""
        return self, labels, value

    def samples(self, named: dict[str, str], value: float | Tally | Histogram) -> list[Sample]:
        """A reading as lines to be shown.

        Args:
            named: the labels by name.
            value: of the kind that this metric has.
        """
        if isinstance(value, (int, float)):
            return [Sample(self._shown_name, named, value)]
        if isinstance(value, Tally):
            return [Sample(f"{self.name}_count", named, value.count), Sample(f"{self.name}_sum", named, value.total)]
        return self._histogram(named, value)

    @cached_property
    def _shown_name(self) -> str:
        return f"{self.name}_total" if self.kind == "counter" else self.name

    def _histogram(self, named: dict[str, str], value: Histogram) -> list[Sample]:
        made = []
        so_far = 0
        bounds = [*(repr(float(bound)) for bound in value.bounds), "+Inf"]
        for bound, count in zip(bounds, value.counts, strict=True):
            so_far += count
            made.append(Sample(f"{self.name}_bucket", {**named, "le": bound}, so_far))
        return [*made, Sample(f"{self.name}_count", named, so_far), Sample(f"{self.name}_sum", named, value.total)]


Reading = tuple[Family, tuple[str, ...], "float | Tally | Histogram"]
"""What a metric is, for some values of its labels."""

_HANDLER = ("name", "handler")

INFO = Family(
    "informer_info", "gauge", "1 for each informer, and what it follows.", ("name", "resource", "namespaces", "server")
)
UP = Family("informer_up", "gauge", "1 while the informer runs, 0 when its reading has ended with an error.")
SYNCED = Family("informer_synced", "gauge", "1 when the first list is in the cache.")
FAILING = Family("informer_failing", "gauge", "1 while something keeps it from syncing, or from following the server.")
WATCHES_OPEN = Family(
    "informer_watches_open", "gauge", "Watches that are open: one, or one for each of its namespaces."
)
EVENT_AGE = Family(
    "informer_last_event_age_seconds", "gauge", "Seconds since the server last sent anything, bookmarks included."
)
EVENTS = Family("informer_events", "counter", "Events that watches have brought, bookmarks included.")
RELISTS = Family("informer_relists", "counter", "Lists stored after the first.")
RECONNECTS = Family("informer_reconnects", "counter", "Watches that took up where another had ended, without a list.")
ERRORS = Family(
    "informer_errors",
    "counter",
    "What has failed (list, watch, follow: an open watch, store), and how: an HTTP status, decode, refused, tls, timeout, "
    "connection, silence or other.",
    ("name", "verb", "kind"),
)
DECODE_ERRORS = Family("informer_decode_errors", "counter", "Objects left out since they, or their transform, failed.")
INDEX_ERRORS = Family("informer_index_errors", "counter", "Calls of index functions that raised.")
QUEUED = Family("informer_queued_items", "gauge", "What waits between reading and applying.")
PROCESSING = Family(
    "informer_processing_latency_seconds",
    "summary",
    "How long it takes to apply and give out what one read has brought.",
)
OBJECTS = Family("informer_store_objects", "gauge", "Objects in the cache.")
BYTES = Family(
    "informer_store_bytes",
    "gauge",
    "Bytes of the JSON in the cache, from a sample; not for objects kept in another form.",
)
STORE_VERSION = Family(
    "informer_store_resource_version", "gauge", "The last 15 digits of the resourceVersion that the cache has reached."
)
LISTS = Family("reflector_lists", "counter", "Lists asked for in pages, or begun as a stream.")
LIST_SECONDS = Family("reflector_list_duration_seconds", "summary", "How long complete lists took.")
LIST_ITEMS = Family("reflector_items_per_list", "summary", "How many objects complete lists brought.")
WATCHES = Family("reflector_watches", "counter", "Watches asked for.")
SHORT_WATCHES = Family("reflector_short_watches", "counter", "Watches that ended within a second and brought nothing.")
WATCH_SECONDS = Family("reflector_watch_duration_seconds", "summary", "How long watches were open that have ended.")
WATCH_EVENTS = Family("reflector_items_per_watch", "summary", "How many events ended watches have brought.")
LAST_VERSION = Family(
    "reflector_last_resource_version", "gauge", "The last 15 digits of the last resourceVersion that was seen."
)
BACKLOG = Family("informer_handler_backlog", "gauge", "Changes that wait for a handler.", _HANDLER)
LAG = Family("informer_handler_lag_seconds", "gauge", "For how long the oldest of them has waited.", _HANDLER)
HANDLED = Family(
    "informer_handler_duration_seconds",
    "summary",
    "How many changes were handed over to a handler, and how long that took.",
    _HANDLER,
)
HANDLER_BUSY = Family(
    "informer_handler_busy_seconds", "gauge", "How long the handing over that is under way goes on.", _HANDLER
)
HANDLER_ERRORS = Family("informer_handler_errors", "counter", "Calls of a handler that raised.", _HANDLER)
READ_ERRORS = Family(
    "informer_metrics_read_errors", "counter", "Informers, queues and electors that a scrape left out for an error.", ()
)
DEPTH = Family("workqueue_depth", "gauge", "Current depth of the work queue.")
ADDS = Family("workqueue_adds", "counter", "Adds that changed something.")
RETRIES = Family("workqueue_retries", "counter", "Items added for later.")
QUEUE_SECONDS = Family("workqueue_queue_duration_seconds", "histogram", "How long items wait before they are taken.")
WORK_SECONDS = Family("workqueue_work_duration_seconds", "histogram", "How long it takes to process an item.")
UNFINISHED = Family("workqueue_unfinished_work_seconds", "gauge", "Seconds of work under way, summed up.")
LONGEST = Family("workqueue_longest_running_processor_seconds", "gauge", "The longest of the work under way.")
LEADER = Family("leader_election_master_status", "gauge", "1 while this elector leads.")
SLOW_PATH = Family("leader_election_slowpath", "counter", "Renewals that had to read the lease first.")

FAMILIES = tuple(family for family in list(globals().values()) if isinstance(family, Family))
"""All of them."""


def shown(readings: Iterable[Reading]) -> Iterator[Metric]:
    """Readings as the Prometheus client shows them; a metric without any is left out."""
    metrics: dict[Family, Metric] = {}
    # Of thousands of lines most have one of a few hundred sets of labels, which are only read.
    known: dict[tuple[tuple[str, ...], tuple[str, ...]], dict[str, str]] = {}
    for family, labels, value in readings:
        metric = metrics.get(family)
        if metric is None:
            metric = metrics[family] = Metric(family.name, family.text, family.kind)
        key = (family.labels, labels)
        named = known.get(key)
        if named is None:
            named = known[key] = dict(zip(family.labels, labels, strict=True))
        metric.samples += family.samples(named, value)
    yield from metrics.values()
