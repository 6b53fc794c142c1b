"""The pages that a kubelet and Prometheus request, without HTTP: `/healthz`, `/livez`, `/readyz` and `/metrics`.

Concurrent requests share the work. A page is computed on one thread at a time, and every request that arrived before the answer
was ready gets this answer. So a flood of requests costs no more than requests that come one after another.
"""

from __future__ import annotations

import gzip
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from informer.metrics.client import REGISTRY, CollectorRegistry, Metric, choose_encoder
from informer.metrics.collector import install
from informer.metrics.health import Check, Health
from informer.rate_limited_log import rate_limited
from informer.shared.shared_informer import SharedInformer
from watch.concurrency import Lock, Worker
from watch.logs import get_logger

__all__ = ["Answer", "Page", "Request", "find_page", "make_pages", "text_answer"]

_log = get_logger(__name__)

# Seconds for which a scrape's result is given to further requests.
_SCRAPE_LIFETIME = 1.0
# Seconds for which a probe may get the previous answer, if too many requests wait for the page.
_LATEST_LIFETIME = 5.0
# The most different `name[]` selections per scrape, so that clients cannot keep the process busy with them.
_MAX_SELECTIONS = 16
# The known formats. The client library would repeat any other version from the request in its answer.
_KNOWN_TYPE = re.compile(r"[a-z/-]+; version=(0\.0\.[14]|1\.0\.0); charset=utf-8(; escaping=[a-z-]+)?")


class Request(NamedTuple):
    """A GET or HEAD request for a page."""

    asked: float  # when it came, by `time.monotonic()`
    accept: str = ""
    accept_encoding: str = ""
    query: str = ""
    path: str = ""
    host: str = ""  # the header Host
    authorization: str = ""


class Answer(NamedTuple):
    """The answer to a GET request. The server answers HEAD with the same head and no body."""

    status: HTTPStatus
    headers: tuple[tuple[str, str], ...]
    body: bytes


def text_answer(status: HTTPStatus, text: str) -> Answer:
    """Returns an answer of plain text."""
    body = text.encode(errors="replace")
    headers = (
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    )
    return Answer(status, headers, body)


_FAILED = text_answer(HTTPStatus.INTERNAL_SERVER_ERROR, "failed: see the process's log\n")


class Page:
    """A page. Subclasses override `_compute`, which is called on one thread at a time.

    Threads: any. `answer` waits for a call of it that is under way.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = Lock()
        self._limited = rate_limited(_log)

    def answer(self, request: Request) -> Answer:
        """Returns the answer to a request. If the page cannot be computed, it is a 500, and the error is logged."""
        with self._lock:
            try:
                return self._compute(request)
            # Raised by another collector of the registry. The answer does not show the error, which may contain secrets.
            except Exception as error:
                self._limited.error("failed to answer a request for %s", self.name, exc_info=error)
                return _FAILED

    def latest(self) -> Answer | None:
        """Returns a recent answer without waiting; None if there is none."""
        return None

    def workers(self) -> Iterable[Worker]:
        """Returns the threads that the page has started and that may still run."""
        return ()

    def _compute(self, request: Request) -> Answer:
        raise NotImplementedError


class _HealthPage(Page):
    """Answers 200, or 503 with one line for each problem."""

    def __init__(
        self, name: str, find_problems: Callable[[], list[str]], workers: Callable[[], Iterable[Worker]]
    ) -> None:
        super().__init__(name)
        self._find_problems = find_problems
        self._find_workers = workers
        self._latest: tuple[float, Answer] | None = None  # with the time at which it was ready

    def workers(self) -> Iterable[Worker]:
        return self._find_workers()

    def latest(self) -> Answer | None:
        latest = self._latest
        return latest[1] if latest is not None and time.monotonic() - latest[0] < _LATEST_LIFETIME else None

    def _compute(self, request: Request) -> Answer:
        if self._latest is None or request.asked > self._latest[0]:
            problems = self._find_problems()
            status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
            answer = text_answer(status, "".join(f"{line}\n" for line in problems) or "ok\n")
            self._latest = time.monotonic(), answer
        return self._latest[1]


class _MetricsPage(Page):
    """Shows a Prometheus registry, which is read at most once per second."""

    def __init__(self, name: str, registry: CollectorRegistry) -> None:
        super().__init__(name)
        self._registry = registry
        # All of the following are guarded by _lock.
        self._scrape: _Scrape | None = None  # None too if the last one failed
        self._ready = float("-inf")
        self._process = os.getpid()  # a forked child does not show what its parent has read
        self._rendered: dict[tuple[str, bool, frozenset[str]], Answer] = {}
        self._selections = 0

    def _compute(self, request: Request) -> Answer:
        if request.asked > self._ready + _SCRAPE_LIFETIME or self._process != os.getpid():
            self._read()
        if self._scrape is None:
            return _FAILED
        names = frozenset(parse_qs(request.query).get("name[]", ()))
        encode, content_type = _choose_encoder(request.accept)
        key = content_type, _accepts_gzip(request.accept_encoding), names
        answer = self._rendered.get(key)
        if answer is None:
            if names:
                self._selections += 1
                if self._selections > _MAX_SELECTIONS:
                    return text_answer(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests with name[]\n")
            body = encode(self._scrape.only(names) if names else self._scrape)
            answer = self._rendered[key] = _render(body, content_type, is_zipped=key[1])
        return answer

    def _read(self) -> None:
        self._rendered.clear()
        self._selections = 0
        self._scrape = None
        try:
            self._scrape = _Scrape(list(self._registry.collect()))
        finally:
            self._ready, self._process = time.monotonic(), os.getpid()


class _Scrape:
    """The metrics that the collectors of a registry returned. It has a registry's `collect`, so that they can be encoded."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics

    def only(self, names: frozenset[str]) -> _Scrape:
        """Returns a scrape with the samples of these names only, as `/metrics?name[]=NAME` requests."""
        chosen = []
        for metric in self._metrics:
            samples = [sample for sample in metric.samples if sample.name in names]
            if samples:
                copy = Metric(metric.name, metric.documentation, metric.type, metric.unit)
                copy.samples = samples
                chosen.append(copy)
        return _Scrape(chosen)


