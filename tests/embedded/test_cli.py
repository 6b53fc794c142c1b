"""The command line against the embedded API server, in this process."""

from __future__ import annotations

import contextlib
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from typer.testing import CliRunner

from informer import ApiError, load_client
from informer.cli import bench_server
from informer.cli.cluster import connect
from informer.cli.commands import app
from informer.cli.errors import CommandError
from informer.cli.serve import DemoPods, serve
from informer.cli.watch import WatchOptions, watch_objects
from informer.testing import EmbeddedAPIServer
from informer.testing.storage.storage import _HISTORY_BYTES
from tests.support.objects import pod
from tests.support.waiting import DEADLINE, eventually
from watch.concurrency import Worker


class Watching:
    """A running `informer watch`, and what it has written."""

    def __init__(self, kubeconfig: str, namespace: str | None = None, **options: Any) -> None:
        self._out = io.StringIO()
        self._stop = threading.Event()
        cluster = connect(kubeconfig, None, namespace, all_namespaces=namespace is None)
        self._worker = Worker(
            lambda: watch_objects(cluster, WatchOptions(**options), self._stop, self._out), "watching"
        ).start()

    def lines(self, count: int) -> list[str]:
        """Waits for lines and returns them."""
        eventually(lambda: self._out.getvalue().count("\n") >= count)
        return self._out.getvalue().splitlines()

    def close(self) -> None:
        self._stop.set()
        self._worker.join()


@pytest.fixture
def kubeconfig(embedded_apiserver: EmbeddedAPIServer, tmp_path: Path) -> str:
    embedded_apiserver.kubeconfig(tmp_path / "kubeconfig")
    return str(tmp_path / "kubeconfig")


@pytest.fixture
def watching(kubeconfig: str) -> Iterator[Any]:
    running: list[Watching] = []

    def start(*arguments: Any, **options: Any) -> Watching:
        running.append(Watching(kubeconfig, *arguments, **options))
        return running[-1]

    yield start
    for each in running:
        each.close()


def test_columns_are_those_of_the_server(embedded_apiserver: EmbeddedAPIServer, watching: Any) -> None:
    """A custom resource has the columns of its definition, and each change is a line."""
    definition = embedded_apiserver.define("Site")
    definition["spec"]["versions"][0]["additionalPrinterColumns"] = [
        {"name": "Text", "type": "string", "jsonPath": ".spec.text"},
        {"name": "Secret", "type": "string", "jsonPath": ".spec.more", "priority": 1},
    ]
    embedded_apiserver.update(definition)
    site = {"apiVersion": "example.com/v1", "kind": "Site", "metadata": {"name": "shop"}, "spec": {"text": "hello"}}
    embedded_apiserver.create(site)
    shown = watching(resource="sites.example.com")
    assert shown.lines(1) == ["ADDED    default    shop  hello"]
    embedded_apiserver.patch("sites.example.com", "shop", {"spec": {"text": "a\x1b[2Jb"}})
    assert shown.lines(2)[1].split() == ["MODIFIED", "default", "shop", "a\ufffd[2Jb"]


def test_resources_without_namespaces_have_no_namespace_column(
    embedded_apiserver: EmbeddedAPIServer, watching: Any
) -> None:
    """Nodes are listed in the whole cluster, whatever the context's namespace is."""
    embedded_apiserver.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
    assert watching(resource="nodes").lines(1)[0].split()[:2] == ["ADDED", "n1"]


def test_fields_and_paths(embedded_apiserver: EmbeddedAPIServer, watching: Any) -> None:
    """`--fields` replaces the columns; a JSONPath writes what it says."""
    embedded_apiserver.create(pod("web"))
    fields = watching("default", resource="pods", fields="status.phase,metadata.namespace")
    assert fields.lines(1) == ["ADDED    web   Pending  default"]
    assert watching(resource="pods", output="jsonpath={.metadata.name}").lines(1) == ["web"]
    (line,) = watching(resource="pods", output="json").lines(1)
    assert json.loads(line)["object"]["metadata"]["name"] == "web"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"resource": "pods", "output": "csv"},
            "-o csv: the outputs are table, wide, json, yaml, name, jsonpath=TEMPLATE",
        ),
        (
            {"resource": "pods", "output": "json", "fields": "a"},
            "--fields replaces the columns of a table: it cannot be used with another output",
        ),
        ({"resource": "frobs"}, "a resource type 'frobs' (did you mean 'jobs'? is the CRD installed?)"),
        ({"resource": "a b"}, "a b"),
    ],
)
def test_errors_are_one_line(kubeconfig: str, options: Any, message: str) -> None:
    """A wrong option or an unknown resource."""
    cluster = connect(kubeconfig, None, None, all_namespaces=True)
    with pytest.raises(CommandError) as error:
        watch_objects(cluster, WatchOptions(**options), threading.Event(), io.StringIO())
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_named_namespace_of_a_resource_without_namespaces_is_refused(kubeconfig: str) -> None:
    """It is not left out silently."""
    cluster = connect(kubeconfig, None, "shop", all_namespaces=False)
    with pytest.raises(CommandError, match="nodes has no namespaces"):
        watch_objects(cluster, WatchOptions(resource="nodes"), threading.Event(), io.StringIO())


def test_the_demo_survives_clients_that_delete_and_change_its_pods(embedded_apiserver: EmbeddedAPIServer) -> None:
    """Their pods are forgotten or read again, and others are created."""
    demo = DemoPods(embedded_apiserver, seed=1)
    demo.fill(5)
    stop = threading.Event()
    failures: list[Exception] = []

    def change() -> None:
        try:
            demo.change(500, stop)
        except Exception as error:
            failures.append(error)

    worker = Worker(change, "demo").start()
    try:
        for _ in range(10):
            for each in embedded_apiserver.list("pods")[:2]:
                name, namespace = each["metadata"]["name"], each["metadata"]["namespace"]
                with contextlib.suppress(ApiError):  # the demo may have deleted it meanwhile
                    embedded_apiserver.patch("pods", name, {"metadata": {"labels": {"mine": "1"}}}, namespace=namespace)
                    embedded_apiserver.delete("pods", name, namespace=namespace)
        eventually(lambda: len(embedded_apiserver.list("pods")) == 5)
    finally:
        stop.set()
        worker.join()
    assert failures == []


