"""A heap whose items can change their rank."""

from __future__ import annotations

from itertools import count

from hypothesis import given, strategies as st

from informer.workqueue.keyed_heap import KeyedHeap

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 9), st.integers(0, 5)),
        st.tuples(st.just("discard"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("pop"), st.just(0), st.just(0)),
    ),
    max_size=300,
)


@given(STEPS)
def test_the_heap_behaves_as_a_sorted_dict(steps: list[tuple[str, int, int]]) -> None:
    """Whatever is added, moved and removed, the item of the lowest rank comes next."""
    heap: KeyedHeap[int] = KeyedHeap()
    model: dict[int, tuple[int, int]] = {}
    places = count()
    for step, item, first in steps:
        if step == "put":
            place = next(places)
            heap.put(item, first, place)
            model[item] = (first, place)
        elif step == "discard":
            heap.discard(item)
            model.pop(item, None)
        elif model:
            lowest = min(model, key=lambda key: model[key])
            assert heap.first_rank == model[lowest][0]
            assert heap.pop() == lowest
            del model[lowest]
        assert len(heap) == len(model)
        assert heap.rank_of(item) == (model[item][0] if item in model else None)
        assert (item in heap) == (item in model)
    heap.clear()
    assert not len(heap)
    assert heap.first_rank is None


def test_moved_items_leave_few_dead_entries() -> None:
    """An item that moves a thousand times leaves less than a hundred entries in the heap."""
    heap: KeyedHeap[str] = KeyedHeap()
    for n in range(1000):
        heap.put("a", -n, n)
    assert len(heap._heap) < 100
