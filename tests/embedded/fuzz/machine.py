"""A state machine for Hypothesis: writes, faults, informers and handlers in any order, with checks after each step.

A failure is an AssertionError that names the violated check and lists the steps before it.
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable
from threading import Event
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from informer.testing import EmbeddedAPIServer
from tests.embedded.fuzz.draws import (
    few,
    handlers,
    informers,
    many,
    namespaces,
    own_writes,
    pause,
    slow,
    streams,
    then,
    writes,
)
from tests.embedded.fuzz.faults import ANSWERS, AT_ONCE, IN_STREAMS
from tests.embedded.fuzz.follower import INDEXERS, SILENCE, Follower
from tests.embedded.fuzz.history import Copy
from tests.embedded.fuzz.model import NAMES, VERSIONS, Model
from tests.embedded.fuzz.recorder import DEADLINE, Progress
from tests.support.waiting import eventually

_MOST_FOLLOWERS = 3
_MOST_LISTENERS = 4


def step(function: Callable[..., None]) -> Callable[..., None]:
    """Lists the steps so far when a step fails, since the same steps need not fail again with another timing of threads."""

    @functools.wraps(function)
    def wrapped(self: InformerMachine, **arguments: Any) -> None:
        self.settled = False
        self.steps.append(f"  {function.__name__}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})")
        self._with_steps(lambda: function(self, **arguments))

    return wrapped


class InformerMachine(RuleBasedStateMachine):
    """The base of the machines; each has one kind of queue and one way to get the first list."""

    queue: Any = "in_order"
    watch_list: bool = False
    # Whether the objects are of a custom resource, whose served version changes.
    versions: bool = False
    # Seconds. With frequent bookmarks a namespace without events soon reports that it has nothing new. With rare ones, as of a
    # real server, the first informer follows two namespaces, and every quiet watch counts as silent and is opened again.
    bookmark_interval: float = 0.03

    def __init__(self) -> None:
        super().__init__()
        self.server = EmbeddedAPIServer(bookmark_interval=self.bookmark_interval).start()
        self.model = Model(self.server, versions=self.versions)
        self.progress = Progress()
        self.gate = Event()
        self.gate.set()
        self.followers: list[Follower] = []
        self.stopped: list[Follower] = []
        self.made = 0
        self.steps: list[str] = []
        self.failed = self.settled = False

    # The server's state

    @rule(
        some=st.lists(writes, min_size=1, max_size=3) | st.lists(writes, min_size=5, max_size=40),
        slow=slow,
        pause=pause,
    )
    @step
    def write(self, some: list[Any], slow: str | None, pause: float) -> None:
        """Writes, after slow handlers were blocked or released."""
        if slow is not None:
            (self.gate.set if slow == "free" else self.gate.clear)()
        for write in some:
            self._write(write)
        self._let_happen(pause)

    @rule(some=many, pause=pause)
    @step
    def write_many(self, some: list[Any], pause: float) -> None:
        for write in some:
            self._write(write)
        self._let_happen(pause)

    @rule(namespaces=st.sets(namespaces, min_size=1), pause=pause)
    @step
    def delete_all(self, namespaces: set[str], pause: float) -> None:
        for namespace, name in itertools.product(sorted(namespaces), NAMES):
            self.model.delete(namespace, name)
        self._let_happen(pause)

    # Faults

    @rule(
        answer=st.sampled_from([*ANSWERS]),
        on=st.sampled_from(["list", "watch", "watch_list", "any"]),
        some=few,
        then=then,
        pause=pause,
    )
    @step
    def refuse(self, answer: str, on: str, some: list[Any], then: str | None, pause: float) -> None:
        ANSWERS[answer](self.server.faults, on)
        self._happen(some, then, pause)

    @rule(
        what=st.sampled_from([*IN_STREAMS]),
        on=st.sampled_from(["watch", "watch_list"]),
        some=few,
        then=then,
        pause=pause,
    )
    @step
    def disturb_stream(self, what: str, on: str, some: list[Any], then: str | None, pause: float) -> None:
        IN_STREAMS[what](self.server.faults, on)
        self._happen(some, then, pause)

    @rule(some=few, what=st.sampled_from([*AT_ONCE]), pause=pause)
    @step
    def happen(self, some: list[Any], what: str, pause: float) -> None:
        self._happen(some, what, pause)

    # A silent watch takes time to be noticed, so only one in four of these steps happens.
    @precondition(lambda self: self.followers)
    @rule(really=st.sampled_from([True, False, False, False]), some=st.lists(writes, min_size=1, max_size=3))
    @step
    def fall_silent(self, really: bool, some: list[Any]) -> None:
        """Watches stay open and silent: informers close them and get the new events from others."""
        if really:
            self.server.faults.freeze(times=len(self.server.requests.select(open=True)) or 1)
            for write in some:
                self._write(write)
            self._let_happen(2 * SILENCE)

    @rule(before=few, after=few, pause=pause)
    @step
    def lose_the_history(self, before: list[Any], after: list[Any], pause: float) -> None:
        """No watch can resume: every informer has to list again, and to find what changed meanwhile."""
        self.server.faults.refuse_connections()
        self.server.faults.cut_connections()
        for write in before:
            self._write(write)
        self.server.compact()
        for write in after:
            self._write(write)
        self.server.faults.accept_connections()
        self._let_happen(pause)

    @precondition(lambda self: self.versions)
    @rule(version=st.sampled_from(VERSIONS), some=few, what=st.sampled_from(["cut", "end watches", "compact and cut"]))
    @step
    def serve(self, version: str, some: list[Any], what: str) -> None:
        """The server serves the objects in another version, and no more in the one before."""
        self.model.serve(version)
        # A watch that was opened before goes on in the old version until it ends.
        self._happen(some, what, 0)
        self._settle()

    @precondition(lambda self: self.followers)
    @rule(lost=st.lists(writes, min_size=3, max_size=12), after=few)
    @step
    def go_back(self, lost: list[Any], after: list[Any]) -> None:
        """The server's history goes back, as of an etcd that is restored from a copy, and versions are given out again."""
        self._settle()
        copy, kept = Copy(self.server), dict(self.model.objects)
        for write in lost:
            self._write(write)
        self._settle()
        reached = [version for follower in self.followers for version in follower.versions()]
        self.server.faults.refuse_connections()
        self.server.faults.cut_connections()
        for follower in self.followers:
            follower.history_goes_back()
        copy.restore(self.server)
        self.model.objects = kept
        lost_version = min(
            version for version in (*reached, sys.maxsize) if version > int(self.server.resource_version)
        )
        for write in after:
            # A server that is ahead again cannot be told from one that has never been back.
            if int(self.server.resource_version) + 2 < lost_version:
                self._write(write)
        assert eventually(lambda: all(follower.has_been_refused() for follower in self.followers))
        self.server.faults.accept_connections()
        self._settle()
        self.model.forget_history()
        for follower in self.followers:
            follower.history_goes_on()

    @precondition(lambda self: self.followers)
    @rule(which=st.integers(0, 99), write=own_writes)
    @step
    def read_own_write(self, which: int, write: Any) -> None:
        """An informer shows a write as soon as its event is there, also if its other namespaces are quiet."""
        self._settle()
        self._follower(which).read_own_write(*write)

    # Informers

    @initialize(options=informers, some=st.lists(handlers, min_size=1, max_size=2), there=st.lists(writes, max_size=8))
    @step
    def begin(self, options: Any, some: list[Any], there: list[Any]) -> None:
        for write in there:
            self._write(write)
        self._start_informer(options, some)

    @precondition(lambda self: len(self.followers) < _MOST_FOLLOWERS)
    @rule(options=informers, some=st.lists(handlers, max_size=2))
    @step
    def start_informer(self, options: Any, some: list[Any]) -> None:
        self._start_informer(options, some)

    def _start_informer(self, options: Any, some: list[Any]) -> None:
        self.made += 1
        hears_bookmarks = self.bookmark_interval < 1
        if not hears_bookmarks and self.made == 1:
            options = {**options, "namespaces": ("default", "two")}
        follower = Follower(
            self.model,
            self.server.api_client(),
            f"follower-{self.made}.",
            progress=self.progress,
            gate=self.gate,
            hears_bookmarks=hears_bookmarks,
            queue=self.queue,
            watch_list=self.watch_list,
            **options,
        )
        self.followers.append(follower)
        for handler in some:
            follower.add_handler(**handler)
        follower.start()

    @precondition(lambda self: self.followers)
    @rule(which=st.integers(0, 99), drain=st.booleans(), while_blocked=st.booleans())
    @step
    def stop_informer(self, which: int, drain: bool, while_blocked: bool) -> None:
        follower = self.followers.pop(which % len(self.followers))
        self.stopped.append(follower)
        follower.stop(drain=drain, while_blocked=while_blocked)

    @precondition(lambda self: self.followers)
    @rule(which=st.integers(0, 99), name=st.sampled_from([*INDEXERS]))
    @step
    def add_index(self, which: int, name: str) -> None:
        indexer = self._follower(which).informer.indexer
        if name not in indexer.indexers:
            self._follower(which).informer.add_indexers({name: INDEXERS[name]})

    # Handlers and streams

    @precondition(lambda self: self.followers)
    @rule(which=st.integers(0, 99), handler=handlers)
    @step
    def add_handler(self, which: int, handler: Any) -> None:
        follower = self._follower(which)
        if len(follower.handlers) < _MOST_LISTENERS:
            follower.add_handler(**handler)

    @precondition(lambda self: any(follower.handlers for follower in self.followers))
    @rule(which=st.integers(0, 99), number=st.integers(0, 99))
    @step
    def remove_handler(self, which: int, number: int) -> None:
        follower = self._follower(which)
        if follower.handlers:
            self.gate.set()
            follower.remove_handler(number % len(follower.handlers))

    @precondition(lambda self: self.followers)
    @rule(which=st.integers(0, 99), stream=streams)
    @step
    def open_stream(self, which: int, stream: Any) -> None:
        follower = self._follower(which)
        if len(follower.streams) < _MOST_LISTENERS:
            follower.add_stream(**stream)

    @precondition(lambda self: any(follower.streams for follower in self.followers))
    @rule(which=st.integers(0, 99), number=st.integers(0, 99))
    @step
    def close_stream(self, which: int, number: int) -> None:
        follower = self._follower(which)
        if follower.streams:
            follower.close_stream(number % len(follower.streams))

    # Checks

    @invariant()
    def nothing_is_wrong(self) -> None:
        self._with_steps(self._check)
        for follower in self.followers:
            self._with_steps(follower.check_requests)

    @precondition(lambda self: not self.settled)
    @rule()
    @step
    def settle(self) -> None:
        """Without faults every informer reaches the server's state and has exactly the watches it needs."""
        self._settle()

    def _settle(self) -> None:
        self.server.faults.clear()
        self.gate.set()
        if not self.progress.wait_until(self._is_settled, DEADLINE):
            raise AssertionError(f"not settled: {self._object_errors()}")
        watches = sum(len(follower.informer.controller.reflectors) for follower in self.followers)
        for verb in ("list", "get"):
            self.server.requests.wait_until_ended(verb, timeout=DEADLINE)
        self._wait_for_watches(watches)
        self.settled = True

    def teardown(self) -> None:
        try:
            if not self.failed:
                self._end()
        finally:
            self.gate.set()
            for follower in (*self.followers, *self.stopped):
                follower.force_stop()
            self.server.stop()

    @step
    def _end(self) -> None:
        self._settle()
        for number, follower in enumerate(self.followers):
            follower.stop(drain=bool(number % 2), while_blocked=False)
        self._wait_for_watches(0)

    # Helpers

    def _with_steps(self, function: Callable[[], None]) -> None:
        try:
            function()
        except Exception as error:
            self.failed = True
            story = "\n".join([f"{type(error).__name__}: {error}", "after", *self.steps])
            # Printed as well, because Hypothesis repeats the steps and may only report that they passed this time.
            sys.stdout.write(f"{story}\n")
            raise AssertionError(story) from error

    def _check(self) -> None:
        for follower in self.followers:
            follower.check()

    def _is_settled(self) -> bool:
        self._check()
        return not self._object_errors()

    def _object_errors(self) -> list[str]:
        found = [(follower, follower.problem()) for follower in self.followers]
        return [f"{f.name}, {f.informer.sync_error()!r}: {problem}" for f, problem in found if problem is not None]

    def _happen(self, some: list[Any], what: str | None, pause: float) -> None:
        for write in some:
            self._write(write)
        if what is not None:
            AT_ONCE[what](self.server)
        self._let_happen(pause)

    def _let_happen(self, seconds: float) -> None:
        """Gives the informers up to `seconds` to catch up; a fault may keep them from it."""
        if seconds:
            self.progress.wait_until(self._is_settled, seconds)

    def _write(self, write: Any) -> None:
        what, namespace, name, color, number, padding = write
        if what != "put" and not self.model.delete(namespace, name):
            return
        if what != "delete":
            self.model.put(namespace, name, color, number, padding)

    def _follower(self, which: int) -> Follower:
        return self.followers[which % len(self.followers)]

    def _wait_for_watches(self, count: int) -> None:
        """Fails if a connection stays open that no informer reads from."""
        self.server.requests.wait_until_ended(left=count, timeout=DEADLINE)
