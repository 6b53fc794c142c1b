"""Recording Kubernetes events: components report them, and logs, handlers and API servers receive them."""

from __future__ import annotations

import informer.watch_check  # noqa: F401 - before any module that imports `watch`
from informer.record.correlator import Correlation, EventCorrelator
from informer.record.event import RecordedEvent
from informer.record.event_broadcaster import EventBroadcaster
from informer.record.event_recorder import EventRecorder, Report
from informer.record.event_sink import CoreV1EventSink, EventSink, EventsV1Sink
from informer.record.fake_recorder import FakeRecorder
from informer.record.reference import get_partial_reference, get_reference

__all__ = [
    "CoreV1EventSink",
    "Correlation",
    "EventBroadcaster",
    "EventCorrelator",
    "EventRecorder",
    "EventSink",
    "EventsV1Sink",
    "FakeRecorder",
    "RecordedEvent",
    "Report",
    "get_partial_reference",
    "get_reference",
]
