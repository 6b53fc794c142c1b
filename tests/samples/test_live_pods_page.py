"""The web page of live pods: the program as a user runs it, on both servers, and its messages for one browser."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3
from kubernetes import client

from informer import ListWatch, SharedInformer
from informer.testing import EmbeddedAPIServer
from tests.support.objects import pod
from tests.support.waiting import DEADLINE, PROMPT

pytest.importorskip("fastapi", reason="the page needs FastAPI, which the extra dev installs")
pytest.importorskip("uvicorn", reason="the page needs uvicorn, which the extra dev installs")

SAMPLE = "live_pods_page.py"
CHANGES = 400


class Browser:
    """A browser that has opened the page: reads events, and keeps the rows as the page's script does."""

    def __init__(self, url: str) -> None:
        self._http = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(DEADLINE))
        self._response = self._http.request("GET", url + "/events", preload_content=False)
        assert self._response.headers["Content-Type"].startswith("text/event-stream")
        self._lines = self._response_lines()
        self.rows: dict[str, list[str]] = {}

    def _response_lines(self) -> Iterator[str]:
        pending = b""
        while chunk := self._response.read1():
            *lines, pending = (pending + chunk).split(b"\n")
            yield from (line.decode() for line in lines)

    def read_until(self, condition: Callable[[dict[str, list[str]]], bool]) -> None:
        """Reads until the rows are as wanted."""
        while not condition(self.rows):
            event = next(self._lines).removeprefix("event: ")
            data = next(self._lines).removeprefix("data: ")
            assert next(self._lines) == ""
            take(self.rows, event, data)

    def close(self) -> None:
        """Leaves the page."""
        self._response.close()
        self._http.clear()


def take(rows: dict[str, list[str]], event: str, data: str) -> None:
    """Changes the rows as the page's script does."""
    if event == "reset":
        rows.clear()
    elif event == "pod":
        change = json.loads(data)
        if change["cells"] is None:
            rows.pop(change["key"], None)
        else:
            rows[change["key"]] = change["cells"]


@contextmanager
def browser(url: str) -> Iterator[Browser]:
    made = Browser(url)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_browsers_see_every_pod_and_every_change(
    server: Any, tmp_path: Path, run_sample: Callable[..., Any], number: signal.Signals
) -> None:
    """A browser that comes back has the full state. The program ends at once while browsers are connected."""
    kubeconfig = server.kubeconfig(tmp_path / "kubeconfig")
    with server.api_client() as api_client:
        core = client.CoreV1Api(api_client)
        namespace = core.create_namespace({"metadata": {"generateName": "page-"}}).metadata.name
        core.create_namespaced_pod(namespace, pod("first", namespace))
        program = run_sample(SAMPLE, "--kubeconfig", str(kubeconfig), "-n", namespace, "--port", "0")
        url = program.wait_for("open http")[1].removeprefix("open ")
        assert b"EventSource" in urllib3.request("GET", url).data
        first = f"{namespace}/first"
        with browser(url) as one, browser(url) as other:
            one.read_until(lambda rows: rows == {first: [namespace, "first", "Pending", "", "0"]})
            core.patch_namespaced_pod_status(
                "first", namespace, {"status": {"phase": "Running", "reason": "<b>\nevent: reset\n"}}
            )
            core.create_namespaced_pod(namespace, pod("second", namespace))
            for each in (one, other):
                each.read_until(lambda rows: len(rows) == 2 and rows[first][2] == "Running")
        core.delete_namespaced_pod("first", namespace, grace_period_seconds=0)
        with browser(url) as again, socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as silent:
            silent.sendall(b"GET /events HTTP/1.1\r\nHost: page\r\n\r\n")
            again.read_until(lambda rows: list(rows) == [f"{namespace}/second"])
            # Half a second on an idle machine. By itself, the server would wait for the browsers to leave.
            assert program.interrupt(number) < PROMPT
            assert program.process.returncode == 0
            with pytest.raises(StopIteration):
                again.read_until(lambda rows: False)
        errors = program.end()[2]
        assert not errors, "\n".join(errors)


