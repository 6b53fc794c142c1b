"""The scheduler: as a program on both servers, and in this process with faults of the embedded one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
import yaml
from kubernetes import client, utils

from informer import Change, ListWatch, Object, SharedInformer
from informer.record import EventBroadcaster, EventsV1Sink
from informer.testing import ControlPlane, EmbeddedAPIServer
from tests.support.objects import pod as plain_pod
from tests.support.waiting import DEADLINE, PROMPT, eventually

SAMPLE, NAME = "scheduler.py", "sample-scheduler"
MANIFEST = Path(__file__).resolve().parents[2] / "samples" / "scheduler.yaml"


@pytest.fixture
def demo(samples: Callable[[str], Any]) -> Any:
    """Makes nodes and pods."""
    return samples("_scheduler_demo")


class Placements:
    """Follows the pods of a namespace, and checks each state: no pod moves, and no node has more than its room.

    Args:
        room: the CPUs and the number of pods that each node has room for.
    """

    def __init__(self, api_client: Any, namespace: str, room: dict[str, tuple[float, int]]) -> None:
        self.room = room
        self.nodes: dict[str, str] = {}  # by pod
        self.wrong: list[str] = []
        self._cpus: dict[str, float] = {}
        self.informer: SharedInformer[Object] = SharedInformer(
            ListWatch.for_resource(api_client, "pods", namespace=namespace)
        )
        self.informer.add_event_handler(on_batch=self._check)

    def _check(self, changes: list[Change[Object]]) -> None:
        for change in changes:
            name, node = change.object.name, change.object.at("spec.nodeName")
            if change.watch_type == "DELETED":
                self.nodes.pop(name, None)
            elif node:
                if self.nodes.setdefault(name, node) != node:
                    self.wrong.append(f"{name} moved to {node}")
                (container,) = change.object.at("spec.containers")
                self._cpus[name] = float(utils.parse_quantity(container["resources"]["requests"]["cpu"]))
        cpus: Counter[str] = Counter()
        for name, node in self.nodes.items():
            cpus[node] += self._cpus[name]  # type: ignore[assignment]
        pods = Counter(self.nodes.values())
        self.wrong += [
            f"{node}: {cpus[node]} CPUs, {pods[node]} pods" for node in pods if not self._fits(node, cpus, pods)
        ]

    def _fits(self, node: str, cpus: Counter[str], pods: Counter[str]) -> bool:
        return cpus[node] <= self.room[node][0] and pods[node] <= self.room[node][1]

    def wait_for(self, condition: Callable[[dict[str, str]], bool]) -> None:
        """Waits for a state, by the node of each pod that has one."""
        assert eventually(lambda: condition(self.nodes)), self.nodes
        assert self.wrong == []


def events_of(api_client: Any, namespace: str) -> list[Any]:
    return client.EventsV1Api(api_client).list_namespaced_event(namespace).items  # type: ignore[no-any-return]


def reasons_of(api_client: Any, namespace: str) -> Counter[tuple[str, str]]:
    """Returns how many events there are for each pod and reason."""
    return Counter((event.regarding.name, event.reason) for event in events_of(api_client, namespace))


def kubeconfig_of(server: Any, folder: Path) -> Path:
    """Returns a kubeconfig for the scheduler: on the real server, with the rights of its manifest and no more."""
    if not isinstance(server, ControlPlane):
        return server.kubeconfig(folder / "kubeconfig")  # type: ignore[no-any-return]
    with server.api_client() as api_client:
        for each in yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8")):
            utils.create_from_dict(api_client, each)
        core = client.CoreV1Api(api_client)
        token = core.create_namespaced_service_account_token(NAME, "kube-system", {"spec": {}}).status.token
    return server.kubeconfig(folder / "kubeconfig", token=token)


@contextmanager
def nodes_of(core: client.CoreV1Api, *nodes: dict[str, Any]) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Creates nodes, yields a function that creates another one, and deletes all in the end."""
    names = []

    def create(node: dict[str, Any]) -> None:
        name = node["metadata"]["name"]
        core.create_node(node)
        names.append(name)
        # A real server taints new nodes until their kubelet reports.
        core.patch_node(name, {"spec": {"taints": node["spec"].get("taints")}})

    try:
        for node in nodes:
            create(node)
        yield create
    finally:
        for name in names:
            core.delete_node(name)


