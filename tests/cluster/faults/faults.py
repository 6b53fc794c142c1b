"""Ways in which a network and a server fail. Each checks that it has really happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.cluster.faults.refuser import PLAIN, WITH_RETRY_AFTER, Answer
from tests.cluster.faults.scene import Scene
from watch.errors import ApiError


def cuts(scene: Scene) -> None:
    """All connections are cut twenty times a second."""
    cut = 0
    for turn in range(30):
        cut += scene.proxy.cut(reset=turn % 2 == 0)
        scene.hold(0.05)
    assert cut >= len(scene.informers)


def truncation(scene: Scene) -> None:
    """Every connection ends after a random number of bytes: in the handshake, in a head, in the middle of an event."""
    before = scene.proxy.truncated()
    with scene.proxy.truncating(20_000):
        scene.hold(1.5)
        scene.wait_until(lambda: scene.proxy.truncated() - before >= len(scene.informers), scene.longest_wait() + 10)


def freeze(scene: Scene) -> None:
    """The proxy stands still: connections stay open, new ones too, and nothing passes."""
    before = len(scene.proxy.accepted())
    with scene.proxy.frozen():
        _check_that_nothing_comes(scene)
        if scene.silence_timeout <= 3:
            # They give up, and come back to a proxy that takes connections and goes on saying nothing.
            scene.wait_until(lambda: len(scene.proxy.accepted()) - before >= len(scene.informers))


def silence(scene: Scene) -> None:
    """The connections that are open say nothing for ever; a new one would be as always."""
    scene.proxy.silence()
    _check_that_nothing_comes(scene)


def absence(scene: Scene) -> None:
    """Nobody listens."""
    with scene.proxy.refusing():
        before = len(scene.proxy.accepted())
        # So long that waits which do not grow show in the number of requests.
        scene.hold(2.5)
        assert len(scene.proxy.accepted()) == before
        assert not any(informer.is_watching for informer in scene.informers)


def slow_link(scene: Scene) -> None:
    """Less passes than is written."""
    with scene.proxy.slow(5_000):
        scene.hold(1.5)
        # About four events could pass for each.
        assert min(_behind(scene)) > 5


def crash(scene: Scene) -> None:
    """kube-apiserver is killed by SIGKILL and started again."""
    scene.plane.kill()
    scene.wait_until(lambda: not any(informer.is_watching for informer in scene.informers))
    scene.plane.restart()


def lost_history(scene: Scene) -> Callable[[], None]:
    """While nobody can connect, etcd forgets the past, and kube-apiserver is started anew and so has forgotten it too."""
    with scene.proxy.refusing():
        scene.hold(0.5)
        scene.plane.compact()
        scene.plane.restart()

    def check() -> None:
        assert all(_told(scene, lambda error: isinstance(error, ApiError) and error.is_expired)), scene.errors

    return check


def refusals(scene: Scene) -> None:
    """The server answers 429 and 503, and does not say when to come back."""
    _refuse(scene, PLAIN)


def refusals_with_retry_after(scene: Scene) -> None:
    """The server answers 429 and 503, and asks for a second without requests."""
    times = _refuse(scene, WITH_RETRY_AFTER)
    assert len(times) <= (len(scene.informers) + scene.others) * (1 + times[-1] - times[0]), times


def several(scene: Scene) -> None:
    """Three of the short ones, in random order, without a pause between them."""
    for fault in scene.random.sample([cuts, truncation, absence, slow_link, refusals], 3):
        fault(scene)


def _check_that_nothing_comes(scene: Scene) -> None:
    scene.hold(0.5)  # for what was under way
    before = scene.versions()
    scene.hold(1)
    assert scene.versions() == before


def _behind(scene: Scene) -> list[int]:
    """How many versions each informer is behind the server."""
    newest = int(scene.cluster.get(scene.namespace.pods)["metadata"]["resourceVersion"])
    return [newest - int(version) for version in scene.versions()]


def _told(scene: Scene, what: Callable[[Exception], Any]) -> list[bool]:
    """Of each informer, whether it was told of such an error."""
    return [any(map(what, list(errors))) for errors in scene.errors]


def _refuse(scene: Scene, answers: Sequence[Answer]) -> list[float]:
    """Has all requests refused for a while; returns when that was."""
    scene.refuser.begin(answers)

    def have_all_been_refused() -> bool:
        return all(_told(scene, lambda error: isinstance(error, ApiError) and error.status in (429, 503)))

    with scene.proxy.routed_to(*scene.refuser.address):
        scene.hold(2)
        scene.wait_until(have_all_been_refused, scene.longest_wait() + 10)
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
