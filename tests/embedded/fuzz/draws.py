"""What the steps of a machine draw: objects to write, and the options of informers, handlers and streams."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.embedded.fuzz.follower import FORMS
from tests.embedded.fuzz.model import NAMES, NAMESPACES

# Seconds that a step waits for the informers to catch up.
pause = st.sampled_from([0.0, 0.0, 0.02, 0.2])
namespaces, names = st.sampled_from(NAMESPACES), st.sampled_from(NAMES)
colors, numbers = st.sampled_from(["red", "blue"]), st.integers(0, 25)
# Some objects are longer than one read from the socket.
paddings = st.sampled_from([0, 0, 0, 0, 1000, 70_000])
backlogs = st.sampled_from(["all", "coalesce"])
writes = st.tuples(st.sampled_from(["put", "put", "delete", "recreate"]), namespaces, names, colors, numbers, paddings)
own_writes = st.tuples(namespaces, names, numbers)
few, many = st.lists(writes, max_size=3), st.lists(writes, min_size=5, max_size=30)
handlers = st.fixed_dictionaries(
    {
        "backlog": backlogs,
        "filtered": st.booleans(),
        "batches": st.booleans(),
        "fails": st.booleans(),
        "gated": st.booleans(),
        "resync_period": st.sampled_from([None, 0, 2.0]),
    }
)
streams = st.fixed_dictionaries({"backlog": backlogs, "filtered": st.booleans(), "initial": st.booleans()})
informers = st.fixed_dictionaries(
    {
        "namespaces": st.sampled_from([None, None, ("one",), ("default", "two")]),
        "red": st.booleans(),
        "form": st.sampled_from([*FORMS]),
        "transformed": st.booleans(),
        "page_size": st.sampled_from([2, 500]),
        "resync_period": st.sampled_from([0, 1.0]),
    }
)

slow = st.sampled_from([None, None, "stuck", "free"])
# Makes a fault that waits for the next request happen at once.
then = st.sampled_from([None, "cut", "end watches", "compact and cut"])
