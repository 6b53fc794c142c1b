"""Every kind of informer recovers from each fault of the network and the server, while pods change."""

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


# The soak test takes the time for several faults in a row.
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault is not several], ids=lambda fault: fault.__name__)
def test_cache_and_handlers_reach_the_servers_state(scene, fault):
    """After a fault the caches equal a new list, handlers' calls do not contradict, and requests are few."""
    recovery = scene.undergo(fault)
    assert len(recovery.seconds) == len(scene.informers)
    logging.getLogger(__name__).info("recovered after %s", recovery)
