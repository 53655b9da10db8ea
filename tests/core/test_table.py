from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.core.table import FrameTable

frames = st.integers(0, 200)
changes = st.lists(st.tuples(frames, st.one_of(st.none(), st.integers(0, 5))), max_size=40)


def _apply(changes, table=None, model=None):
    table, model = table or FrameTable(), dict(model or {})
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


def test_a_change_leaves_the_old_table_and_shares_its_other_chunks():
    old = FrameTable().with_value(1, "a").with_value(100, "b")
    new = old.with_value(2, "c")
    assert old.get(2) is None
    assert new._chunks[100 >> 6] is old._chunks[100 >> 6]


def test_removing_what_is_not_there_gives_the_same_table():
    table = FrameTable().with_value(1, "a")
    assert table.without(2) is table
    assert table.without(1) == FrameTable()
