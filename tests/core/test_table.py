from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.core.table import FrameTable, OrderedFrameTable

frames = st.integers(0, 200)
changes = st.lists(st.tuples(frames, st.one_of(st.none(), st.integers(0, 5))), max_size=40)


def _apply(changes, table=None, model=None, kind=FrameTable):
    table, model = kind() if table is None else table, dict(model or {})
    for frame, value in changes:
        if value is None:
            table = table.without(frame)
            model.pop(frame, None)
        else:
            table = table.with_value(frame, value)
            model[frame] = value
    return table, model


@given(changes)
def test_a_table_holds_what_a_dictionary_would(changes):
    table, model = _apply(changes)
    assert {frame: table.get(frame) for frame in table} == model
    assert list(table) == sorted(model)
    assert len(table) == len(model)
    assert all((frame in table) == (frame in model) for frame in range(201))


@given(changes, changes)
def test_differing_names_exactly_the_frames_that_changed(first, second):
    before, old = _apply(first)
    after, new = _apply(second, before, old)
    expected = {frame for frame in old.keys() | new.keys() if old.get(frame) != new.get(frame)}
    assert before.differing(after) == after.differing(before) == expected
    assert (before == after) == (not expected)


@given(changes, changes)
def test_an_ordered_table_is_what_a_dictionary_is(first, second):
    before, old = _apply(first, kind=OrderedFrameTable)
    after, new = _apply(second, before, old)
    for table, model in ((before, old), (after, new), (OrderedFrameTable(new.items()), new)):
        assert list(table.items()) == list(model.items())
        assert len(table) == len(model)
    expected = {frame for frame in old.keys() | new.keys() if old.get(frame) != new.get(frame)}
    assert before.differing(after) == expected
    assert (before == after) == (old == new)


def test_a_change_leaves_the_old_table_and_shares_its_other_chunks():
    old = FrameTable().with_value(1, "a").with_value(100, "b")
    new = old.with_value(2, "c")
    assert old.get(2) is None
    assert new._chunks[100 >> 6] is old._chunks[100 >> 6]


def test_removing_what_is_not_there_gives_the_same_table():
    table = FrameTable().with_value(1, "a")
    assert table.without(2) is table
    assert table.without(1) == FrameTable()


def test_of_a_frame_that_comes_twice_the_last_value_counts():
    assert dict(FrameTable([(1, "a"), (100, "b"), (1, "c")])) == {1: "c", 100: "b"}
    assert list(OrderedFrameTable([(9, "a"), (1, "b"), (9, "c")]).items()) == [(9, "c"), (1, "b")]
