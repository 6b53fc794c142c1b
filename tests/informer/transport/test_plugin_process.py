"""The process of an exec plugin: where it is found, and that no process of it is left behind or waited for."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from informer import ListWatch, SharedInformer, load_client
from informer.transport.exec_plugin import ExecPluginError, run_exec_plugin
from tests.support.waiting import eventually

API = "client.authentication.k8s.io/v1"
ANSWER = json.dumps({"apiVersion": API, "kind": "ExecCredential", "status": {"token": "good"}})


def plugin_at(path: Path, commands: str = f"echo '{ANSWER}'") -> Path:
    path.write_text(f"#!/bin/sh\n{commands}\n")
    path.chmod(0o755)
    return path


def run(command: str, **options: Any) -> str:
    section = {"command": command, "apiVersion": API, "interactiveMode": "Never", **options.pop("section", {})}
    return run_exec_plugin(section, **options).token


# Where it is found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, in which another user has put a program."""
    folder = tmp_path / "here"
    (folder / "sub").mkdir(parents=True)
    plugin_at(folder / "my-login")
    plugin_at(folder / "sub" / "my-login")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    "path", [".", "", "/usr/bin:", ":/usr/bin", "/usr/bin::/bin", "sub", "./sub", "../here", "/usr/bin:."]
)
@pytest.mark.parametrize("folder", [None, "here"])
def test_a_relative_entry_of_path_is_refused(
    path: str, folder: str | None, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program in the working directory is refused, like Go's os/exec.ErrDot. The message says what to do."""
    monkeypatch.setenv("PATH", path)
    with pytest.raises(
        ExecPluginError, match="take the entry out of PATH, or write the plugin's absolute path"
    ) as caught:
        run("my-login", folder=folder and str(here))
    assert "exec plugin 'my-login' was found only through the entry" in str(caught.value)


def test_an_absolute_entry_before_it_is_used(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in Go, only the first program that is found counts; files and folders that cannot be executed do not."""
    good = tmp_path / "good"
    for name in ("file", "folder/my-login", "good"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "file" / "my-login").write_text("not executable")
    plugin_at(good / "my-login")
    parts = (str(tmp_path / "file"), str(tmp_path / "folder"), str(good), "", "/bin", "/usr/bin")
    monkeypatch.setenv("PATH", ":".join(parts))
    assert run("my-login") == "good"


def test_a_path_of_the_exec_section_does_not_choose_the_program(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin gets this PATH, but it is found by the process's own, as with kubectl."""
    monkeypatch.setenv("PATH", "/bin:/usr/bin")
    with pytest.raises(ExecPluginError, match=r"cannot be run \(No such file or directory\)"):
        run("my-login", section={"env": [{"name": "PATH", "value": str(here)}]})


def test_a_file_that_is_not_executable_is_named_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says so if PATH has no other program of this name."""
    (tmp_path / "my-login").write_text("")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(ExecPluginError, match=r"cannot be run \(Permission denied\)"):
        run("my-login")


def test_an_install_hint_is_one_short_line(tmp_path: Path) -> None:
    """A hint that another tool wrote is shortened to one line."""
    with pytest.raises(ExecPluginError) as caught:
        run(str(tmp_path / "x"), section={"installHint": "brew\n\x1b[2J\u202einstall" + "x" * 100_000})
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("bad", ["a\0b", "a\ud800b"])
@pytest.mark.parametrize("where", ["args", "env", "command"])
def test_characters_that_no_process_can_be_given(bad: str, where: str, tmp_path: Path) -> None:
    """The error says so and quotes no value."""
    section: dict[str, Any] = {"args": {"args": [bad]}, "env": {"env": [{"name": "A", "value": bad}]}, "command": {}}[
        where
    ]
    command = str(plugin_at(tmp_path / "plugin")) + (bad if where == "command" else "")
    with pytest.raises(ExecPluginError) as caught:
        run(command, section=section)
    assert str(caught.value).isprintable()
    assert str(caught.value).endswith(
        "' cannot be run (its arguments or its env contain a null character, or text that is not Unicode)"
    )


# Nested aliases of a kubeconfig stand for 9 ** 20 values.
_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + step)}: &{chr(98 + step)} [{', '.join(['*' + chr(97 + step)] * 9)}]\n" for step in range(20)
)


@pytest.mark.parametrize("extension", ["*u", "!!binary aGk=", "!!set {a: null}", ".inf", "{ [1, 2]: 3 }"])
def test_an_extension_that_is_not_json(extension: str, tmp_path: Path) -> None:
    """The result is an error of the kubeconfig or of the plugin, never endless work or a plugin with half of its input."""
    plugin = plugin_at(tmp_path / "plugin")
    cluster = f"server: 'http://127.0.0.1:1', extensions: [{{name: client.authentication.k8s.io/exec, extension: {extension}}}]"
    path = tmp_path / "config"
    path.write_text(
        f"{_BOMB}current-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n"
        f"clusters: [{{name: k, cluster: {{{cluster}}}}}]\n"
        f"users: [{{name: u, user: {{exec: {{apiVersion: {API}, command: {plugin}, provideClusterInfo: true}}}}}}]\n"
    )
    if extension != "*u":
        path.write_text(path.read_text().removeprefix(_BOMB))
    begun = time.process_time()
    with pytest.raises(Exception, match=r"aliases \(such as \*name\)|not JSON|is not YAML|not a kubeconfig"):
        load_client(path).configuration.auth_settings()
    assert time.process_time() - begun < 5


# What is left behind


def is_running(pid_file: Path) -> bool:
    try:
        pid = int(pid_file.read_text())
        os.kill(pid, 0)
    except (OSError, ValueError):
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Path]:
    """The file with the process id of a plugin's child; the child is killed at the end."""
    path = tmp_path / "child"
    yield path
    if is_running(path):
        os.kill(int(path.read_text()), signal.SIGKILL)


def with_child(folder: Path, then: str) -> str:
    """A plugin that starts a child, which holds the pipe open."""
    child = folder / "child"
    start = f"sleep 300 &\necho $! > {child}.new\nmv {child}.new {child}\n"
    return str(plugin_at(folder / "plugin", start + then))


@pytest.mark.parametrize(
    ("then", "message"), [("wait", "did not end within 0.3 s"), ("exec yes", "wrote more than 1000 bytes")]
)
def test_the_plugins_children_are_killed_with_it(then: str, message: str, tmp_path: Path, child: Path) -> None:
    """The children are killed after a time-out and after too much output."""
    command = with_child(tmp_path, then)
    with pytest.raises(ExecPluginError, match=message):
        run(command, timeout=0.3 if then == "wait" else 20, max_output=1000)
    assert eventually(lambda: child.exists() and not is_running(child))


@pytest.mark.parametrize("noise", ["", "(while :; do echo ' '; sleep 0.01; done) &"])
def test_a_daemon_of_the_plugin_is_not_waited_for(noise: str, tmp_path: Path, child: Path) -> None:
    """A daemon that holds the pipe open, or writes into it, is left running: some plugins leave an agent behind."""
    command = with_child(tmp_path, f"{noise}\necho '{ANSWER}'")
    begun = time.monotonic()
    assert run(command, timeout=30) == "good"
    assert time.monotonic() - begun < 10
    assert is_running(child)


def test_a_failed_plugin_with_a_daemon_is_reported(tmp_path: Path, child: Path) -> None:
    """The plugin's exit code is reported at once, although its daemon runs on."""
    with pytest.raises(ExecPluginError, match="ended with exit code 3"):
        run(with_child(tmp_path, "exit 3"), timeout=30)


def test_a_plugin_that_closes_its_output_first(tmp_path: Path) -> None:
    """The read waits for the plugin's end, within the time-out."""
    assert run(str(plugin_at(tmp_path / "plugin", f"echo '{ANSWER}'\nexec >&-\nsleep 0.2"))) == "good"
    with pytest.raises(ExecPluginError, match="did not end within"):
        run(str(plugin_at(tmp_path / "plugin", f"echo '{ANSWER}'\nexec >&-\nexec sleep 60")), timeout=0.3)


def test_a_stop_kills_the_plugin_and_its_children(tmp_path: Path, child: Path) -> None:
    """The plugin is killed when no informer waits for its credentials any more, and not before."""
    command = with_child(tmp_path, "wait")
    path = tmp_path / "config"
    user = {"exec": {"apiVersion": API, "command": command, "interactiveMode": "Never"}}
    path.write_text(
        yaml.safe_dump(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
                "clusters": [{"name": "k", "cluster": {"server": "http://127.0.0.1:1"}}],
                "users": [{"name": "u", "user": user}],
            }
        )
    )
    api_client = load_client(path)
    informers: list[Any] = [SharedInformer(ListWatch.for_resource(api_client, "v1/pods")) for _ in range(2)]
    source = api_client.configuration.refresh_api_key_hook.__closure__[0].cell_contents
    for informer in informers:
        informer.start()
    assert eventually(lambda: is_running(child))
    assert eventually(lambda: source._needed_by == 2)
    assert informers[0].stop(1) is True
    assert is_running(child)
    assert informers[1].stop(1) is True
    assert eventually(lambda: not is_running(child))
    # The next request runs it anew, and does not get the failure of the one that was killed.
    child.unlink()
    again: Any = SharedInformer(ListWatch.for_resource(api_client, "v1/pods"))
    with again:
        assert eventually(lambda: is_running(child))
    assert eventually(lambda: not is_running(child))
