"""A WSGI application with the pages that a kubelet and Prometheus request: `/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from informer.metrics.client import REGISTRY, CollectorRegistry, make_wsgi_app
from informer.metrics.collector import install
from informer.metrics.health import Check, Health
from informer.shared.shared_informer import SharedInformer
from watch.logs import get_logger

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["make_app"]

_log = get_logger(__name__)

_READ_METHODS = ("GET", "HEAD")


def make_app(
    *,
    registry: CollectorRegistry | None = None,
    informers: Iterable[SharedInformer[Any]] | None = None,
    live_checks: Mapping[str, Check] | None = None,
    ready_checks: Mapping[str, Check] | None = None,
) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    """Makes a WSGI application with three pages. Mount it in any WSGI server, or use `serve`, which has its own.

    - `/healthz`, for liveness probes, answers 503 if an informer's reader thread has ended with an error or a check of
      `live_checks` fails; otherwise 200.
    - `/readyz`, for readiness probes, answers 503 if an informer has not synced or a check of `ready_checks` fails; otherwise
      200.
    - `/metrics` shows the Prometheus registry, to which the metrics of all informers are added.

    A 503 has one line for each problem. For a failing check the line only has its name and the type of the error; the log has
    the rest.

    Args:
        registry: the Prometheus registry. None: the Prometheus client's default registry.
        informers: the informers that `/healthz` and `/readyz` check. None: all that were started in this process and not
            stopped.
        live_checks: further checks of `/healthz` by name, such as `{"leader": lambda: elector.check(30)}`. A check fails if
            it raises, or if it returns False or an exception.
        ready_checks: further checks of `/readyz` by name.

    Returns:
        The WSGI application.

    Raises:
        ValueError: another collector of the registry has metrics of the same names.

    Threads: the server may call the application on any number of threads. Checks run on the thread of the request.

    Example:
        >>> from prometheus_client import CollectorRegistry
        >>> app = make_app(registry=CollectorRegistry(), informers=[], ready_checks={"warm": lambda: False})
        >>> body = app({"PATH_INFO": "/readyz", "REQUEST_METHOD": "GET"}, lambda status, headers: print(status))
        503 Service Unavailable
        >>> print(b"".join(body).decode().strip())
        check warm: failed
    """
    install(registry)
    health = Health(informers, live_checks, ready_checks)
    metrics = make_wsgi_app(REGISTRY if registry is None else registry)
    pages = {"/healthz": health.liveness_problems, "/readyz": health.readiness_problems, "/metrics": None}

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "").rstrip("/")
        if path not in pages:
            return _answer(
                environ, start_response, HTTPStatus.NOT_FOUND, "not found: try /healthz, /readyz or /metrics\n"
            )
        if environ["REQUEST_METHOD"] not in _READ_METHODS:
            return _answer(
                environ, start_response, HTTPStatus.METHOD_NOT_ALLOWED, "method not allowed: use GET or HEAD\n"
            )
        page = pages[path]
        try:
            if page is None:
                body = list(metrics({**environ, "REQUEST_METHOD": "GET"}, start_response))
                return [] if environ["REQUEST_METHOD"] == "HEAD" else body
            problems = page()
        # Raised by another collector of the registry. The page does not show the error, which may hold secrets.
        except Exception:
            _log.exception("failed to answer a request for %s", path)
            return _answer(environ, start_response, HTTPStatus.INTERNAL_SERVER_ERROR, "failed: see the process's log\n")
        if not problems:
            return _answer(environ, start_response, HTTPStatus.OK, "ok\n")
        text = "".join(f"{line}\n" for line in problems)
        return _answer(environ, start_response, HTTPStatus.SERVICE_UNAVAILABLE, text)

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
