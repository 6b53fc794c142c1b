"""Messages of docs/errors.md about watches outside of informers, each in full."""

from __future__ import annotations

from typing import Any

import pytest

from informer import ListWatch
from informer.record import EventBroadcaster  # noqa: F401 - registers nothing; see test_events
from tests.support.messages import check_logged, check_raised
from tests.support.objects import stored_pod
from watch import ApiError, Channel, Event, EventType, FakeWatcher, ListOptions, RequestScope, RetryWatcher, filter_watch
