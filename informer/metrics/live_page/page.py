"""The live page: answers requests for it, if they may see it."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import json
from collections.abc import Callable, Iterable
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import msgspec

from informer.metrics.app import wsgi_app
from informer.metrics.client import CollectorRegistry
from informer.metrics.collector import InformerCollector, install
from informer.metrics.live_page.cache import Search
from informer.metrics.live_page.state import StateReader
from informer.metrics.live_page.views import object_page, objects_page, overview_page, problem_page
from informer.metrics.pages import Answer, Page, Request, text_answer
from informer.metrics.server import MetricsServer
from informer.shared.shared_informer import SharedInformer
from watch.printable import hide_secret

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["make_live_page_app", "serve_live_page"]

_HTML = "text/html; charset=utf-8"
_FILES = {"/page.css": "text/css; charset=utf-8", "/page.js": "text/javascript; charset=utf-8"}
_PATHS = ("", "/objects", "/object", "/state.json", *_FILES)
_MAX_POSITION_DIGITS = 12
# Scripts and styles come from this page only, no other page may embed it, and a browser keeps nothing of it.
_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'",
    ),
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)


def serve_live_page(
    port: int, host: str = "127.0.0.1", *, token: str | None = None, registry: CollectorRegistry | None = None
) -> MetricsServer:
    """Serves the live page over HTTP until the returned server is stopped. `make_live_page_app` describes the page.

    By default only programs on this host, or in this pod, reach it. `kubectl port-forward` brings it to a browser elsewhere.

    Args:
        port: the port to listen on. 0: a free port, which `MetricsServer.port` gives.
        host: the address to listen on. One that other hosts reach needs a token.
        token: the bearer token that requests need; a browser asks for it as a password, and takes any user name. None
            answers every request to a loopback address.
        registry: the Prometheus registry whose metrics are shown. None: the Prometheus client's default registry.

    Returns:
        The server, which is running.

    Raises:
        OSError: the server cannot listen on the address, for example because the port is taken.
        ValueError: the token is empty, or is missing although `host` is not a loopback address.

    Threads: does not block. The server has two threads.

    Example:
        >>> from prometheus_client import CollectorRegistry
        >>> from urllib.request import urlopen
        >>> with serve_live_page(0, registry=CollectorRegistry()) as server:
        ...     with urlopen(f"http://127.0.0.1:{server.port}/") as response:
        ...         print(response.status)
        200
    """
    if token is None and not _is_loopback(host):
        raise ValueError(
            f"the live page on {host!r} shows all cached objects to other hosts: give token=, or leave host out and use "
            "kubectl port-forward"
        )
    page = _LivePage(install(registry), token, only_loopback=token is None)
    return MetricsServer(dict.fromkeys(_PATHS, page), host, port)


def make_live_page_app(
    *, token: str | None = None, registry: CollectorRegistry | None = None
) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    """Makes a WSGI application that shows this process's informers while they run, for a browser and for `informer top`.

    The page shows informers with their state, last error, rate and lag; handlers, work queues and leases; and the objects
    of each cache by key, index and label selector, as JSON. The data of Secrets are hidden. Work queues and electors are
    shown as in `/metrics`: if the collector that `install` returns is their metrics provider.

    Args:
        token: the bearer token that requests need. None answers every request: the server or a proxy has to decide who may
            see the page.
        registry: the Prometheus registry whose metrics are shown. None: the Prometheus client's default registry.

    Returns:
        The WSGI application. Mount it at a path that ends with "/".

    Raises:
        ValueError: the token is empty.

    Threads: the server may call the application on any number of threads. It computes one answer at a time.
    """
    return wsgi_app(dict.fromkeys(_PATHS, _LivePage(install(registry), token, only_loopback=False)))


class _LivePage(Page):
    """Answers requests for all paths of the live page.

    Args:
        collector: finds what is shown.
        token: the bearer token that requests need; None for no token.
        only_loopback: refuse requests for a host name that is not a loopback address, so that a page of another site whose
            name suddenly leads to this host cannot read this one.
    """

    def __init__(self, collector: InformerCollector, token: str | None, *, only_loopback: bool) -> None:
        super().__init__("/live-page")
        if token is not None:
            if not token.strip():
                raise ValueError("the live page's token= is empty: give a long random text, or None for no token")
            hide_secret(token)
        self._collector = collector
        self._reader = StateReader(collector)
        # A token that was read from a file ends with a line break.
        self._token = None if token is None else token.strip().encode()
        self._only_loopback = only_loopback

    def _compute(self, request: Request) -> Answer:
        if self._only_loopback and not _is_loopback(_host_name(request.host)):
            text = "the live page answers on a loopback address only: open http://127.0.0.1 with its port\n"
            return text_answer(HTTPStatus.FORBIDDEN, text)
        if not self._may_see(request.authorization):
            refusal = text_answer(HTTPStatus.UNAUTHORIZED, "the live page needs its bearer token\n")
            return refusal._replace(
                headers=(*refusal.headers, ("WWW-Authenticate", 'Basic realm="informer live page"'))
            )
        path = request.path.rstrip("/")
        if path in _FILES:
            return _answer(files("informer.metrics.live_page").joinpath(path[1:]).read_bytes(), _FILES[path])
        if path == "":
            return _answer(overview_page(*self._reader.read()))
        if path == "/state.json":
            state = msgspec.to_builtins(self._reader.read()[0])
            # A program's names may have characters that UTF-8 has not, which msgspec refuses.
            return _answer(json.dumps(state, ensure_ascii=False).encode(errors="replace"), "application/json")
        return self._answer_about_cache(path, request.query)

    def _may_see(self, authorization: str) -> bool:
        if self._token is None:
            return True
        scheme, _, given = authorization.partition(" ")
        raw = given.strip().encode("latin-1", "replace")
        if scheme.lower() == "basic":
            try:
                raw = base64.b64decode(raw, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        elif scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(raw, self._token)

    def _answer_about_cache(self, path: str, query: str) -> Answer:
        try:
            fields = parse_qs(query, errors="surrogatepass", max_num_fields=20)
        except ValueError:
            return _answer(problem_page("The address is malformed."), status=HTTPStatus.BAD_REQUEST)
        asked = {name: values[0] for name, values in fields.items()}
        name = asked.get("informer", "")
        informer = self._find(name)
        body = None
        if informer is not None and path == "/object":
            body = object_page(informer, name, asked.get("key", ""))
        elif informer is not None:
            texts = {each: asked.get(each, "") for each in ("key", "selector", "index", "value")}
            search = Search(**texts, start=_position(asked))
            body = objects_page(informer, name, search)
        if body is None:
            problem = (
                f"This process has no informer {name}." if informer is None else "The cache has no such object now."
            )
            return _answer(problem_page(problem), status=HTTPStatus.NOT_FOUND)
        return _answer(body)

    def _find(self, name: str) -> SharedInformer[Any] | None:
        return next((each for each, known in self._collector.named_informers() if known == name), None)


def _answer(body: bytes, kind: str = _HTML, status: HTTPStatus = HTTPStatus.OK) -> Answer:
    return Answer(status, (("Content-Type", kind), ("Content-Length", str(len(body))), *_HEADERS), body)


def _position(asked: dict[str, str]) -> int:
    text = asked.get("from", "")
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= _MAX_POSITION_DIGITS else 0


def _host_name(header: str) -> str:
    """Returns the name or address in a Host header, without port and brackets."""
    return header[1:].partition("]")[0] if header.startswith("[") else header.partition(":")[0]


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
