"""Handlers: which functions are called, with which arguments, behind which filter."""

from __future__ import annotations

from functools import partial
from typing import Any
from unittest.mock import Mock

import pytest

from informer import Change, DeltaType, ResourceEventHandler
from informer.handlers.handler import HandlerFunctions, filter_change

ADD = Change(DeltaType.ADDED, "new", None, True)
UPDATE = Change(DeltaType.UPDATED, "new", "old")
DELETE = Change(DeltaType.DELETED, "old", None, False, True)


def test_functions_that_name_the_keyword_get_it() -> None:
    """Go: TestTypedResourceEventHandlerDetailedFuncs. A function whose signature names the keyword is called with it."""
    calls: list[Any] = []
    functions = HandlerFunctions(
        on_add=lambda obj, *, is_in_initial_list: calls.append((obj, is_in_initial_list)),
        on_update=lambda old, new: calls.append((old, new)),
        on_delete=lambda obj, final_state_unknown: calls.append((obj, final_state_unknown)),
    )
    for change in (ADD, UPDATE, DELETE):
        functions(change)
    assert calls == [("new", True), ("old", "new"), ("old", True)]


def test_a_delete_tells_its_reason_to_functions_that_name_it() -> None:
    """`on_delete` of a function or a handler can tell an object that no longer decodes from a deleted one."""
    refused = Change(DeltaType.DELETED, "old", None, False, True, reason="no longer decodes")
    calls: list[Any] = []

    class Mine(ResourceEventHandler[str]):
        def on_delete(self, obj: str, *, final_state_unknown: bool, reason: str = "by a default") -> None:
            calls.append((obj, final_state_unknown, reason))

    one = HandlerFunctions(on_delete=lambda obj, *, reason: calls.append((obj, reason)))
    both = HandlerFunctions(Mine())
    for change in (refused, DELETE):
        one(change)
        both(change)
    assert calls == [("old", "no longer decodes"), ("old", True, "no longer decodes"), ("old", ""), ("old", True, "")]


def test_a_keyword_that_a_partial_has_bound_stays() -> None:
    """A user may bind a keyword of the same name for a purpose of his own."""
    calls: list[Any] = []

    def deleted(obj: str, reason: str) -> None:
        calls.append((obj, reason))

    HandlerFunctions(on_delete=partial(deleted, reason="mine"))(DELETE)
    assert calls == [("old", "mine")]


@pytest.mark.parametrize("spread", [lambda obj, **kw: (obj, kw), lambda *a, **kw: (a[0], kw)], ids=["kwargs", "star"])
def test_keyword_is_not_passed_for_kwargs_alone(spread: Any) -> None:
    """A function with `**kwargs` alone is called without the keyword."""
    assert HandlerFunctions(on_add=spread)(ADD) == ("new", {})


def test_keyword_is_not_passed_by_position() -> None:
    """A positional-only parameter does not get the keyword, even if it has the same name."""
    assert HandlerFunctions(on_add=lambda obj, is_in_initial_list="default", /: is_in_initial_list)(ADD) == "default"


def test_function_without_a_signature_gets_the_object_alone() -> None:
    """A callable whose signature cannot be read is called with the object."""
    seen: list[Any] = []
    HandlerFunctions(on_add=seen.append, on_delete=partial(seen.append))(ADD)
    assert seen == ["new"]
    mock = Mock()
    HandlerFunctions(on_add=mock)(ADD)
    mock.assert_called_once_with("new")


def test_missing_functions_are_skipped() -> None:
    """Go: TestTypedResourceEventHandlerFuncs. A change without a function calls nothing."""
    calls: list[Any] = []
    functions = HandlerFunctions(on_update=lambda old, new: calls.append(new))
    for change in (ADD, UPDATE, DELETE):
        functions(change)
    assert calls == [UPDATE.object]


def test_subclass_methods_get_their_keywords() -> None:
    """A subclass of `ResourceEventHandler` gets every keyword; methods that it does not override do nothing."""
    seen: list[Any] = []

    class Mine(ResourceEventHandler[str]):
        def on_add(self, obj: str, *, is_in_initial_list: bool) -> None:
            seen.append((obj, is_in_initial_list))

    functions = HandlerFunctions(Mine())
    for change in (ADD, UPDATE, DELETE):
        functions(change)
    assert seen == [("new", True)]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "nothing to call"),
        ({"handler": object()}, "object is not a handler"),
        ({"handler": ResourceEventHandler(), "on_add": print}, "either a handler or functions"),
        ({"on_add": 3}, "on_add must be callable, not int"),
        ({"on_add": print, "on_batch": print}, "would never be called"),
    ],
    ids=["nothing", "no-handler", "both", "not-callable", "batch-and-add"],
)
def test_misuse_is_refused(arguments: dict[str, Any], text: str) -> None:
    """The TypeError says what does not fit together."""
    with pytest.raises(TypeError, match=text):
        HandlerFunctions(**arguments)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (True, True, DeltaType.UPDATED),
        (False, True, DeltaType.ADDED),
        (True, False, DeltaType.DELETED),
        (False, False, None),
    ],
)
def test_filter_turns_updates_into_adds_and_deletes(old: bool, new: bool, expected: DeltaType | None) -> None:
    """Go: TestTypedFilteringResourceEventHandler. An object that begins to pass is an add, one that stops passing a delete."""
    change = filter_change(Change(DeltaType.UPDATED, ("new", new), ("old", old)), lambda obj: obj[1])
    assert (change.type if change else None) is expected
    if expected is DeltaType.ADDED:
        assert change is not None
        assert change.object[0] == "new"
        assert not change.is_in_initial_list
    if expected is DeltaType.DELETED:
        assert change is not None
        assert change.object[0] == "old"


