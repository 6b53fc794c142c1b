"""A store with indices behaves like a plain dict, for any order of writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from informer import Change, DeletedFinalStateUnknown, Delta, DeltaType, Indexer
from informer.queues.delta import ReplacedAll

NAMES = st.sampled_from("abcd")
VERSIONS = st.sampled_from(["", "1", "2", "3"])
VALUES = st.lists(st.sampled_from("xyz"), max_size=3)

objects = st.builds(
    lambda name, namespace, uid, version, values: {
        "metadata": {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": version},
        "values": values,
    },
    NAMES,
    st.sampled_from(["", "n"]),
    st.sampled_from(["", "u"]),
    VERSIONS,
    VALUES,
)

INDEX_FUNCTIONS: dict[str, Callable[[Any], list[str]]] = {
    "values": lambda obj: obj["values"],
    "first": lambda obj: obj["values"][:1],
    "namespace": lambda obj: [obj["metadata"]["namespace"]],
    "version": lambda obj: [obj["metadata"]["resourceVersion"]],
}
SETS = [DeltaType.ADDED, DeltaType.UPDATED, DeltaType.REPLACED, DeltaType.SYNC]


def key_of(obj: Any) -> str:
    metadata = obj["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if metadata["namespace"] else metadata["name"]


def version_of(obj: Any) -> str:
    return obj["metadata"]["resourceVersion"]  # type: ignore[no-any-return]


def same(old: Any, new: Any) -> bool:
    return old is new or (old["metadata"] == new["metadata"] and bool(version_of(new) and new["metadata"]["uid"]))


class Model:
    """A store reduced to its essence: a dict and a resourceVersion."""

    def __init__(self) -> None:
        self.items: dict[str, Any] = {}
        self._version = ""
        self._written = ""  # the last version of a batch that is being applied

    @property
    def version(self) -> str:
        """Ends the batch: of its versions the last one counts, and an older one than before does not."""
        self._version = max(self._version, self._written)
        self._written = ""
        return self._version

    def apply(self, delta: Delta) -> list[Change[Any]]:
        kind, obj = delta.type, delta.object
        if kind is DeltaType.BOOKMARK:
            self._written = obj or self._written
            return []
        if kind in (DeltaType.SYNC_ALL, DeltaType.REPLACED_ALL):
            _ = self.version
        if kind is DeltaType.SYNC_ALL:
            return [Change(DeltaType.UPDATED, item, item, is_sync=True) for item in self.items.values()]
        if kind is DeltaType.REPLACED_ALL:
            return self._replace(obj)
        if kind is DeltaType.DELETED:
            return self._delete(obj)
        self._written = version_of(obj) or self._written
        old = self.items.get(key_of(obj))
        kept = old if kind is DeltaType.REPLACED and old is not None and same(old, obj) else obj
        self.items[key_of(obj)] = kept
        return [self._set(old, kept, initial=True)]

    def _set(self, old: Any, obj: Any, *, initial: bool) -> Change[Any]:
        if old is None:
            return Change(DeltaType.ADDED, obj, None, initial)
        is_sync = old is obj or bool(version_of(obj) and version_of(old) == version_of(obj))
        return Change(DeltaType.UPDATED, obj, old, is_sync=is_sync)

    def _delete(self, obj: Any) -> list[Change[Any]]:
        unknown = isinstance(obj, DeletedFinalStateUnknown)
        if not unknown:
            self._written = version_of(obj) or self._written
        old = self.items.pop(obj.key if unknown else key_of(obj), None)
        return [] if old is None else [Change(DeltaType.DELETED, old if unknown else obj, None, False, unknown)]

    def _replace(self, replaced: ReplacedAll) -> list[Change[Any]]:
        before, self.items = self.items, {}
        self._version = replaced.resource_version
        listed = {key_of(obj): obj for obj in replaced.items}
        news = []
        for key, obj in listed.items():
            old = before.get(key)
            kept = old if old is not None and same(old, obj) else obj
            self.items[key] = kept
            news.append(self._set(old, kept, initial=True))
        gone = []
        for key, old in before.items():
            if key in listed:
                continue
            if replaced.namespace is None or old["metadata"]["namespace"] == replaced.namespace:
                gone.append(Change(DeltaType.DELETED, old, None, False, True))
            else:
                self.items[key] = old
        whole = replaced.namespace is None and len(replaced.items) == len(listed) == len(before)
        if whole and all(before.get(key) is obj for key, obj in listed.items()):
            self.items = before  # in the order in which they are
        return gone + news


class StoreMachine(RuleBasedStateMachine):
    """Writes batches in any order, and adds indices at any time."""

    known = Bundle("known")

    @initialize()
    def start(self) -> None:
        self.model = Model()
        self.asked: list[int] = []
        self.indexer: Indexer[Any] = Indexer(indexers={"values": INDEX_FUNCTIONS["values"]})

    @rule(target=known, obj=objects)
    def an_object(self, obj: Any) -> Any:
        return obj

    def _apply(self, deltas: list[Delta]) -> None:
        expected = [change for delta in deltas for change in self.model.apply(delta)]
        changes = self.indexer.apply(deltas, is_in_initial_list=True)
        assert changes == expected
        assert [change.key for change in changes] == [key_of(change.object) for change in changes]
        for change, of_model in zip(changes, expected, strict=True):
            assert change.object is of_model.object
            assert change.old is of_model.old

    deltas = st.one_of(
        st.builds(Delta, st.sampled_from(SETS), known),
        st.builds(Delta, st.just(DeltaType.DELETED), known),
        st.builds(
            Delta,
            st.just(DeltaType.DELETED),
            st.builds(DeletedFinalStateUnknown, st.sampled_from(["a", "n/a", "b", "n/b"]), st.none()),
        ),
        st.builds(Delta, st.just(DeltaType.BOOKMARK), VERSIONS),
        st.just(Delta(DeltaType.SYNC_ALL, None)),
        st.builds(
            lambda items, version, namespace: Delta(
                DeltaType.REPLACED_ALL,
                # A list of one namespace has objects of it only.
                ReplacedAll(
                    [obj for obj in items if namespace is None or obj["metadata"]["namespace"] == namespace],
                    version,
                    namespace,
                ),
            ),
            st.lists(known, max_size=6),
            VERSIONS,
            st.sampled_from([None, None, "n"]),
        ),
    )

    @rule(batch=st.lists(deltas, max_size=6))
    def a_batch(self, batch: list[Delta]) -> None:
        self._apply(batch)

    @rule(obj=known)
    def a_write(self, obj: Any) -> None:
        self.model.apply(Delta(DeltaType.ADDED, obj))
        self.indexer.update(obj)

    @rule(obj=known)
    def a_delete(self, obj: Any) -> None:
        self.model.apply(Delta(DeltaType.DELETED, obj))
        self.indexer.delete(obj)

    @rule(items=st.lists(known, max_size=6), version=VERSIONS)
    def a_relist(self, items: list[Any], version: str) -> None:
        self.model.apply(Delta(DeltaType.REPLACED_ALL, ReplacedAll(items, version)))
        self.indexer.replace(items, version)

    @precondition(lambda self: len(self.indexer.indexers) < len(INDEX_FUNCTIONS))
    @rule(choice=st.integers(0, 10))
    def another_index(self, choice: int) -> None:
        missing = [name for name in INDEX_FUNCTIONS if name not in self.indexer.indexers]
        name = missing[choice % len(missing)]
        self.indexer.add_indexers({name: INDEX_FUNCTIONS[name]})

    @invariant()
    def the_objects_are_the_models(self) -> None:
        items = self.model.items
        assert sorted(self.indexer.list(), key=key_of) == [items[key] for key in sorted(items)]
        assert sorted(self.indexer.list_keys()) == sorted(items) == sorted(self.indexer)
        assert len(self.indexer) == len(items)
        assert self.indexer.resource_version == self.model.version
        for key, obj in items.items():
            assert self.indexer.get_by_key(key) is self.indexer.get(obj) is obj
            assert key in self.indexer

    @invariant()
    def the_indices_are_what_the_functions_say(self) -> None:
        items = self.model.items
        for name, function in self.indexer.indexers.items():
            values = {value for obj in items.values() for value in function(obj)}
            assert sorted(self.indexer.list_index_func_values(name)) == sorted(values)
            for value in values | {"never"}:
                expected = sorted(key for key, obj in items.items() if value in function(obj))
                assert self.indexer.index_keys(name, value) == expected
                found = self.indexer.by_index(name, value)
                assert sorted(map(key_of, found)) == expected
                assert all(obj is items[key_of(obj)] for obj in found)
            for obj in items.values():
                mine = set(function(obj))
                like = sorted(key for key, other in items.items() if mine & set(function(other)))
                assert sorted(map(key_of, self.indexer.index(name, obj))) == like


TestStore = StoreMachine.TestCase