def test_every_pod_gets_a_node_with_room(
    server: Any, demo: Any, tmp_path: Path, run_sample: Callable[..., Any]
) -> None:
    """None is bound twice, no node gets too many, each decision has an event, and a node that comes later unblocks the rest."""
    dedicated = [{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]
    with server.api_client() as api_client:
        core = client.CoreV1Api(api_client)
        namespace = core.create_namespace({"metadata": {"generateName": "scheduler-"}}).metadata.name
        room = {
            f"{namespace}-{name}": size
            for name, size in [("a", (2, 110)), ("b", (8, 2)), ("db", (8, 9)), ("c", (3, 9))]
        }
        a, b, db, late = (
            demo.node(name, str(cpus), pods=str(pods), **({"taints": dedicated} if name.endswith("-db") else {}))
            for name, (cpus, pods) in room.items()
        )
        db["metadata"]["labels"] = {"disk": "fast"}
        cordoned = demo.node(f"{namespace}-off", "8", unschedulable=True)
        placements = Placements(api_client, namespace, room)
        with nodes_of(core, a, b, db, cordoned) as create_node, placements.informer:

            def create_pod(name: str, scheduler: str = NAME, **spec: Any) -> None:
                made = demo.pod(name, scheduler, "500m", "128Mi", **spec)
                made["metadata"]["namespace"] = namespace
                core.create_namespaced_pod(namespace, made)

            create_pod("db", tolerations=[{"key": "dedicated", "operator": "Exists"}], nodeSelector={"disk": "fast"})
            create_pod("other", "another-scheduler")
            for number in range(5):
                create_pod(f"early-{number}")
            program = run_sample(SAMPLE, env={"KUBECONFIG": str(kubeconfig_of(server, tmp_path))})
            for number in range(5):
                create_pod(f"web-{number}")
            placements.wait_for(lambda nodes: len(nodes) == 7 and nodes["db"].endswith("-db"))
            failed = [f"{each}-{number}" for each in ("early", "web") for number in range(5)]
            failed = [name for name in failed if name not in placements.nodes]
            assert eventually(
                lambda: sum(each[1] == "FailedScheduling" for each in reasons_of(api_client, namespace)) == len(failed)
            )
            create_node(late)
            placements.wait_for(lambda nodes: len(nodes) == 11)
            expected = {(name, "Scheduled"): 1 for name in placements.nodes} | {
                (name, "FailedScheduling"): 1 for name in failed
            }
            assert eventually(lambda: reasons_of(api_client, namespace) == expected), reasons_of(api_client, namespace)
            for event in events_of(api_client, namespace):
                assert event.reporting_controller == NAME
                if event.reason == "Scheduled":
                    node = placements.nodes[event.regarding.name]
                    assert (event.type, event.action) == ("Normal", "Binding")
                    assert event.note == f"Successfully assigned {namespace}/{event.regarding.name} to {node}"
                else:
                    assert (event.type, event.action) == ("Warning", "Scheduling")
                    assert "Insufficient cpu" in event.note
                    assert "Too many pods" in event.note
                    assert "node(s) had untolerated taint {dedicated: db}" in event.note
            program.wait_for(f"I {NAME}: Scheduled {namespace}/", stderr=True)
            assert program.interrupt() < PROMPT
            assert program.end()[0] == 0


class Running:
    """A scheduler that runs in this process, on the embedded server."""

    def __init__(self, scheduler: Any, server: EmbeddedAPIServer, api_client: Any) -> None:
        self._server, self._api_client = server, api_client
        self._stop = threading.Event()
        self._broadcaster = EventBroadcaster()
        self._broadcaster.start_recording_to_sink(EventsV1Sink(api_client))
        self.scheduler = scheduler.Scheduler(api_client, self._broadcaster.new_recorder(NAME))
        self._thread = threading.Thread(target=self.scheduler.run, args=(self._stop,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(DEADLINE)
        self._broadcaster.shutdown()

    def bound(self) -> set[str]:
        """The names of the pods that have a node."""
        return {each["metadata"]["name"] for each in self._server.list("pods") if each["spec"].get("nodeName")}

    def wait_for(self, bound: set[str], *reasons: tuple[str, str]) -> None:
        """Waits until these pods have a node and these events are there, and checks that no others are."""
        expected = Counter({(name, "Scheduled"): 1 for name in bound}) + Counter(reasons)
        assert eventually(lambda: self.bound() == bound and reasons_of(self._api_client, "default") == expected), (
            self.bound(),
            reasons_of(self._api_client, "default"),
        )


@pytest.fixture
def running(embedded_apiserver: EmbeddedAPIServer, samples: Callable[[str], Any]) -> Iterator[Running]:
    """A scheduler that has not been started; a node has room for two CPUs."""
    embedded_apiserver.create(samples("_scheduler_demo").node("node-1", "2"))
    with embedded_apiserver.api_client() as api_client:
        yield Running(samples("scheduler"), embedded_apiserver, api_client)


def test_a_cache_that_lags_does_not_overfill_a_node(
    embedded_apiserver: EmbeddedAPIServer, demo: Any, running: Running
) -> None:
    """While the cache does not show the bindings, the pods count on their nodes all the same."""
    names = {f"web-{number}" for number in range(4)}
    for name in names:
        embedded_apiserver.create(demo.pod(name, NAME, "1", "1Gi"))
    embedded_apiserver.faults.hang(on="watch", resource="pods", times=None)
    with running:
        assert eventually(lambda: len(running.bound()) == 2)
        bound = running.bound()
        running.wait_for(bound, *((name, "FailedScheduling") for name in names - bound))


def test_a_pod_that_goes_makes_room(embedded_apiserver: EmbeddedAPIServer, demo: Any, running: Running) -> None:
    """A pod that did not fit is bound when another one is deleted, or ends."""
    with running:
        for name in ("one", "two", "three"):
            embedded_apiserver.create(demo.pod(name, NAME, "1500m", "1Gi"))
            assert eventually(lambda: reasons_of(running._api_client, "default"))
            if name == "one":
                running.wait_for({"one"})
        failed = [("two", "FailedScheduling"), ("three", "FailedScheduling")]
        running.wait_for({"one"}, *failed)
        embedded_apiserver.delete("pods", "one")
        assert eventually(lambda: len(running.bound()) == 1)
        (second,) = running.bound()
        ended = embedded_apiserver.get("pods", second)
        embedded_apiserver.update({**ended, "status": {"phase": "Succeeded"}})
        assert eventually(lambda: running.bound() == {"two", "three"})


def test_a_lost_answer_binds_once(embedded_apiserver: EmbeddedAPIServer, demo: Any, running: Running) -> None:
    """A binding whose answer was lost is confirmed at the second try, and recorded once."""
    embedded_apiserver.faults.hang(on="watch", resource="pods", times=None)
    embedded_apiserver.create(demo.pod("web", NAME, "1", "1Gi"))
    embedded_apiserver.faults.cut_after(0, on="create", resource="pods/binding")
    with running:
        running.wait_for({"web"})


def test_a_refused_binding_is_recorded_and_tried_again(
    embedded_apiserver: EmbeddedAPIServer, demo: Any, running: Running
) -> None:
    """The event says so; the pod does not take up room, and is bound once it is allowed."""
    embedded_apiserver.forbid("create", "pods/binding")
    embedded_apiserver.create(demo.pod("web", NAME, "2", "1Gi"))
    with running:
        assert eventually(lambda: reasons_of(running._api_client, "default")["web", "FailedScheduling"])
        assert "binding to node-1 was refused: 403" in events_of(running._api_client, "default")[0].note
        embedded_apiserver.allow()
        running.wait_for({"web"}, ("web", "FailedScheduling"))


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        ({"containers": [{}, {"resources": {"requests": {"cpu": "250m"}}}]}, 0.25),
        ({"containers": [{"resources": {"requests": {"cpu": "1"}}}] * 2, "overhead": {"cpu": "100m"}}, 2.1),
        (
            {
                "initContainers": [
                    {"restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}},
                    {"resources": {"requests": {"cpu": "3"}}},
                ],
                "containers": [{"resources": {"requests": {"cpu": "2"}}}],
            },
            4,
        ),
    ],
)
def test_requests(spec: dict[str, Any], cpu: float, samples: Callable[[str], Any]) -> None:
    """Containers together, or an init container with the sidecars before it; and the overhead."""
    requests = samples("scheduler").requests_of(Object.from_dict({**plain_pod("web"), "spec": spec}))
    assert (float(requests["cpu"]), requests["pods"]) == (cpu, 1)


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "a", "value": "1"}, True),
        ({"key": "a", "value": "1", "effect": "NoSchedule", "operator": "Equal"}, True),
        ({"key": "a", "value": "2"}, False),
        ({"key": "b", "operator": "Exists"}, False),
        ({"key": "a", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_tolerations(toleration: dict[str, str], expected: bool, samples: Callable[[str], Any]) -> None:
    """A toleration is for a taint if key, effect and value fit."""
    taint = {"key": "a", "value": "1", "effect": "NoSchedule"}
    assert samples("scheduler").tolerates(toleration, taint) is expected


def test_demo_without_a_cluster(tmp_path: Path, run_sample: Callable[..., Any]) -> None:
    """Without a configured cluster it schedules the demo's pods."""
    program = run_sample(SAMPLE, env={"HOME": str(tmp_path), "KUBECONFIG": ""})
    program.wait_for("using a demo cluster", stderr=True)
    program.wait_for("Scheduled default/web-2: Successfully assigned default/web-2 to node-", stderr=True)
    assert program.interrupt() < PROMPT
    assert program.end()[0] == 0
