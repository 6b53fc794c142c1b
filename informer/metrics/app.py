"""`/healthz`, `/readyz` and `/metrics` as one WSGI application.

Comes in: requests, from whatever server it is mounted in. Goes out: what a kubelet and a Prometheus want to know.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from informer.metrics.client import REGISTRY, CollectorRegistry, make_wsgi_app
from informer.metrics.collector import install
from informer.metrics.health import Check, Health
from informer.shared.shared_informer import SharedInformer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["make_app"]

_log = logging.getLogger(__name__)

_READING = ("GET", "HEAD")


def make_app(
    *,
    registry: CollectorRegistry | None = None,
    informers: Iterable[SharedInformer[Any]] | None = None,
    live_checks: Mapping[str, Check] | None = None,
    ready_checks: Mapping[str, Check] | None = None,
) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    """A WSGI application with three pages, to be mounted anywhere; `serve` has a server of its own.

    - `/healthz` answers 503 when an informer's reading has ended with an error, or a check fails, such as
      `{"leader": lambda: elector.check(30)}`; else 200.
    - `/readyz` answers 503, with a line for each informer that has no first list and what keeps it from that.
    - `/metrics` shows the registry, in which informers are installed.

    Args:
        registry: None for the Prometheus client's default one.
        informers: those that have to be in order; None for all that were started in this process and not stopped.
        live_checks: further checks of `/healthz`, by name: each fails by raising, or by returning False or an exception.
        ready_checks: the same for `/readyz`.

    Raises:
        ValueError: see `install`.
    """
    install(registry)
    health = Health(informers, live_checks, ready_checks)
    metrics = make_wsgi_app(REGISTRY if registry is None else registry)
    pages = {"/healthz": health.what_is_dead, "/readyz": health.what_is_not_ready, "/metrics": None}

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "").rstrip("/")
        if path not in pages:
            return _answer(environ, start_response, HTTPStatus.NOT_FOUND, "see /healthz, /readyz and /metrics\n")
        if environ["REQUEST_METHOD"] not in _READING:
            return _answer(environ, start_response, HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD\n")
        page = pages[path]
        try:
            if page is None:
                shown = list(metrics({**environ, "REQUEST_METHOD": "GET"}, start_response))
                return [] if environ["REQUEST_METHOD"] == "HEAD" else shown
            wrong = page()
        # Of another collector of the registry. What it is may concern nobody who can reach this page.
        except Exception:
            _log.exception("%s could not be answered", path)
            return _answer(environ, start_response, HTTPStatus.INTERNAL_SERVER_ERROR, "failed: the log says why\n")
        if not wrong:
            return _answer(environ, start_response, HTTPStatus.OK, "ok\n")
        return _answer(environ, start_response, HTTPStatus.SERVICE_UNAVAILABLE, "".join(f"{line}\n" for line in wrong))

    return app


def _answer(environ: WSGIEnvironment, start_response: StartResponse, status: HTTPStatus, text: str) -> Iterable[bytes]:
    body = text.encode(errors="replace")
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    start_response(f"{status.value} {status.phrase}", headers)
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]
