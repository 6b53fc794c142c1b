"""Recording Kubernetes events: what components report of objects, given to logs and handlers."""

from __future__ import annotations

from informer.record.event_broadcaster import EventBroadcaster
from informer.record.event_recorder import EventRecorder
from informer.record.fake_recorder import FakeRecorder
from informer.record.reference import get_partial_reference, get_reference

__all__ = ["EventBroadcaster", "EventRecorder", "FakeRecorder", "get_partial_reference", "get_reference"]
