"""Read-only dicts and lists: reading works as usual, every change raises."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from informer.objects.frozen import FrozenDict, FrozenList, freeze, thaw


@pytest.fixture
def frozen() -> Any:
    return freeze({"a": [1, {"b": None}, []], "c": {"d": "x"}, "e": {}})


def test_freeze_reaches_every_depth(frozen: Any) -> None:
    """Dicts and lists are frozen at any depth, empty ones too; other values are unchanged."""
    assert frozen == {"a": [1, {"b": None}, []], "c": {"d": "x"}, "e": {}}
    assert type(frozen) is type(frozen["a"][1]) is type(frozen["c"]) is type(frozen["e"]) is FrozenDict
    assert type(frozen["a"]) is type(frozen["a"][2]) is FrozenList
    assert freeze("text") == "text"
    assert freeze(None) is None


def test_frozen_containers_are_dicts_and_lists(frozen: Any) -> None:
    """`isinstance`, `==`, `json.dumps` and pattern matching work as usual."""
    assert isinstance(frozen, dict)
    assert isinstance(frozen["a"], list)
    assert json.loads(json.dumps(frozen)) == frozen
    match frozen:
        case {"a": [1, {"b": None}, *_]}:
            pass
        case _:
            pytest.fail("it did not match")


def test_shallow_copies_are_plain(frozen: Any) -> None:
    """`copy`, `|`, `+`, `*`, slices and `copy.copy` return plain containers that can be changed."""
    for made in (frozen.copy(), frozen | {}, copy.copy(frozen), dict(frozen)):
        assert type(made) is dict
        made["a"] = 1
    for made in (frozen["a"].copy(), frozen["a"] + [], frozen["a"] * 1, frozen["a"][:], copy.copy(frozen["a"])):
        assert type(made) is list
        made.append(1)
    assert frozen == {"a": [1, {"b": None}, []], "c": {"d": "x"}, "e": {}}


def test_deep_copies_are_plain_at_every_depth(frozen: Any) -> None:
    """`copy.deepcopy` and `thaw` return plain containers at every depth."""
    for made in (copy.deepcopy(frozen), thaw(frozen)):
        assert type(made) is type(made["a"][1]) is dict
        assert type(made["a"]) is list
        made["a"][1]["b"] = 2
    assert type(copy.deepcopy(frozen["a"])) is list
    assert frozen["a"][1]["b"] is None


def test_pickled_containers_stay_frozen(frozen: Any) -> None:
    """Another process unpickles read-only containers."""
    again = pickle.loads(pickle.dumps(frozen))
    assert again == frozen
    for part in (again, again["c"]):
        with pytest.raises(TypeError, match="read-only"):
            part["a"] = 1
    listed = pickle.loads(pickle.dumps(frozen["a"]))
    with pytest.raises(TypeError, match="read-only"):
        listed.append(1)