def test_a_slow_browser_gets_the_last_state_and_few_changes(
    embedded_apiserver: EmbeddedAPIServer, samples: Callable[[str], Any]
) -> None:
    """While a browser does not read, at most one change waits for each pod."""
    page = samples("live_pods_page")
    stored = [embedded_apiserver.create(pod(name)) for name in ("a", "b")]

    async def read_slowly() -> int:
        rows: dict[str, list[str]] = {}
        async with pods.aio:
            changes = pods.aio.events(backlog="coalesce")
            stream: AsyncIterator[str] = page.messages(pods, changes)
            take(rows, *parsed(await anext(stream)))
            while len(rows) < 2:
                take(rows, *parsed(await anext(stream)))
            for number in range(CHANGES):
                stored[0]["status"] = {"phase": "Running", "message": str(number)}
                stored[0] = embedded_apiserver.update(stored[0])
            embedded_apiserver.delete(stored[1])
            assert await pods.aio.wait_until(lambda: len(pods.store) == 1, DEADLINE)
            assert changes.backlog_size == 2
            messages = 0
            while len(rows) == 2:
                take(rows, *parsed(await anext(stream)))
                messages += 1
            assert rows == {"default/a": ["default", "a", "Running", "", "0"]}
        return messages

    with embedded_apiserver.api_client() as api_client:
        pods: SharedInformer[Any] = SharedInformer(ListWatch.for_resource(api_client, "pods"))
        assert asyncio.run(asyncio.wait_for(read_slowly(), DEADLINE)) <= 4


def parsed(message: str) -> tuple[str, str]:
    event, data, *rest = message.split("\n")
    assert rest == ["", ""]
    return event.removeprefix("event: "), data.removeprefix("data: ")


def test_trouble_is_shown(
    embedded_apiserver: EmbeddedAPIServer, samples: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the server cannot be reached, the page says that it is not up to date, and why."""
    page = samples("live_pods_page")
    monkeypatch.setattr(page, "QUIET_SECONDS", 0.05)

    async def read() -> None:
        async with pods.aio:
            await pods.aio.wait_for_sync(DEADLINE)
            stream = page.messages(pods, pods.aio.events())
            assert parsed(await anext(stream)) == ("reset", "")
            assert parsed(await anext(stream)) == ("trouble", "")
            embedded_apiserver.stop()
            last = ("", "")
            while "refused" not in last[1]:
                last = parsed(await anext(stream))
            assert last[0] == "trouble"

    with embedded_apiserver.api_client() as api_client:
        pods: SharedInformer[Any] = SharedInformer(ListWatch.for_resource(api_client, "pods"))
        asyncio.run(asyncio.wait_for(read(), DEADLINE))


def test_demo_without_a_cluster(tmp_path: Path, run_sample: Callable[..., Any]) -> None:
    """Without a configured cluster it says so, and the page has the demo's pods."""
    program = run_sample(SAMPLE, "-A", "--port", "0", env={"HOME": str(tmp_path), "KUBECONFIG": ""})
    url = program.wait_for("open http")[1].removeprefix("open ")
    with browser(url) as shown:
        shown.read_until(lambda rows: len(rows) >= 7 and "Running" in {cells[2] for cells in rows.values()})
    program.interrupt()
    code, _, errors = program.end()
    assert (code, len(errors)) == (0, 1)
    assert "demo cluster" in errors[0]


@pytest.mark.parametrize("port", ["0", "used"])
def test_failures_are_one_line(
    embedded_apiserver: EmbeddedAPIServer, tmp_path: Path, run_sample: Callable[..., Any], port: str
) -> None:
    """A server that cannot be reached, and a port that is in use, end the program with one line."""
    kubeconfig = embedded_apiserver.kubeconfig(tmp_path / "kubeconfig")
    with socket.create_server(("127.0.0.1", 0)) as used:
        if port == "used":
            port = str(used.getsockname()[1])
        else:
            embedded_apiserver.stop()
        code, lines, errors = run_sample(SAMPLE, "--kubeconfig", str(kubeconfig), "--port", port).end()
    assert (code, lines) == (2, []), errors
    assert errors[-1].startswith("error: ")
    assert "refused" in errors[-1] or "in use" in errors[-1]
    assert "Traceback" not in "".join(errors)
