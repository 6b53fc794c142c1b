"""The pages for a browser: the overview, the objects of a cache, and one object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from informer.errors import InformerError
from informer.metrics.live_page.cache import PAGE_SIZE, Search, find
from informer.metrics.live_page.html import Html, Table, document, element, join, link_to, plot, preformatted, rates
from informer.metrics.live_page.objects import json_lines, shown_indices
from informer.metrics.live_page.state import InformerState, ProcessState, Sample
from informer.objects.keys import version_of
from informer.shared.shared_informer import SharedInformer
from watch.printable import without_secrets

__all__ = ["object_page", "objects_page", "overview_page", "problem_page"]

# The page's server takes a request with its headers up to 8 KiB.
_MAX_ADDRESS = 4000
_INFORMERS = (
    "Informer",
    "State",
    "#Objects",
    "#Size",
    "#Version",
    "#Events/s",
    "#Last event",
    "#Waiting",
    "#Lag",
    "#Errors",
)
_HANDLERS = ("Handler", "Informer", "#Waiting", "#Lag", "#Delivered", "#Busy", "#Errors")
_QUEUES = ("Work queue", "#Waiting", "#Added", "#Retries", "#Longest under way")
_LEASES = ("Lease", "This process", "Holder")


def overview_page(state: ProcessState, histories: Mapping[str, Sequence[Sample]]) -> bytes:
    """Returns the page that shows the whole process."""
    informers = Table("informers", "What follows the server. The plots show the last two minutes at most.", _INFORMERS)
    handlers = Table("handlers", "What waits for each handler.", _HANDLERS)
    for each in state.informers:
        _add_informer(informers, each, histories[each.name])
        for handler in each.handlers:
            busy, lag = _seconds(handler.busy), _seconds(handler.lag)
            numbers = (f"{handler.backlog:,.0f}", lag, f"{handler.delivered:,}", busy, f"{handler.errors:,.0f}")
            handlers.add(handler.name, each.name, *numbers)
    queues = Table("queues", "Named work queues that report their metrics.", _QUEUES)
    for queue in state.queues:
        counts = (f"{count:,.0f}" for count in (queue.depth, queue.adds, queue.retries))
        queues.add(queue.name, *counts, _seconds(queue.longest))
    leases = Table("leases", "Leases of leader elections and of shards.", _LEASES)
    for lease in state.leases:
        held = element("b", "holds it" if lease.is_held else "does not hold it")
        leases.add(lease.name, held, lease.holder, state="held" if lease.is_held else None)
    process = f"process {state.pid} on {state.host}"
    box = element("input", type="checkbox", id="live", checked=True)
    return document(
        f"Informers of {process}",
        element("h1", f"Informers of {process}"),
        element("p", element("label", box, " Update every 2 seconds"), hidden=True),
        element("p", id="message", class_="error", role="status"),
        _section("Informers", informers.html("No informer runs.")),
        _section("Handlers", handlers.html("No handlers.")),
        _section("Work queues", queues.html("No work queue reports its metrics.")),
        _section("Leases", leases.html("This process takes part in no election.")),
    )


def objects_page(informer: SharedInformer[Any], name: str, search: Search) -> bytes:
    """Returns a page of an informer's objects, or of the values of an index if one is chosen without a value."""
    indices = shown_indices(informer)
    count = len(informer.indexer)
    parts: list[object] = [
        _way((link_to("."), "Informers"), (None, name)),
        element("h1", f"Objects of {name}"),
        element("p", f"{count:,} objects, in the order of the cache.", class_="dim"),
        _form(name, search, indices),
    ]
    try:
        if search.index and search.index not in indices:
            parts.append(_error(f"This cache has no index {search.index} to show."))
        elif search.index and not search.value:
            parts += _index_values(informer, name, search)
        else:
            parts += _objects(informer, name, search, count)
    # A malformed selector; an index or labels that the objects do not have.
    except (InformerError, ValueError) as error:
        parts.append(_error(error))
    return document(f"Objects of {name}", *parts)


def object_page(informer: SharedInformer[Any], name: str, key: str) -> bytes | None:
    """Returns the page of one object; None if the cache does not have it."""
    stored = informer.indexer.records.get(key)
    if stored is None:
        return None
    return document(
        f"{key} of {name}",
        _way((link_to("."), "Informers"), (link_to("objects", informer=name), name), (None, key)),
        element("h1", key),
        element("p", "As the cache has it now. The data of Secrets are hidden.", class_="dim"),
        preformatted(json_lines(informer, stored), "JSON"),
    )


def problem_page(problem: str) -> bytes:
    """Returns a page that says what is wrong with a request."""
    return document("Not found", _way((link_to("."), "Informers")), element("h1", "Not found"), _error(problem))