def test_filter_keeps_the_initial_flag() -> None:
    """Go: TestTypedFilteringResourceEventHandler. An add that passes keeps is_in_initial_list."""
    assert filter_change(ADD, lambda obj: True) is ADD
    assert filter_change(ADD, lambda obj: False) is None
    assert filter_change(DELETE, lambda obj: False) is None


def added(obj: Any) -> None: ...


def gone(obj: Any) -> None: ...


def test_names_say_whose_functions_they_are() -> None:
    """Go: TestNameForHandler. Methods of one object get its class's name; other functions' names are joined."""

    class Owner:
        def added(self, obj: Any) -> None: ...

        def gone(self, obj: Any) -> None: ...

    owner = Owner()
    assert HandlerFunctions(on_add=owner.added, on_delete=owner.gone).name.endswith("Owner")
    assert "+" in HandlerFunctions(on_add=owner.added, on_delete=print).name
    both = HandlerFunctions(on_add=added, on_delete=gone).name
    assert both == f"{__name__}.added+gone"
    assert HandlerFunctions(on_add=added).name == f"{__name__}.added"
    assert HandlerFunctions(ResourceEventHandler()).name == "informer.handlers.handler.ResourceEventHandler"


@pytest.mark.parametrize(("before", "at_last"), [(True, False), (False, True), (True, True), (False, False)])
def test_a_delete_passes_if_the_object_passed_before(before: bool, at_last: bool) -> None:
    """The DELETED event may bring a new state; what counts is whether the state before passed the filter."""
    change = Change(DeltaType.DELETED, ("last", at_last), key="k", last_known=("known", before))
    assert filter_change(change, lambda obj: obj[1]) is (change if before else None)


def test_filtered_changes_keep_their_key() -> None:
    """An add or a delete that a filter makes of an update has the update's key."""
    update = Change(DeltaType.UPDATED, 2, 1, key="k")
    for keep in (lambda obj: obj == 1, lambda obj: obj == 2):
        change = filter_change(update, keep)
        assert change is not None
        assert change.key == "k"


def test_a_class_in_place_of_an_object_is_refused() -> None:
    """A class is accepted only if its functions need no instance."""

    class Mine(ResourceEventHandler[str]):
        pass

    class Static:
        @staticmethod
        def on_add(obj: Any) -> None: ...

    with pytest.raises(TypeError, match=r"a handler is an object, not a class: pass Mine\(\)"):
        HandlerFunctions(Mine)
    HandlerFunctions(Static)(ADD)


def test_async_functions_are_refused_unless_they_are_awaited() -> None:
    """Async functions, methods and callable objects are refused for handlers on threads."""

    async def added(obj: Any) -> None: ...

    class Mine:
        async def on_add(self, obj: Any) -> None: ...

    class Callable:
        async def __call__(self, obj: Any) -> None: ...

    for arguments in ({"on_add": added}, {"handler": Mine()}, {"on_add": Callable()}, {"on_batch": partial(added)}):
        with pytest.raises(TypeError, match="async function, which a thread cannot await"):
            HandlerFunctions(**arguments)
        HandlerFunctions(**arguments, may_be_async=True)


def _wrong(*functions: Any) -> list[Any]:
    return [pytest.param({name: function}, words, id=f"{name}-{words}") for name, function, words in functions]


@pytest.mark.parametrize(
    ("functions", "words"),
    _wrong(
        ("on_add", lambda: None, "1 argument"),
        ("on_add", lambda old, new: None, "1 argument"),
        ("on_add", lambda obj, is_in_initial_list, more: None, "is_in_initial_list"),
        ("on_update", lambda obj: None, "2 arguments"),
        ("on_delete", lambda obj, *, unknown: None, "final_state_unknown where it is named, and reason"),
        ("on_batch", lambda: None, "1 argument"),
    ),
)
def test_a_function_that_would_fail_at_each_call_is_refused(functions: dict[str, Any], words: str) -> None:
    """The error says with which arguments it would be called."""
    with pytest.raises(TypeError, match=words):
        HandlerFunctions(**functions)


@pytest.mark.parametrize(
    "functions",
    [
        {"on_add": print, "on_update": print, "on_delete": print},
        {"on_add": lambda *args: None, "on_update": lambda *args, **more: None, "on_delete": lambda obj, more=1: None},
        {"on_add": lambda obj, is_in_initial_list: None, "on_delete": lambda obj, *, final_state_unknown: None},
        {"on_batch": [].extend},
        {"on_add": dict},
    ],
    ids=["builtin", "anything", "keywords", "method", "no-signature"],
)
def test_a_function_with_a_fitting_signature_does_not_raise(functions: dict[str, Any]) -> None:
    """Optional and variadic parameters are accepted too."""
    HandlerFunctions(**functions)
