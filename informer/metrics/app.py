"""The pages as a WSGI application, which the user mounts in a server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from informer.metrics.client import CollectorRegistry
from informer.metrics.health import CHECK_TIMEOUT, Check
from informer.metrics.pages import Answer, Page, Request, find_page, make_pages
from informer.shared.shared_informer import SharedInformer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["make_app", "wsgi_app"]


def make_app(
    *,
    registry: CollectorRegistry | None = None,
    informers: Iterable[SharedInformer[Any]] | None = None,
    live_checks: Mapping[str, Check] | None = None,
    ready_checks: Mapping[str, Check] | None = None,
    check_timeout: float = CHECK_TIMEOUT,
) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    """Makes a WSGI application with these pages. Mount it in any WSGI server, or use `serve`, which has its own.

    - `/healthz` and `/livez`, for liveness probes, answer 503 if an informer's reader thread has ended with an error or a
      check of `live_checks` fails; otherwise 200.
    - `/readyz`, for readiness probes, answers 503 if an informer has not synced or a check of `ready_checks` fails; otherwise
      200.
    - `/metrics` shows the Prometheus registry, to which the metrics of all informers are added.

    A 503 has one line for each problem. For a failing check the line only has its name and the type of the error; the log has
    the rest. Requests that come together share one scrape, whose result is also given to those of the next second, and one
    run of the checks.

    Args:
        registry: the Prometheus registry. None: the Prometheus client's default registry.
        informers: the informers that the probes check. None: all that were started in this process and not stopped.
        live_checks: further checks of `/healthz` by name, such as `{"leader": lambda: elector.check(30)}`. A check fails if
            it raises, if it returns False or an exception, or if it has not returned in time. It is not called again before
            it has returned.
        ready_checks: further checks of `/readyz` by name.
        check_timeout: seconds after which a check that still runs has failed. The default leaves time to answer within the
            one second that a kubelet waits unless a probe has `timeoutSeconds`.

    Returns:
        The WSGI application.

    Raises:
        ValueError: another collector of the registry has metrics of the same names, or `check_timeout` is not positive.

    Threads: the server may call the application on any number of threads. Each check runs on a thread of its own. The server
        should keep threads free for probes while others wait for a scrape.

    Example:
        >>> from prometheus_client import CollectorRegistry
        >>> app = make_app(registry=CollectorRegistry(), informers=[], ready_checks={"warm": lambda: False})
        >>> body = app({"PATH_INFO": "/readyz", "REQUEST_METHOD": "GET"}, lambda status, headers: print(status))
        503 Service Unavailable
        >>> print(b"".join(body).decode().strip())
        check warm: failed
    """
    return wsgi_app(make_pages(registry, informers, live_checks, ready_checks, check_timeout))


def wsgi_app(pages: Mapping[str, Page]) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    """Makes a WSGI application of pages by path."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        asked = time.monotonic()
        method = environ["REQUEST_METHOD"]
        found = find_page(pages, method, environ.get("PATH_INFO", ""))
        if not isinstance(found, Answer):
            fields = (
                "HTTP_ACCEPT",
                "HTTP_ACCEPT_ENCODING",
                "QUERY_STRING",
                "PATH_INFO",
                "HTTP_HOST",
                "HTTP_AUTHORIZATION",
            )
            found = found.answer(Request(asked, *(environ.get(field, "") for field in fields)))
        start_response(f"{found.status.value} {found.status.phrase}", list(found.headers))
        return [] if method == "HEAD" else [found.body]

    return app