def test_a_first_list_that_does_not_come_ends_with_the_duration(
    embedded_apiserver: EmbeddedAPIServer, kubeconfig: str
) -> None:
    """The error names the server, the resource and the time."""
    cluster = connect(kubeconfig, None, None, all_namespaces=True)
    embedded_apiserver.faults.hang()
    with pytest.raises(CommandError, match=r".* has not sent its .* within .* seconds"):
        watch_objects(cluster, WatchOptions(resource="pods", seconds=0.3), threading.Event(), io.StringIO())


def test_a_server_whose_kubeconfig_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """Before anything else is done."""
    with pytest.raises(CommandError, match=r"cannot write .*: .*No such file"):
        serve(tmp_path / "missing" / "kubeconfig", 0, 0, threading.Event())


@pytest.mark.parametrize(
    ("arguments", "text"), [(["--version"], "informer "), (["watch", "--help"], "--field-selector")]
)
def test_help_and_version(arguments: list[str], text: str) -> None:
    """They need no cluster."""
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"})
    assert (done.exit_code, text in done.output) == (0, True)


def test_a_wrong_option_has_exit_code_2(kubeconfig: str) -> None:
    """As the usual programs do."""
    done = CliRunner().invoke(app, ["watch", "pods", "--kubeconfig", kubeconfig + "-missing"])
    assert (done.exit_code, done.output.count("\n")) == (2, 1)


def test_the_users_own_kubeconfig_is_not_replaced(tmp_path: Path) -> None:
    """Its clusters would be lost. A file of an earlier start is replaced."""
    mine, own = tmp_path / "config", tmp_path / "own"
    mine.write_text("apiVersion: v1\nkind: Config\nclusters: []\n", encoding="utf-8")
    with pytest.raises(CommandError, match=r"cannot write .*: the file exists, and is not from informer serve"):
        serve(mine, 0, 0, threading.Event())
    assert mine.read_text(encoding="utf-8").endswith("clusters: []\n")
    stop = threading.Event()
    stop.set()
    serve(own, 1, 0, stop)
    first = own.read_text(encoding="utf-8")
    serve(own, 1, 0, stop)
    assert own.read_text(encoding="utf-8") != first


def test_the_kubeconfig_of_a_running_server_is_not_replaced(kubeconfig: str) -> None:
    """Its users would be led to another server without a word."""
    with pytest.raises(
        CommandError, match=r"cannot write .*: another informer serve, at http://127.0.0.1:\d+, uses it"
    ):
        serve(Path(kubeconfig), 0, 0, threading.Event())


def test_a_pipe_without_objects_is_explained(watching: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, so that the lines of the pipe are events only."""
    watching("default", resource="pods")
    errors: list[str] = []
    eventually(lambda: errors.append(capsys.readouterr().err) or "".join(errors).endswith("\n"))
    assert "".join(errors) == "no pods in namespace default: waiting for changes\n"


def test_the_server_deletes_what_a_deleted_object_owned(tmp_path: Path) -> None:
    """As in a cluster, so that a controller can be tried on it."""
    stop = threading.Event()
    file = tmp_path / "kubeconfig"
    worker = Worker(lambda: serve(file, 0, 0, stop), "serve").start()
    try:
        assert eventually(file.exists)
        with load_client(kubeconfig=str(file)) as api_client:
            core = client.CoreV1Api(api_client)
            owner = core.create_namespaced_config_map("default", {"metadata": {"name": "owner"}})
            reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid}
            owned = {"metadata": {"name": "owned", "ownerReferences": [reference]}}
            core.create_namespaced_config_map("default", owned)
            core.delete_namespaced_config_map("owner", "default")
            assert eventually(lambda: core.list_namespaced_config_map("default").items == [])
    finally:
        stop.set()
        assert worker.join(DEADLINE)


def test_the_pod_of_the_examples_stays(embedded_apiserver: EmbeddedAPIServer) -> None:
    """It runs in the namespace "default", on worker-1, however many pods change."""
    demo = DemoPods(embedded_apiserver, seed=1)
    demo.add_constant()
    demo.fill(1)
    before = embedded_apiserver.get("pods", "web", namespace="default")
    stop = threading.Event()
    worker = Worker(lambda: demo.change(500, stop), "demo").start()
    try:
        first = {each["metadata"]["name"] for each in embedded_apiserver.list("pods")}
        eventually(lambda: not first - {"web"} & {each["metadata"]["name"] for each in embedded_apiserver.list("pods")})
    finally:
        stop.set()
        worker.join()
    assert before == embedded_apiserver.get("pods", "web", namespace="default")
    assert (before["spec"]["nodeName"], before["status"]["phase"]) == ("worker-1", "Running")


def test_the_server_keeps_every_event_of_a_bench(embedded_apiserver: EmbeddedAPIServer) -> None:
    """The bytes of the most events that can be asked for are fewer than those of the history."""
    embedded_apiserver.create(bench_server._pod(0))
    embedded_apiserver.patch("pods", "web-0", {"metadata": {"labels": {"round": "8000"}}}, namespace="default")
    size = len(json.dumps(embedded_apiserver.get("pods", "web-0", namespace="default")))
    assert size * bench_server.MAX_EVENTS < _HISTORY_BYTES
