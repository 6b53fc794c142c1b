"""Fixtures for all tests: a check for leftover threads, calls on other threads, certificates, a real control plane."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from tests.support import locks, log_limits
from tests.support.authority import Authority
from tests.support.waiting import Task

if TYPE_CHECKING:
    from informer.testing.control_plane import ControlPlane

# Off, because the duration of one example depends on how busy the machine is.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

# Before the modules that make limits when they are imported.
log_limits.remember_limits()


@pytest.fixture(autouse=True)
def no_leftover_threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves a thread running, except a test marked `leaves_threads`."""
    before = set(threading.enumerate())
    yield
    if request.node.get_closest_marker("leaves_threads"):
        return
    deadline = time.monotonic() + 5
    # The thread of bounded logs ends by itself, when the numbers of suppressed lines are logged.
    ends_later = "informer-log-summaries"
    left = [t for t in threading.enumerate() if t not in before and t.is_alive() and t.name != ends_later]
    for thread in left:
        thread.join(max(0.0, deadline - time.monotonic()))
    left = [t.name for t in left if t.is_alive()]
    assert not left, f"threads left running: {left}"


@pytest.fixture(scope="session", autouse=True)
def locked_methods() -> int:
    """Wraps the methods that need a lock held, for `locks_are_held`; how many there are."""
    return locks.check_locked_methods()


@pytest.fixture(autouse=True)
def locks_are_held(locked_methods: int) -> Iterator[None]:
    """Fails a test in which a `*_locked` method is called without its lock."""
    locks.violations.clear()
    yield
    assert not locks.violations, sorted(set(locks.violations))


@pytest.fixture(autouse=True)
def no_lines_of_earlier_tests() -> None:
    """Begins the periods of bounded logs anew."""
    log_limits.forget_lines()


@pytest.fixture
def run() -> Iterator[Callable[..., Task]]:
    """Starts a function on its own thread; the test fails if a call has not ended when the test is over."""
    tasks: list[Task] = []

    def start(function: Callable[..., Any], *args: Any) -> Task:
        tasks.append(Task(function, args))
        return tasks[-1]

    yield start
    running = [task for task in tasks if not task.ends_within()]
    assert not running


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Makes SIGINT raise KeyboardInterrupt here and in child processes; a shell ignores SIGINT for background jobs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def make_authority(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Authority]:
    """Returns a function that makes certificate authorities, each in its own folder."""
    return lambda: Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def authority(make_authority: Callable[[], Authority]) -> Authority:
    """A certificate authority."""
    return make_authority()


@pytest.fixture(scope="session")
def client_authority(make_authority: Callable[[], Authority]) -> Authority:
    """The authority whose client certificates the real control planes accept."""
    return make_authority()


@pytest.fixture(scope="session")
def control_plane_options(client_authority: Authority) -> dict[str, Any]:
    """Options for the real control planes: features under test that are off by default."""
    return {
        "feature_gates": {"ShardedListAndWatch": True},
        "extra_args": [f"--client-ca-file={client_authority.path}"],
    }


@pytest.fixture(scope="session")
def unsteady_plane(control_plane_options: dict[str, Any]) -> Iterator[ControlPlane]:
    """A second real control plane, for tests that kill, freeze, restart or compact it; each test leaves it running."""
    if not os.environ.get("KUBEBUILDER_ASSETS"):
        pytest.skip("KUBEBUILDER_ASSETS is not set: it should name a folder with etcd and kube-apiserver")
    from informer.testing.control_plane import ControlPlane

    with ControlPlane(**control_plane_options) as plane:
        yield plane


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The credentials that a test uses are not redacted from the messages of the next one."""
    monkeypatch.setattr("watch.printable._secrets", ())