def _choose_encoder(accept: str) -> tuple[Callable[[Any], bytes], str]:
    try:
        encode, content_type = choose_encoder(accept)
        if _KNOWN_TYPE.fullmatch(content_type):
            return encode, content_type
    # Raised for a version that is not made of numbers.
    except (TypeError, ValueError):
        pass
    return choose_encoder("")


def _accepts_gzip(accept_encoding: str) -> bool:
    return any(each.partition(";")[0].strip().lower() == "gzip" for each in accept_encoding.split(","))


def _render(body: bytes, content_type: str, *, is_zipped: bool) -> Answer:
    body = gzip.compress(body) if is_zipped else body
    encoding = (("Content-Encoding", "gzip"),) if is_zipped else ()
    headers = (("Content-Type", content_type), ("Content-Length", str(len(body))), *encoding)
    return Answer(HTTPStatus.OK, headers, body)


def make_pages(
    registry: CollectorRegistry | None,
    informers: Iterable[SharedInformer[Any]] | None,
    live_checks: Mapping[str, Check] | None,
    ready_checks: Mapping[str, Check] | None,
    check_timeout: float,
) -> dict[str, Page]:
    """Makes the pages by path. See `informer.metrics.make_app` for arguments and errors."""
    health = Health(informers, live_checks, ready_checks, check_timeout)
    install(registry)
    alive = _HealthPage("/healthz", health.liveness_problems, health.workers)
    return {
        "/healthz": alive,
        "/livez": alive,
        "/readyz": _HealthPage("/readyz", health.readiness_problems, health.workers),
        "/metrics": _MetricsPage("/metrics", REGISTRY if registry is None else registry),
    }


def find_page(pages: Mapping[str, Page], method: str, path: str) -> Page | Answer:
    """Returns the page that a request is for, or the answer that refuses the request."""
    page = pages.get(path.rstrip("/"))
    if page is None:
        return text_answer(HTTPStatus.NOT_FOUND, f"not found: try {', '.join(each or '/' for each in pages)}\n")
    if method not in ("GET", "HEAD"):
        refusal = text_answer(HTTPStatus.METHOD_NOT_ALLOWED, "method not allowed: use GET or HEAD\n")
        return refusal._replace(headers=(*refusal.headers, ("Allow", "GET, HEAD")))
    return page
