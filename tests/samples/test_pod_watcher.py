"""The pod watcher, run as a program against the embedded API server."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from informer.testing import EmbeddedAPIServer
from tests.support.objects import namespace_object, pod
from tests.support.waiting import DEADLINE, PROMPT

SAMPLE = "pod_watcher.py"


@pytest.fixture
def kubeconfig(embedded_apiserver: EmbeddedAPIServer, tmp_path: Path) -> str:
    """The path of a kubeconfig for the embedded server."""
    path = tmp_path / "kubeconfig"
    embedded_apiserver.kubeconfig(path)
    return str(path)


def test_each_event_is_one_line(
    embedded_apiserver: EmbeddedAPIServer, kubeconfig: str, run_sample: Callable[..., Any]
) -> None:
    """In a pipe each event is one line that begins with its type."""
    embedded_apiserver.create(pod("first"))
    program = run_sample(SAMPLE, "--kubeconfig", kubeconfig, "-A")
    assert re.match(r"ADDED +default +first +0/1 +", program.wait_for("first")[1])
    second = embedded_apiserver.create(pod("second"))
    assert program.wait_for("second")[1].startswith("ADDED ")
    second["status"] = {
        "phase": "Running",
        "containerStatuses": [{"name": "app", "ready": True, "restartCount": 3, "state": {"running": {}}}],
    }
    second = embedded_apiserver.update(second)
    assert re.match(r"MODIFIED +default +second +1/1 +Running +3 ", program.wait_for("second")[1])
    embedded_apiserver.delete(second)
    assert program.wait_for(lambda line: "MODIFIED" not in line)[1].startswith("DELETED  default    second ")
    assert program.interrupt() < PROMPT
    assert program.end() == (0, [], [])


@pytest.mark.parametrize(
    ("output", "pattern"),
    [
        pytest.param("name", r"ADDED +pod/web$", id="name"),
        pytest.param("table", r"ADDED +web +0/1 +\S+ +0 +\S+$", id="table"),
        pytest.param("wide", r"ADDED +web +0/1 +\S+ +0 +\S+ +<none> +<none> +<none> +<none>$", id="wide"),
    ],
)
def test_outputs(
    embedded_apiserver: EmbeddedAPIServer,
    kubeconfig: str,
    run_sample: Callable[..., Any],
    output: str,
    pattern: str,
) -> None:
    """Each output format shows its fields."""
    embedded_apiserver.create(namespace_object("shop"))
    embedded_apiserver.create(pod("web", "shop"))
    program = run_sample(SAMPLE, "--kubeconfig", kubeconfig, "-n", "shop", "-o", output)
    assert re.match(pattern, program.wait_for("web")[1])


def test_json_lines_are_watch_events(
    embedded_apiserver: EmbeddedAPIServer, kubeconfig: str, run_sample: Callable[..., Any]
) -> None:
    """`-o json` writes one watch event per line, with the whole object."""
    stored = embedded_apiserver.create(pod("web"))
    program = run_sample(SAMPLE, "--kubeconfig", kubeconfig, "-o", "json")
    event = json.loads(program.wait_for("web")[1])
    assert event == {"type": "ADDED", "object": stored}


def test_selectors_and_namespaces_choose_pods(
    embedded_apiserver: EmbeddedAPIServer, kubeconfig: str, run_sample: Callable[..., Any]
) -> None:
    """`-n`, `-A`, `-l` and `--field-selector` select exactly the pods that they name."""
    embedded_apiserver.create(namespace_object("shop"))
    for name, namespace, app in (("a", "default", "web"), ("b", "shop", "web"), ("c", "shop", "db")):
        embedded_apiserver.create(pod(name, namespace, labels={"app": app}))
    expected: dict[tuple[str, ...], list[str]] = {
        (): ["a"],
        ("-A",): ["a", "b", "c"],
        ("-n", "shop"): ["b", "c"],
        ("-A", "-l", "app!=db"): ["a", "b"],
        ("-A", "--field-selector", "metadata.name=c"): ["c"],
    }
    programs = {
        arguments: run_sample(SAMPLE, "--kubeconfig", kubeconfig, "-o", "name", *arguments) for arguments in expected
    }
    for arguments, names in expected.items():
        # The first list is written at once: a pod that does not belong to it would be in these lines or in the next.
        seen = [programs[arguments].wait_for("pod/")[1] for _ in names]
        programs[arguments].interrupt()
        code, rest, errors = programs[arguments].end()
        assert (code, errors) == (0, [])
        assert sorted(line.split("/")[1] for line in seen + rest) == names


def test_duration_ends_the_program(kubeconfig: str, run_sample: Callable[..., Any]) -> None:
    """`--duration` ends the program after this many seconds, with exit code 0."""
    begun = time.monotonic()
    said = ["no pods in namespace default: waiting for changes"]
    assert run_sample(SAMPLE, "--kubeconfig", kubeconfig, "--duration", "0.5").end() == (0, [], said)
    assert 0.5 <= time.monotonic() - begun < 10


def test_missing_context_is_one_line(kubeconfig: str, run_sample: Callable[..., Any]) -> None:
    """A context that the kubeconfig lacks ends the program with exit code 2 and one line that names it."""
    code, lines, errors = run_sample(SAMPLE, "--kubeconfig", kubeconfig, "--context", "nowhere").end()
    assert (code, lines, len(errors)) == (2, [], 1)
    assert errors[0].startswith("error: ")
    assert "nowhere" in errors[0]


def test_missing_kubeconfig_is_one_line(tmp_path: Path, run_sample: Callable[..., Any]) -> None:
    """A missing kubeconfig ends the program with exit code 2 and one line."""
    code, lines, errors = run_sample(SAMPLE, "--kubeconfig", str(tmp_path / "missing")).end()
    assert (code, lines, len(errors)) == (2, [], 1)
    assert errors[0].startswith("error: ")


def test_refused_connection_is_one_line(
    embedded_apiserver: EmbeddedAPIServer, kubeconfig: str, run_sample: Callable[..., Any]
) -> None:
    """A refused connection ends the program with exit code 2 and one line that names the address."""
    address = embedded_apiserver.url.removeprefix("http://")
    embedded_apiserver.stop()
    code, lines, errors = run_sample(SAMPLE, "--kubeconfig", kubeconfig).end()
    assert (code, lines, len(errors)) == (2, [], 1)
    assert "connection refused" in errors[0]
    assert address in errors[0]


def test_refused_token_is_one_line(tmp_path: Path, run_sample: Callable[..., Any]) -> None:
    """Refused credentials end the program with exit code 2 and one line with the 401, which does not show the token."""
    path = tmp_path / "kubeconfig"
    with EmbeddedAPIServer(tokens={"right": "alice"}) as server:
        server.kubeconfig(path)
        path.write_text(path.read_text().replace("right", "wrong"))
        code, lines, errors = run_sample(SAMPLE, "--kubeconfig", str(path)).end()
    assert (code, lines, len(errors)) == (2, [], 1)
    assert "401" in errors[0]
    assert "list pods" in errors[0]
    assert "wrong" not in errors[0]


def test_forbidden_list_names_verb_and_resource(
    embedded_apiserver: EmbeddedAPIServer, kubeconfig: str, run_sample: Callable[..., Any]
) -> None:
    """A missing right ends the program with exit code 2 and one line that names verb, resource and namespace."""
    for verb in ("list", "watch"):
        embedded_apiserver.forbid(verb, "pods")
    code, lines, errors = run_sample(SAMPLE, "--kubeconfig", kubeconfig).end()
    assert (code, lines, len(errors)) == (2, [], 1)
    assert "403" in errors[0]
    assert 'resource "pods"' in errors[0]
    assert 'in the namespace "default"' in errors[0]


def test_ctrl_c_ends_the_program_while_the_server_hangs(tmp_path: Path, run_sample: Callable[..., Any]) -> None:
    """While the first list hangs, Ctrl-C ends the program within a second and without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        path = tmp_path / "kubeconfig"
        path.write_text(
            json.dumps(
                {
                    "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{silent.getsockname()[1]}"}}],
                    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                    "users": [{"name": "u", "user": {}}],
                    "current-context": "c",
                }
            )
        )
        program = run_sample(SAMPLE, "--kubeconfig", str(path))
        silent.settimeout(20)
        connection, _ = silent.accept()
        with connection:
            assert "loading pods" in program.errors.get(timeout=20)[1]
            assert program.interrupt() < PROMPT
            code, lines, errors = program.end()
    assert (code, lines, errors) == (0, [], [])


