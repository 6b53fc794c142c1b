"""The WSGI application: its pages, methods and errors."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from prometheus_client.registry import Collector

from informer.leaderelection import LeaderElector, LeaseLock


def test_an_election_does_not_disturb_the_pages(ask, embedded_apiserver, run) -> None:
    """Every page answers 200 while this process takes part in an election."""
    stop, leads = threading.Event(), threading.Event()
    with embedded_apiserver.api_client() as api_client:
        elector = LeaderElector(
            LeaseLock(api_client, "default", "elected", "me"),
            on_started_leading=lambda over: leads.set(),
            on_stopped_leading=lambda: None,
        )
        running = run(elector.run, stop)
        try:
            assert leads.wait(10)
            assert [ask(path).status for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3
        finally:
            stop.set()
            running.result()


def test_metrics_are_served_as_text_or_openmetrics(ask, make, source) -> None:
    """The Accept header decides."""
    make(source)
    answer = ask("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert 'informer_store_objects{name="things"} 3.0\n' in answer.text
    opened = ask("/metrics", environ={"HTTP_ACCEPT": "application/openmetrics-text; version=1.0.0"})
    assert opened.headers["Content-Type"].startswith("application/openmetrics-text")
    assert opened.text.endswith("# EOF\n")


class Broken(Collector):
    """A collector that raises."""

    def collect(self) -> Any:
        raise RuntimeError("pl4nt3d")


def test_a_failing_collector_of_the_registry_is_logged(ask, registry, caplog) -> None:
    """The page does not show the error, and the other pages still answer."""
    registry.register(Broken())
    answer = ask("/metrics")
    assert (answer.status, answer.text) == (500, "failed: see the process's log\n")
    assert "pl4nt3d" in caplog.text
    assert ask("/readyz").status == 200


@pytest.mark.parametrize("path", ["/", "", "/x", "/metrics/x", "/healthz/../x"])
def test_other_paths_are_not_found(ask, path: str) -> None:
    """There are only three pages."""
    assert ask(path).status == 404


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_head_is_answered_without_a_body(ask, path: str) -> None:
    """Status and headers are those of GET."""
    answer = ask(path, "HEAD")
    assert (answer.status, answer.text) == (200, "")


def test_other_methods_are_refused(ask) -> None:
    """The pages only support GET and HEAD."""
    assert ask("/metrics", "POST").status == 405
    assert ask("/metrics", "OPTIONS").status == 405
    assert ask("/healthz", "POST").status == 405
