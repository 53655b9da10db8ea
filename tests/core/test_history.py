from __future__ import annotations

import pytest

from napari_sam2.core.history import MAX_LEVELS, Entry, History
from napari_sam2.core.prompts import FramePrompts, PromptStep
from napari_sam2.core.state import SessionState


def said(t, *points):
    return FramePrompts(t, tuple(PromptStep((point,), (True,)) for point in points))


@pytest.fixture
def history():
    return History(Entry("", SessionState()))


def test_at_least_a_hundred_levels_are_kept_and_not_without_end(history):
    for number in range(MAX_LEVELS + 50):
        history = history.pushed(f"{number}", SessionState())
    assert 100 <= len(history.past) == MAX_LEVELS
    assert history.past[-1].action == f"{MAX_LEVELS + 48}"


def test_an_old_history_is_a_way_back(history):
    first = history.pushed("one", SessionState().with_prompts(1, said(0, (1, 1)), 0, 1))
    second = first.pushed("two", first.state.with_prompts(2, said(0, (2, 2)), 1, 1))
    assert second.undone() == History(first.present, first.past, (second.present,))
    assert second.undone().redone() == second
    assert history.undone() is history
    assert history.redone() is history


def test_amending_touches_only_states_that_change(history):
    state = SessionState().with_prompts(1, said(0, (1, 1)), None, 1)
    history = history.pushed("click", state).pushed("other", state).undone()
    answered = history.amended(lambda state: state.with_answer(1, said(0, (1, 1)), 7))
    assert answered.past[0] is history.past[0]
    assert answered.state.shown(1, 0) == answered.future[0].state.shown(1, 0) == 7
    assert answered.amended(lambda state: state.with_answer(1, said(0, (1, 1)), 8)) == answered


@pytest.mark.parametrize("num_undone", range(4))
def test_taking_a_prompt_out_leaves_the_place_in_the_line(history, num_undone):
    first, second = said(0, (1, 1)), said(0, (1, 1), (2, 2))
    history = history.pushed("a", history.state.with_prompts(1, first, 5, 1))
    history = history.pushed("failed", history.state.with_prompts(1, second, None, 1))
    history = history.pushed("c", history.state.with_prompts(2, first, 6, 1))
    for _ in range(num_undone):
        history = history.undone()
    clean = history.without(1, second)
    line = [*clean.past, clean.present, *clean.future]
    assert [entry.action for entry in line] == ["", "a", "c"]
    assert clean.present.action == ["c", "a", "a", ""][num_undone]
    assert line[2].state.prompts_on(1, 0) == first
    assert line[2].state.shown(1, 0) == 5
    assert line[2].state.shown(2, 0) == 6
