"""Shared by all tests: no test may leave a thread behind, and functions can run beside a test."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from tests.authority import Authority

if TYPE_CHECKING:
    from informer.testing.control_plane import ControlPlane

# How long one example takes says more about the machine's other work than about the code.
settings.register_profile("project", deadline=None)
settings.load_profile("project")


# Seconds in which what runs beside a test has to end.
TASK_DEADLINE = 10.0


@pytest.fixture(autouse=True)
def no_leftover_threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves a thread running, unless it is marked `leaves_threads`."""
    before = set(threading.enumerate())
    yield
    if request.node.get_closest_marker("leaves_threads"):
        return
    deadline = time.monotonic() + 5
    left = [t for t in threading.enumerate() if t not in before and t.is_alive()]
    for thread in left:
        thread.join(max(0.0, deadline - time.monotonic()))
    left = [t.name for t in left if t.is_alive()]
    assert not left, f"threads left running: {left}"


class Task:
    """A call on a thread of its own."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._function, self._args = function, args
        self._value: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value = self._function(*self._args)
        except BaseException as error:
            self._error = error

    def ends_within(self, seconds: float = TASK_DEADLINE) -> bool:
        """Whether the call is over, after waiting at most so long."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def result(self) -> Any:
        """What the call returned; raises what it raised, and fails if it goes on."""
        assert self.ends_within(), f"{self._function} did not return"
        if self._error is not None:
            raise self._error
        return self._value


@pytest.fixture
def run() -> Iterator[Callable[..., Task]]:
    """Starts a function on a thread; the test fails if it has not ended by the end of the test."""
    tasks: list[Task] = []

    def start(function: Callable[..., Any], *args: Any) -> Task:
        tasks.append(Task(function, args))
        return tasks[-1]

    yield start
    running = [task for task in tasks if not task.ends_within()]
    assert not running


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, also in processes started here; a shell turns it off for tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def make_authority(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Authority]:
    """Makes certificate authorities, each with a folder of its own."""
    return lambda: Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def authority(make_authority: Callable[[], Authority]) -> Authority:
    """A certificate authority."""
    return make_authority()


@pytest.fixture(scope="session")
def client_authority(make_authority: Callable[[], Authority]) -> Authority:
    """The authority whose certificates real control planes take from clients."""
    return make_authority()


@pytest.fixture(scope="session")
def control_plane_options(client_authority: Authority) -> dict[str, Any]:
    """The real control plane has what is tested here and is not on by default."""
    return {
        "feature_gates": {"ShardedListAndWatch": True},
        "extra_args": [f"--client-ca-file={client_authority.path}"],
    }


@pytest.fixture(scope="session")
def unsteady_plane(control_plane_options: dict[str, Any]) -> Iterator[ControlPlane]:
    """A second real control plane, for tests that kill, freeze, restart or compact it; each leaves it running."""
    if not os.environ.get("KUBEBUILDER_ASSETS"):
        pytest.skip("KUBEBUILDER_ASSETS is not set: it should name a folder with etcd and kube-apiserver")
    from informer.testing.control_plane import ControlPlane

    with ControlPlane(**control_plane_options) as plane:
        yield plane


# What breaks JSON, and what does not but is odd.
_TOKENS = (
    *(b"\xef\xbb\xbf", b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\n", b"\r", b"\t", b" ", b"\\", b'"', b",", b":"),
    *(b"{", b"}", b"[", b"]", b"{}", b"[]", b"[{", b"}]", b"},{", b"null", b"true", b"NaN", b"-", b"0", b"1e999"),
    *(b"18446744073709551616", b"\\u0000", b"\\ud800", b"/*", b"//", b"'", b"\x01", b"\x7f", b"\x0c"),
    *(b'"metadata":null,', b'"metadata":{"name":"twice"},', b'"metadata":[],', b'"metadata":"x",', b'"name":7,'),
    *(b'"type":"DELETED",', b'"type":7,', b'"object":{},', b'"object":null,', b'"resourceVersion":"99",'),
    *(
        b'"items":[],',
        b'"items":null,',
        b'"kind":"Table",',
        b'"kind":"Status",',
        b'"\\u0069tems":[{}],',
        b'{"items":[{}]}',
    ),
)


def _mutated(data: bytes, random: Random) -> bytes:
    """Bytes with one to three of them wrong: flipped, replaced, lost, said twice, swapped or put between."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        at, to = sorted(random.randrange(len(data) + 1) for _ in range(2))
        to = min(to, at + random.choice((1, 1, 2, 8, 1000)))
        way = random.randrange(6)
        if way == 0 and at < len(data):
            data = data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]
        elif way == 1:
            data = data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]
        elif way == 2:
            data = data[:at] + data[to:]
        elif way == 3:
            data = data[:to] + data[at:]
        elif way == 4:
            # Between two tokens of JSON, where the odd is not always the wrong.
            places = [place for place, byte in enumerate(data, 1) if byte in b'{,[:"'] or [at]
            at = random.choice(places)
            data = data[:at] + random.choice(_TOKENS) + data[at:]
        else:
            data = data[:at] + random.choice(_TOKENS) + data[to:]
    return data


@pytest.fixture(scope="session")
def mutated() -> Callable[[bytes, Random], bytes]:
    """Makes bytes wrong, or odd, by chance."""
    return _mutated


def _random_pieces(body: bytes, random: Random) -> Iterator[bytes]:
    at = 0
    step = random.choice((1, 7, 100, 100_000))
    while at < len(body):
        to = at + random.randint(1, step)
        yield body[at:to]
        at = to


@pytest.fixture(scope="session")
def random_pieces() -> Callable[[bytes, Random], Iterator[bytes]]:
    """Cuts bytes by chance: into single ones, small pieces, or large ones."""
    return _random_pieces


def _strict_json(data: bytes, errors: str = "strict") -> Any:
    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(data.decode("utf-8", errors), parse_constant=refuse)


@pytest.fixture(scope="session")
def strict_json() -> Callable[..., Any]:
    """The standard library's reading of JSON, without what it takes beyond the standard; raises ValueError."""
    return _strict_json
