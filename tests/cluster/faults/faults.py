"""Faults of the network and of the server; each checks that it has happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.cluster.faults.refuser import PLAIN, WITH_RETRY_AFTER, Answer
from tests.cluster.faults.scene import Scene
from watch.errors import ApiError


def cuts(scene: Scene) -> None:
    """All connections are cut twenty times per second."""
    cut = 0
    for turn in range(30):
        cut += scene.proxy.cut(reset=turn % 2 == 0)
        scene.hold(0.05)
    assert cut >= len(scene.informers)


def truncation(scene: Scene) -> None:
    """Every connection ends after a random number of bytes: in the handshake, in a head, or within an event."""
    before = scene.proxy.truncated()
    with scene.proxy.truncating(20_000):
        scene.hold(1.5)
        scene.wait_until(lambda: scene.proxy.truncated() - before >= len(scene.informers), scene.longest_wait() + 10)


def freeze(scene: Scene) -> None:
    """The proxy freezes: open connections stay open, new ones are accepted, and no bytes pass."""
    before = len(scene.proxy.accepted())
    with scene.proxy.frozen():
        _check_that_nothing_arrives(scene)
        if scene.silence_timeout <= 3:
            # The informers give up their watches, and connect again to a proxy that still passes no bytes.
            scene.wait_until(lambda: len(scene.proxy.accepted()) - before >= len(scene.informers))


def silence(scene: Scene) -> None:
    """Open connections stay open and silent for good; new connections work."""
    scene.proxy.silence()
    _check_that_nothing_arrives(scene)


def absence(scene: Scene) -> None:
    """The server refuses connections."""
    with scene.proxy.refusing():
        before = len(scene.proxy.accepted())
        # Long enough that waits which do not grow would show in the number of requests.
        scene.hold(2.5)
        assert len(scene.proxy.accepted()) == before
        assert not any(informer.is_watching for informer in scene.informers)


def slow_link(scene: Scene) -> None:
    """The link passes fewer bytes than the events need."""
    with scene.proxy.slow(5_000):
        scene.hold(1.5)
        # About four events per informer fit through the link.
        assert min(_behind(scene)) > 5


def crash(scene: Scene) -> None:
    """kube-apiserver is killed with SIGKILL and restarted."""
    scene.plane.kill()
    scene.wait_until(lambda: not any(informer.is_watching for informer in scene.informers))
    scene.plane.restart()


def lost_history(scene: Scene) -> Callable[[], None]:
    """While no client can connect, etcd is compacted and kube-apiserver restarted, so the history is lost."""
    with scene.proxy.refusing():
        scene.hold(0.5)
        scene.plane.compact()
        scene.plane.restart()

    def check() -> None:
        assert all(_got_error(scene, lambda error: isinstance(error, ApiError) and error.is_expired)), scene.errors

    return check


def refusals(scene: Scene) -> None:
    """The server answers 429 and 503 without Retry-After."""
    _refuse(scene, PLAIN)


def refusals_with_retry_after(scene: Scene) -> None:
    """The server answers 429 and 503, with a Retry-After of one second."""
    times = _refuse(scene, WITH_RETRY_AFTER)
    assert len(times) <= (len(scene.informers) + scene.others) * (1 + times[-1] - times[0]), times


def several(scene: Scene) -> None:
    """Three short faults in random order, without a pause between them."""
    for fault in scene.random.sample([cuts, truncation, absence, slow_link, refusals], 3):
        fault(scene)


def _check_that_nothing_arrives(scene: Scene) -> None:
    scene.hold(0.5)  # for bytes on their way
    before = scene.versions()
    scene.hold(1)
    assert scene.versions() == before


def _behind(scene: Scene) -> list[int]:
    """How many versions each informer is behind the server."""
    newest = int(scene.cluster.get(scene.namespace.pods)["metadata"]["resourceVersion"])
    return [newest - int(version) for version in scene.versions()]


def _got_error(scene: Scene, what: Callable[[Exception], Any]) -> list[bool]:
    """Returns for each informer whether it got such an error."""
    return [any(map(what, list(errors))) for errors in scene.errors]


def _refuse(scene: Scene, answers: Sequence[Answer]) -> list[float]:
    """Refuses all requests for a while; returns the times of the refusals."""
    scene.refuser.begin(answers)

    def are_all_refused() -> bool:
        return all(_got_error(scene, lambda error: isinstance(error, ApiError) and error.status in (429, 503)))

    with scene.proxy.routed_to(*scene.refuser.address):
        scene.hold(2)
        scene.wait_until(are_all_refused, scene.longest_wait() + 10)
        refused = scene.refuser.refused()
    assert {answer for _, answer in refused} == set(answers)
    return [moment for moment, _ in refused]


silence.leads_to_silence = True  # type: ignore[attr-defined]

FAULTS: list[Callable[[Scene], Any]] = [
    cuts,
    truncation,
    freeze,
    silence,
    absence,
    slow_link,
    crash,
    lost_history,
    refusals,
    refusals_with_retry_after,
    several,
]
