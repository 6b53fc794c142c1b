"""The program `informer`, run as users run it: shell completion, pipes, Ctrl-C, colours, and what `bench` reports."""

from __future__ import annotations

import itertools
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from informer.testing import EmbeddedAPIServer
from tests.support.objects import pod
from tests.support.waiting import DEADLINE

INFORMER = Path(sys.executable).with_name("informer")


@pytest.fixture
def kubeconfig(embedded_apiserver: EmbeddedAPIServer, tmp_path: Path) -> str:
    return str(embedded_apiserver.kubeconfig(tmp_path / "kubeconfig"))


def in_shell(shell: str, script: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs a script of a shell that finds the program `informer`."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    environment = {**os.environ, "PATH": f"{INFORMER.parent}{os.pathsep}{os.environ['PATH']}", **env}
    return subprocess.run([shell, "-c", script], env=environment, capture_output=True, text=True, timeout=50)


BASH = 'eval "$(informer --show-completion bash)"; complete_at() {{ COMP_CWORD=$1; shift; COMP_WORDS=("$@"); '
BASH += '_informer_completion informer; echo "${{COMPREPLY[@]}}"; }}; complete_at {at} {words}'
# Without a terminal, the function of completion is called, with a stand-in for the builtin that shows what it offers.
ZSH = 'compdef() {{ }}; _arguments() {{ print -r -- "$@"; }}; eval "$(informer --show-completion zsh)"; '
ZSH += "words=({words}); CURRENT={at}+1; _informer_completion"
FISH = 'informer --show-completion fish | source; complete -C "{words}"'


@pytest.mark.thorough
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    """The script that `--show-completion` prints for a shell completes commands and options there."""
    script = {"bash": BASH, "zsh": ZSH, "fish": FISH}[shell]
    for words, found, others in [("informer wa", "watch", "serve"), ("informer watch --all", "--all-namespaces", "-n")]:
        done = in_shell(shell, script.format(at=words.count(" "), words=words))
        assert found in done.stdout, done.stdout + done.stderr
        assert others not in done.stdout.replace(found, "")


def test_completion_for_an_unknown_shell_is_refused() -> None:
    """The script of another shell is not printed in its place."""
    done = subprocess.run([INFORMER, "--show-completion", "tcsh"], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout, "tcsh" in done.stderr) == (2, "", True)


@pytest.mark.thorough
@pytest.mark.timeout(180)
def test_a_reader_that_has_enough_ends_the_program_quietly(
    embedded_apiserver: EmbeddedAPIServer, kubeconfig: str
) -> None:
    """`| head -n 1` ends it at the next event, with code 0 and without a message, in each output."""
    embedded_apiserver.create(pod("a" * 60))
    outputs = ["table", "wide", "json", "yaml", "name", "jsonpath={.metadata.name}"]
    pipes = [f"{{ informer watch pods -o '{each}'; echo $? >&2; }} | head -n 1" for each in outputs]
    # A change every now and then, until all have ended.
    script = " & ".join(f"({each})" for each in pipes) + " & wait"
    environment = {**os.environ, "PATH": f"{INFORMER.parent}{os.pathsep}{os.environ['PATH']}", "KUBECONFIG": kubeconfig}
    with subprocess.Popen(
        ["bash", "-c", script], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        deadline = time.monotonic() + 120
        for number in itertools.count():
            embedded_apiserver.patch(
                "pods", "a" * 60, {"metadata": {"labels": {"n": str(number)}}}, namespace="default"
            )
            try:
                out, errors = running.communicate(timeout=0.05)
                break
            except subprocess.TimeoutExpired:
                if time.monotonic() > deadline:
                    running.kill()
                    raise
    errors = "".join(line for line in errors.splitlines(keepends=True) if not line.startswith("loading "))
    assert errors == "0\n" * len(outputs)
    assert len(out.splitlines()) == len(outputs)


class Terminal:
    """A program in the foreground of a terminal, where Ctrl-C reaches all processes of its group."""

    def __init__(self, *arguments: str, **env: str) -> None:
        self.text = ""
        master, slave = pty.openpty()
        # The new session has no terminal yet. Opening one makes it its own.
        path = os.ttyname(slave)
        self.process = subprocess.Popen(
            ["sh", "-c", f'exec "$@" <{path} >{path} 2>&1', "sh", INFORMER, *arguments],
            env={**os.environ, "TERM": "xterm", "COLUMNS": "80", **env},
            start_new_session=True,
        )
        self._master, self._slave = master, slave

    def wait_for(self, pattern: str) -> None:
        """Reads until the terminal has shown a pattern."""
        while not re.search(pattern, self.text):
            self.text += os.read(self._master, 65536).decode(errors="replace")

    def press_ctrl_c(self) -> int:
        """Returns the exit code; all that the program has written is in `text` then."""
        os.write(self._master, b"\x03")
        code = self.process.wait(DEADLINE)
        os.close(self._slave)
        with suppress(OSError):  # the end, once no process has the terminal
            while chunk := os.read(self._master, 65536):
                self.text += chunk.decode(errors="replace")
        os.close(self._master)
        return code

    def close(self) -> None:
        """Kills the program if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(DEADLINE)


@pytest.fixture
def run_in_terminal() -> Iterator[Callable[..., Terminal]]:
    """Starts programs; those that still run are killed when the test is over."""
    started: list[Terminal] = []

    def run(*arguments: str, **env: str) -> Terminal:
        started.append(Terminal(*arguments, **env))
        return started[-1]

    yield run
    for each in started:
        each.close()


@pytest.mark.timeout(120)
def test_ctrl_c_ends_each_command_without_a_traceback(
    embedded_apiserver: EmbeddedAPIServer, kubeconfig: str, tmp_path: Path, run_in_terminal: Callable[..., Terminal]
) -> None:
    """The exit code is 0. `NO_COLOR` turns colours off."""
    embedded_apiserver.create({**pod("web"), "status": {"phase": "Running"}})
    watching = run_in_terminal("watch", "pods", "--kubeconfig", kubeconfig)
    plain = run_in_terminal("watch", "pods", "--kubeconfig", kubeconfig, NO_COLOR="1")
    serving = run_in_terminal("serve", "--kubeconfig", str(tmp_path / "served"))
    # The first and the second process that it starts.
    starting = run_in_terminal("bench", "--pods", "50000")
    measuring = run_in_terminal("bench", "--pods", "3000", "--events", "8000")
    for each, pattern in [
        (watching, "1 pods"),
        (plain, "1 pods"),
        (serving, "export KUBECONFIG"),
        (starting, "starting a server"),
        (measuring, "measuring kube-informer"),
    ]:
        each.wait_for(pattern)
        assert (each.press_ctrl_c(), "Traceback" in each.text) == (0, False), each.text
    assert ("\x1b[32m" in watching.text, "\x1b[32m" in plain.text) == (True, False)


@pytest.mark.parametrize("client", ["informer", "watch"])
def test_events_that_the_server_has_dropped_are_reported_as_such(client: str, tmp_path: Path) -> None:
    """`informer bench` says that the version has expired, and what to do."""
    with EmbeddedAPIServer(history_limit=5) as server:
        version = server.resource_version
        for number in range(20):
            server.create(pod(f"web-{number}"))
        settings: dict[str, Any] = {"kubeconfig": str(server.kubeconfig(tmp_path / "kubeconfig")), "context": None}
        settings |= {"client": client, "events": 20, "version": version}
        done = subprocess.run(
            [sys.executable, "-m", "informer.cli.bench_client", json.dumps(settings)],
            capture_output=True,
            text=True,
            timeout=50,
        )
    assert (done.returncode, done.stdout) == (1, "")
    last = done.stderr.splitlines()[-1]
    assert re.match(
        "410 Expired: .*: the server has dropped the events before they were read: try fewer --events", last
    )