def test_sigterm_ends_the_program(
    embedded_apiserver: EmbeddedAPIServer, kubeconfig: str, run_sample: Callable[..., Any]
) -> None:
    """SIGTERM, as Kubernetes sends it, ends the program like Ctrl-C."""
    embedded_apiserver.create(pod("web"))
    program = run_sample(SAMPLE, "--kubeconfig", kubeconfig)
    program.wait_for("web")
    program.process.send_signal(signal.SIGTERM)
    assert program.end(5) == (0, [], [])


def test_closed_pipe_ends_the_program_quietly(
    embedded_apiserver: EmbeddedAPIServer, kubeconfig: str, run_sample: Callable[..., Any]
) -> None:
    """A closed pipe (`| head -1`) ends the program without a traceback."""
    embedded_apiserver.create(pod("first"))
    program = run_sample(SAMPLE, "--kubeconfig", kubeconfig, stdout=(pipe := os.pipe())[1])
    os.close(pipe[1])
    assert b"first" in os.read(pipe[0], 4096)
    os.close(pipe[0])
    embedded_apiserver.create(pod("second"))
    code, _, errors = program.end(10)
    assert (code, errors) == (0, [])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_full_disk_ends_the_program_with_one_line(
    embedded_apiserver: EmbeddedAPIServer, kubeconfig: str, run_sample: Callable[..., Any]
) -> None:
    """An output that cannot be written is an error, and the exit code says so."""
    embedded_apiserver.create(pod("first"))
    with open("/dev/full", "w", encoding="utf-8") as full:
        program = run_sample(SAMPLE, "--kubeconfig", kubeconfig, stdout=full)
    assert program.end(DEADLINE) == (2, [], ["error: cannot write the output: No space left on device"])


