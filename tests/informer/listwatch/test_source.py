"""Sources: what an informer knows of a lister-watcher, and sources around others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from informer import ListWatch, ObjectList
from informer.listwatch.source import Source, WrappedSource, as_source
from watch import EmptyWatcher, ListOptions

OPTIONS = ListOptions()


class Given:
    """A user's lister-watcher with the two required methods only."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def list(self, options: ListOptions) -> Any:
        return SimpleNamespace(items=self.items, resource_version=7)

    def watch(self, options: ListOptions) -> Any:
        return None


def test_a_users_lister_watcher_gets_the_defaults() -> None:
    """It has no name, server, namespaces or stored form of its own, and supports watch lists."""
    source = as_source(Given())
    assert (source.resource_name, source.server, source.unwrap, source.namespaces) == (None, None, None, None)
    assert source.supports_watch_list is True
    assert source.entries() is source.bounded(max_line_bytes=1, max_objects=1) is source
    assert source.by_namespace() == [(None, source)]


def test_a_users_attributes_are_used() -> None:
    """A lister-watcher may have any attribute of a source."""
    given: Any = Given()
    given.resource_name, given.server, given.supports_watch_list = "pods", "https://x", False
    source = as_source(given)
    assert (source.resource_name, source.server, source.supports_watch_list) == ("pods", "https://x", False)


def test_a_users_page_becomes_an_object_list() -> None:
    """Items may be any sequence, and the version any type with a text form."""
    page = as_source(Given("a", "b")).list(OPTIONS)
    assert isinstance(page, ObjectList)
    assert (page.items, page.resource_version, page.continue_) == (["a", "b"], "7", None)


def test_a_source_is_its_own_source() -> None:
    """`as_source` adapts other objects only."""
    made: ListWatch[Any] = ListWatch(lambda _: ObjectList([], "1"), lambda _: EmptyWatcher())
    assert as_source(made) is made


def test_listed_is_called_for_each_item_of_a_list() -> None:
    """The rest of the page stays."""
    made = as_source(Given("a", "b")).entries(str.upper)
    page = made.list(OPTIONS)
    assert (page.items, page.resource_version) == (["A", "B"], "7")


class Described(Source[Any]):
    """A source that shows how it was derived."""

    def __init__(self, name: str, namespaces: tuple[str, ...] | None = None) -> None:
        self.name = name
        self.namespaces = namespaces

    @property
    def resource_name(self) -> str:
        return self.name

    def for_namespace(self, namespace: str) -> Source[Any]:
        return Described(f"{self.name} in {namespace}")

    def bounded(self, *, max_line_bytes: int, max_objects: int | None) -> Source[Any]:
        return Described(f"{self.name} up to {max_line_bytes} and {max_objects}", self.namespaces)


class Wrapper(WrappedSource):
    """A wrapper with state of its own."""

    def __init__(self, inner: Source[Any], state: str) -> None:
        super().__init__(inner)
        self.state = state


def test_a_wrapper_describes_itself_as_its_inner_source_does() -> None:
    """A source derived from a wrapper is the same wrapper around another inner source."""
    made = Wrapper(Described("pods", ("a", "b")), "mine")
    assert (made.resource_name, made.namespaces) == ("pods", ("a", "b"))
    bounded: Any = made.bounded(max_line_bytes=9, max_objects=None)
    assert (bounded.resource_name, bounded.namespaces, bounded.state) == ("pods up to 9 and None", ("a", "b"), "mine")
    by_namespace: Any = made.by_namespace()
    assert [(name, each.resource_name, each.namespaces) for name, each in by_namespace] == [
        ("a", "pods in a", None),
        ("b", "pods in b", None),
    ]
    assert all(type(each) is Wrapper and each.state == "mine" for _, each in by_namespace)
    assert made.resource_name == "pods"


@pytest.mark.parametrize(
    "call", [lambda s: s.list(OPTIONS), lambda s: s.watch(OPTIONS), lambda s: s.for_namespace("a")]
)
def test_a_source_has_to_implement_list_and_watch(call: Any) -> None:
    """The base class only has the defaults of the description."""
    with pytest.raises(NotImplementedError):
        call(Source())
