"""A network and a server that fail while pods change: every kind of informer comes back to what the server holds."""

from __future__ import annotations

import logging
from random import Random

import pytest

from informer import Backoff
from tests.cluster.faults.faults import FAULTS, several
from tests.cluster.faults.scene import Scene

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]


@pytest.fixture
def scene(unsteady):
    made = Scene(unsteady, backoff=Backoff(initial=0.05, maximum=1.0), silence_timeout=3, random=Random(2))
    try:
        made.start()
        yield made
    finally:
        made.close()


# Several in a row are for the soak, which has the time.
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault is not several], ids=lambda fault: fault.__name__)
def test_cache_and_handlers_end_in_the_servers_state(scene, fault):
    """After a fault the caches equal a new list, what handlers were told is free of contradictions, and nobody hammers."""
    recovery = scene.undergo(fault)
    logging.getLogger(__name__).info("recovered after %s", recovery)