def test_program_survives_a_restart_of_the_server(
    embedded_apiserver: EmbeddedAPIServer, kubeconfig: str, run_sample: Callable[..., Any]
) -> None:
    """After a restart of the server the output continues, without lines for unchanged pods."""
    embedded_apiserver.create(pod("first"))
    program = run_sample(SAMPLE, "--kubeconfig", kubeconfig, "-o", "name")
    program.wait_for("first")
    embedded_apiserver.restart()
    embedded_apiserver.create(pod("second"))
    assert program.wait_for(lambda line: True, 30)[1].endswith("pod/second")


def test_demo_without_a_cluster(tmp_path: Path, run_sample: Callable[..., Any]) -> None:
    """Without a configured cluster it says so in one line, shows the demo's pods, and ends by itself."""
    program = run_sample(SAMPLE, "-A", "--duration", "4", env={"HOME": str(tmp_path), "KUBECONFIG": ""})
    code, lines, errors = program.end()
    assert code == 0
    assert [line for line in errors if "demo cluster" in line] == errors
    assert len(errors) == 1
    assert {"ADDED", "MODIFIED"} <= {line.split()[0] for line in lines}


def test_table_in_a_terminal_is_redrawn(embedded_apiserver: EmbeddedAPIServer, kubeconfig: str) -> None:
    """In a terminal the lines are redrawn in place: readiness, restarts, node and age of each pod."""
    stored = embedded_apiserver.create(pod("web"))
    screen = Screen(
        [sys.executable, str(Path(__file__).parents[2] / "samples" / SAMPLE), "--kubeconfig", kubeconfig, "-o", "wide"]
    )
    try:
        screen.wait_for(r"NAME +READY +STATUS +RESTARTS +AGE +IP +NODE")
        screen.wait_for(r"web +0/1")
        stored["spec"]["nodeName"] = "worker-7"
        stored["status"] = {
            "phase": "Running",
            "containerStatuses": [{"name": "app", "ready": True, "restartCount": 4, "state": {"running": {}}}],
        }
        embedded_apiserver.update(stored)
        screen.wait_for(r"web +1/1 +Running +4 +\S+ +<none> +worker-7")
        assert "\x1b[1A" in screen.text, "nothing was drawn in place"
        screen.process.send_signal(signal.SIGINT)
        assert screen.process.wait(5) == 0
        assert "Traceback" not in screen.text
    finally:
        screen.close()