def _add_informer(table: Table, each: InformerState, history: Sequence[Sample]) -> None:
    state = join([element("b", each.state), *([element("div", each.error, class_="error")] if each.error else [])])
    resource = "" if each.resource == each.name else each.resource
    followed = ", ".join(part for part in (resource, each.namespaces, each.server) if part)
    name = join(
        [element("a", each.name, href=link_to("objects", informer=each.name)), element("div", followed, class_="dim")]
    )
    rate = "" if each.event_rate is None else f"{each.event_rate:,.1f}"
    table.add(
        name,
        state,
        f"{each.objects:,}",
        "" if each.bytes is None else _size(each.bytes),
        each.resource_version,
        join([rate, plot(rates(history), "Events per second", "events")]),
        "" if each.event_age is None else _seconds(each.event_age),
        f"{each.backlog:,.0f}",
        join([_seconds(each.lag), plot([sample.lag for sample in history], "Lag", "seconds")]),
        f"{each.errors:,.0f}",
        state=each.state,
    )


def _objects(informer: SharedInformer[Any], name: str, search: Search, count: int) -> list[Html]:
    found = find(informer.indexer.records, search)
    table = Table("objects", "Objects", ("Key", "#Version"))
    for key, stored in found.objects:
        table.add(_link(key, link_to("object", informer=name, key=key)), version_of(stored))
    parts = [table.html("No objects here." if found.is_paused else "No object matches.")]
    if found.is_paused:
        seen = "" if search.index else f"{found.following:,} of {count:,} objects were searched. "
        parts.append(element("p", f"{seen}The next page goes on with the search."))
    return [*parts, _pages(name, search, found.following)]


def _index_values(informer: SharedInformer[Any], name: str, search: Search) -> list[Html]:
    values = informer.indexer.records.index_values(search.index, search.start, PAGE_SIZE + 1)
    table = Table("values", f"Values of the index {search.index}", ("Value", "#Objects"))
    for value, number in values[:PAGE_SIZE]:
        address = link_to("objects", informer=name, index=search.index, value=value)
        # A link must have a text, and the empty value cannot be looked for.
        table.add(_link(value, address) if value else "(empty)", f"{number:,}")
    following = search.start + PAGE_SIZE if len(values) > PAGE_SIZE else None
    return [table.html("The index has no values."), _pages(name, search, following)]


def _link(text: str, address: str) -> object:
    """Returns a link; or the text alone if no server would take the address, or a credential would be in it."""
    return element("a", text, href=address) if len(address) < _MAX_ADDRESS and without_secrets(text) == text else text


def _pages(name: str, search: Search, following: int | None) -> Html:
    links = []
    for text, start in (("First page", 0 if search.start else None), ("Next page", following)):
        if start is not None:
            links.append((_address(name, msgspec.structs.replace(search, start=start)), text))
    items = [element("li", element("a", text, href=address)) for address, text in links]
    return element("nav", element("ul", *items), aria_label="Pages") if items else Html("")


def _address(name: str, search: Search) -> str:
    given = msgspec.structs.asdict(search)
    return link_to("objects", informer=name, **{"from": given.pop("start")}, **given)


def _form(name: str, search: Search, indices: Sequence[str]) -> Html:
    options = [element("option", each, value=each, selected=each == search.index) for each in indices]
    index = element("select", element("option", "none", value=""), *options, name="index")
    fields = [
        element("label", "Key or a part of it", element("input", name="key", value=search.key)),
        element("label", "Label selector", element("input", name="selector", value=search.selector)),
        element("label", "Index", index),
        element("label", "Index value", element("input", name="value", value=search.value)),
    ]
    hidden = element("input", type="hidden", name="informer", value=name)
    return element("form", hidden, *fields, element("button", "Search"), action="objects", role="search")


def _way(*steps: tuple[str | None, str]) -> Html:
    """Returns the way from the overview to this page, whose last step is not a link."""
    items = [
        element("li", text if address is None else element("a", text, href=address), aria_current=_current(address))
        for address, text in steps
    ]
    return element("nav", element("ul", *items), aria_label="Breadcrumb")


def _current(address: str | None) -> str | None:
    return "page" if address is None else None


def _section(heading: str, content: Html) -> Html:
    id = f"{heading.lower().replace(' ', '-')}-heading"
    return element("section", element("h2", heading, id=id), content, aria_labelledby=id)


def _error(problem: object) -> Html:
    return element("p", problem, class_="error", role="alert")


def _seconds(value: float) -> str:
    return f"{value:,.1f} s"


def _size(value: float) -> str:
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:,.0f} {unit}"
        value /= 1000
    return f"{value:,.1f} GB"
