"""The numbers of an informer that meets a server's faults, over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from informer import ListWatch, SharedInformer
from informer.testing import EmbeddedAPIServer
from tests.support.objects import config_map


@pytest.fixture
def server() -> Iterator[EmbeddedAPIServer]:
    """With two objects."""
    with EmbeddedAPIServer() as made:
        for name in ("a", "b"):
            made.create(config_map(name))
        yield made


class Followed:
    """An informer of a server, and what has happened to it so far."""

    def __init__(self, server: EmbeddedAPIServer, informer: SharedInformer[Any], scrape: Callable[[], Any]) -> None:
        self.server = server
        self.informer = informer
        self._scrape = scrape
        self._names = (f"new-{number}" for number in count())

    def changed(self) -> dict[str, float]:
        """What is not zero among what may go wrong, once two objects have come and all before them was counted."""
        # The first may come with a list, which is counted once it is stored; the second comes after that.
        for _ in range(2):
            created = self.server.create(config_map(next(self._names)))
            assert self.informer.wait_for_resource_version(created["metadata"]["resourceVersion"], 20)
        shown = self._scrape()
        numbers = {
            "relists": shown.value("informer_relists_total"),
            "reconnects": shown.value("informer_reconnects_total"),
            "short": shown.value("reflector_short_watches_total"),
            "lists": shown.value("reflector_lists_total"),
            "ended": shown.value("reflector_watch_duration_seconds_count"),
        }
        for labels in shown.labels("informer_errors_total"):
            del labels["name"]
            numbers[f"{labels['verb']} {labels['kind']}"] = shown.value("informer_errors_total", **labels)
        return {name: number for name, number in numbers.items() if number}


@pytest.fixture
def follow(server, make, scrape) -> Callable[..., Followed]:
    """Starts an informer of the server's objects."""

    def follow(**options: Any) -> Followed:
        source = ListWatch.for_resource(server.api_client(), "configmaps")
        return Followed(server, make(source, **options), scrape)

    return follow


def test_a_quiet_life(server, follow, scrape) -> None:
    """One list, one watch, and where the objects come from."""
    followed = follow(watch_list=False)
    assert followed.changed() == {"lists": 1}
    shown = scrape()
    assert shown.labels("informer_info") == [
        {"name": "things", "resource": "configmaps", "namespaces": "", "server": server.url}
    ]
    assert shown.value("reflector_watches_total") == 1
    assert shown.value("reflector_items_per_list_sum") == shown.value("informer_store_objects") - 2
    assert shown.value("informer_events_total") == 2
    assert shown.value("informer_store_bytes") == sum(len(obj.raw) for obj in followed.informer.indexer.list())
    assert shown.value("informer_store_resource_version") == int(server.resource_version)


def test_a_streamed_list(follow, scrape) -> None:
    """It is a list, and a watch, and its initial events are events."""
    followed = follow()
    assert followed.changed() == {"lists": 1}
    shown = scrape()
    assert shown.value("reflector_list_duration_seconds_count") == 1
    assert shown.value("reflector_items_per_list_sum") == shown.value("informer_store_objects") - 2
    # With the bookmark that ends the list.
    assert shown.value("informer_events_total") == shown.value("informer_store_objects") + 1


def test_a_401_before_the_first_list(server, follow) -> None:
    """Each that was refused is counted, and so is each list."""
    server.faults.answer(401, on="list", times=2)
    assert follow(watch_list=False).changed() == {"list 401": 2, "lists": 3}


def test_a_410_in_the_stream(server, follow) -> None:
    """It is followed by another list."""
    followed = follow(watch_list=False)
    followed.changed()
    server.faults.error_event(410)
    assert followed.changed() == {"follow 410": 1, "lists": 2, "relists": 1, "ended": 1}


def test_a_410_for_the_watch_call(server, follow) -> None:
    """The watch was not open, so that none has ended but the one before."""
    followed = follow(watch_list=False)
    followed.changed()
    server.faults.expired(on="watch")
    server.faults.end_watches()
    assert followed.changed() == {"watch 410": 1, "lists": 2, "relists": 1, "ended": 1}


def test_a_cut(server, follow, scrape) -> None:
    """The watch is taken up where it was, without an error and without a list."""
    followed = follow(watch_list=False)
    followed.changed()
    for times in (1, 2, 3):
        assert server.faults.cut_connections(on="watch") == 1
        assert followed.changed() == {"lists": 1, "ended": times, "reconnects": times}
    assert scrape().value("reflector_items_per_watch_sum") == 6


def test_what_is_no_event(server, follow) -> None:
    """The stream cannot be trusted any more: another list."""
    followed = follow(watch_list=False)
    followed.changed()
    server.faults.garbage_line()
    assert followed.changed() == {"follow decode": 1, "lists": 2, "relists": 1, "ended": 1}


def test_nobody_there(server, follow) -> None:
    """While connections are refused each try is counted; then the watch is taken up."""
    followed = follow(watch_list=False)
    followed.changed()
    server.faults.refuse_connections(0.1)
    server.faults.cut_connections()
    numbers = followed.changed()
    assert numbers.pop("watch refused") >= 1
    assert numbers == {"lists": 1, "ended": 1, "reconnects": 1}


def test_watches_that_bring_nothing(server, follow) -> None:
    """They are short, and followed by another list."""
    server.faults.short_watches(times=1)
    assert follow(watch_list=False).changed() == {"short": 1, "lists": 2, "relists": 1, "ended": 1}


def test_silence(server, follow) -> None:
    """A watch that says nothing for too long is given up and taken up again."""
    followed = follow(watch_list=False, silence_timeout=0.2)
    followed.changed()
    server.faults.freeze()
    numbers = followed.changed()
    assert numbers.pop("follow silence") >= 1
    assert numbers.pop("reconnects") >= 1
    assert set(numbers) == {"lists", "ended"}