HOSTILE_IMAGES = [
    "nginx[/foo]",
    "[bold red]x[/bold red]",
    "a\x1b[2Jb",
    "a\x9b2Jb",
    "a\u202eb\u2066",
    "a\nb\rc",
    "x" * 5000,
]


@pytest.mark.parametrize("output", ["wide", "table", "name"])
def test_hostile_pods_do_not_control_the_output(
    embedded_apiserver: EmbeddedAPIServer, kubeconfig: str, run_sample: Callable[..., Any], output: str
) -> None:
    """Each pod is one bounded line without control characters, whatever its images, node and reasons are."""
    for number, image in enumerate(HOSTILE_IMAGES):
        made = pod(f"web-{number}")
        made["spec"]["containers"][0]["image"] = image
        made["spec"]["nodeName"] = image
        made["status"] = {"phase": image, "reason": image, "podIP": image}
        embedded_apiserver.create(made)
    program = run_sample(SAMPLE, "--kubeconfig", kubeconfig, "-o", output)
    lines = [program.wait_for(lambda line: True)[1] for _ in HOSTILE_IMAGES]
    assert all(line.isprintable() and len(line) < 5 * 300 for line in lines)
    assert all(re.match(r"ADDED .*web-\d", line) for line in lines)
    assert program.interrupt() < PROMPT
    assert program.end() == (0, [], [])


def test_hostile_pods_do_not_control_the_terminal(embedded_apiserver: EmbeddedAPIServer, kubeconfig: str) -> None:
    """A node is shown as text: brackets are not markup, and control characters do not reach the terminal."""
    for number, image in enumerate(HOSTILE_IMAGES):
        made = pod(f"a{number}")
        made["spec"]["nodeName"] = image
        embedded_apiserver.create(made)
    program = str(Path(__file__).parents[2] / "samples" / SAMPLE)
    screen = Screen([sys.executable, program, "--kubeconfig", kubeconfig, "-o", "wide"])
    try:
        screen.wait_for(re.escape("nginx[/foo]"))
        screen.wait_for(re.escape("[bold red]x[/bold red]"))
        screen.wait_for(r"7 pods")
        assert not any(control in screen.text for control in ("\x1b[2J", "\x9b", "\u202e", "\u2066"))
        screen.process.send_signal(signal.SIGINT)
        assert screen.process.wait(5) == 0
        assert "Traceback" not in screen.text
    finally:
        screen.close()


class Screen:
    """A program in a terminal."""

    def __init__(self, command: list[str]) -> None:
        master, slave = pty.openpty()
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "160", "LINES": "30"},
        )
        os.close(slave)
        self._master = master
        self.text = ""

    def wait_for(self, pattern: str, timeout: float = 20) -> None:
        """Reads until the screen has shown a pattern."""
        deadline = time.monotonic() + timeout
        plain = re.compile(pattern)
        while not plain.search(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.text)):
            assert time.monotonic() < deadline, f"{pattern} was not shown in: {self.text!r}"
            self.text += os.read(self._master, 65536).decode(errors="replace")

    def close(self) -> None:
        """Kills the program if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self._master)
