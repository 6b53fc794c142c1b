"""Stopping an informer during a call that cannot be interrupted: a name lookup, an exec plugin, a user's hook."""

from __future__ import annotations

import datetime
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from informer import ListWatch, SharedInformer
from tests.support.waiting import DEADLINE
from watch.concurrency import Latch

PROMPT = 1.0


class Blocking:
    """A function that blocks until the test ends."""

    def __init__(self) -> None:
        self.entered, self.go = Latch(), Latch()
        self.calls = 0

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.calls += 1
        self.entered.open()
        self.go.wait(DEADLINE)
        raise OSError("it took too long")


@pytest.fixture
def blocking() -> Iterator[Blocking]:
    """A function that blocks until the test ends."""
    made = Blocking()
    yield made
    made.go.open()


def started(api_client: Any, **options: Any) -> SharedInformer[Any]:
    informer: SharedInformer[Any] = SharedInformer(ListWatch.for_resource(api_client, "pods", **options))
    informer.start()
    return informer


def stops_promptly(*informers: SharedInformer[Any], drain: bool = False) -> None:
    """Asserts that each informer stops within a second, with all of its threads."""
    for informer in informers:
        begun = time.monotonic()
        assert informer.stop(PROMPT, drain=drain) is True
        assert time.monotonic() - begun < PROMPT


def client_of(host: str, **settings: Any) -> Any:
    from kubernetes import client

    configuration = client.Configuration(host=host)
    for name, value in settings.items():
        setattr(configuration, name, value)
    return client.ApiClient(configuration)


# A name lookup


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch, blocking: Blocking) -> Blocking:
    """A resolver that does not answer; numeric addresses need none."""
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:
        if flags & socket.AI_NUMERICHOST:
            return real(host, port, family, type, proto, flags)
        return blocking()

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return blocking


@pytest.mark.parametrize("drain", [False, True])
@pytest.mark.parametrize(
    ("host", "settings"),
    [
        pytest.param("http://api.example", {}, id="plain"),
        pytest.param("https://api.example", {}, id="tls"),
        pytest.param("https://127.0.0.1:1", {"proxy": "http://proxy.example:3128"}, id="proxy"),
    ],
)
def test_stop_during_a_name_lookup(lookups: Blocking, host: str, settings: Any, drain: bool) -> None:
    """The reader thread does not wait for the resolver."""
    informer = started(client_of(host, **settings), namespace=["a", "b"])
    assert lookups.entered.wait(DEADLINE)
    stops_promptly(informer, drain=drain)


def test_an_address_needs_no_lookup_and_no_thread(lookups: Blocking, serve: Any) -> None:
    """Only names are passed to the resolver."""
    answered = Latch()

    def handler(request: Any, connection: Any) -> None:
        answered.open()
        connection.hang()

    informer = started(serve(handler).client())
    assert answered.wait(DEADLINE)
    stops_promptly(informer)
    assert lookups.calls == 0


# Credentials


_PLUGIN = """#!/bin/sh
echo run >> {folder}/runs
if [ $(wc -l < {folder}/runs) -ge {slow_from} ]; then
    touch {folder}/slow
    n=0
    while [ ! -e {folder}/go ] && [ $n -lt 400 ]; do n=$((n + 1)); sleep 0.05; done
fi
cat {folder}/answer
"""


class Plugin:
    """An exec plugin that blocks from its run number `slow_from` on, and a kubeconfig that names it."""

    def __init__(self, folder: Path, *, slow_from: int) -> None:
        self._folder = folder
        past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
        status = {"token": "t", "expirationTimestamp": past.strftime("%Y-%m-%dT%H:%M:%SZ")}
        api = "client.authentication.k8s.io/v1"
        (folder / "answer").write_text(json.dumps({"apiVersion": api, "kind": "ExecCredential", "status": status}))
        script = folder / "plugin"
        script.write_text(_PLUGIN.format(folder=folder, slow_from=slow_from))
        script.chmod(0o755)
        user = {"exec": {"apiVersion": api, "command": str(script), "interactiveMode": "Never"}}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
            "users": [{"name": "u", "user": user}],
        }
        self.kubeconfig = folder / "config"
        self.kubeconfig.write_text(yaml.safe_dump(config))

    @property
    def runs(self) -> int:
        return len((self._folder / "runs").read_text().splitlines())

    def is_slow_now(self) -> bool:
        return _comes_true((self._folder / "slow").exists)

    def release(self) -> None:
        (self._folder / "go").touch()


def _comes_true(condition: Callable[[], bool]) -> bool:
    deadline, pause = time.monotonic() + DEADLINE, Latch()
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.01)
    return True


def test_stop_during_an_exec_plugin(tmp_path: Path) -> None:
    """Neither the informer that runs it nor those waiting for its credentials are held up; it does not run again for those."""
    from kubernetes import client, config

    plugin = Plugin(tmp_path, slow_from=2)
    configuration = client.Configuration()
    config.load_kube_config(str(plugin.kubeconfig), client_configuration=configuration)
    api_client = client.ApiClient(configuration)
    informers = [started(api_client) for _ in range(3)]
    try:
        assert plugin.is_slow_now()
        stops_promptly(*informers)
    finally:
        plugin.release()
    assert plugin.runs == 2


def test_stop_while_the_default_client_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a kubeconfig can run its plugin; informers with another client do not wait for it."""
    plugin = Plugin(tmp_path, slow_from=1)
    monkeypatch.setattr("informer.transport.transport._defaults", [])
    monkeypatch.setenv("KUBECONFIG", str(plugin.kubeconfig))
    informer = started(None)
    try:
        assert plugin.is_slow_now()
        other = started(client_of("http://127.0.0.1:1"))
        assert _comes_true(lambda: other.sync_error() is not None)
        stops_promptly(informer, other)
    finally:
        plugin.release()


def test_stop_during_a_users_hook(blocking: Blocking) -> None:
    """`refresh_api_key_hook` can be any function."""
    informer = started(client_of("http://127.0.0.1:1", refresh_api_key_hook=blocking))
    assert blocking.entered.wait(DEADLINE)
    stops_promptly(informer)


def test_stop_while_credentials_are_renewed_after_401(serve: Any, blocking: Blocking) -> None:
    """The loader may take any time. Credentials that do not expire need no extra thread."""
    names: list[str] = []

    class Loader:
        def _load_authentication(self) -> None:
            blocking()

    def hook_of(loader: Loader) -> Callable[[Any], None]:
        def hook(configuration: Any) -> None:
            names.append(threading.current_thread().name)
            assert loader

        return hook

    def handler(request: Any, connection: Any) -> None:
        connection.answer({"kind": "Status", "code": 401}, 401)

    informer = started(serve(handler).client(refresh_api_key_hook=hook_of(Loader())))
    assert blocking.entered.wait(DEADLINE)
    stops_promptly(informer)
    assert all(name.startswith("informer-") for name in names)
