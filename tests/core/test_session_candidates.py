"""An ambiguous click offers several answers; the one chosen is part of what was said."""

from __future__ import annotations

import numpy as np
import pytest
from tests.core.discs import TRUTH, centre

from napari_sam2.core.errors import PromptError, UnknownObjectError
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts, PromptStep
from napari_sam2.core.session import Session


def everything(session):
    return np.asarray(session.labels).tobytes()


def test_a_click_offers_candidates_the_models_choice_first(session):
    session.add_points(1, 2, [centre(1, 2)])
    first, second = session.candidates(1, 2)
    np.testing.assert_array_equal(first.to_array((32, 32)), session.mask(1, 2))
    assert second.mask.sum() > first.mask.sum()
    assert session.chosen_candidate(1, 2) == 0


def test_choosing_is_one_entry_and_the_list_keeps_its_order(session):
    session.add_points(1, 2, [centre(1, 2)])
    offered = [(mask.box, mask.mask.tobytes()) for mask in session.candidates(1, 2)]
    session.choose_candidate(1, 2, 1)
    assert session.undo_action == "choose candidate"
    assert session.chosen_candidate(1, 2) == 1
    np.testing.assert_array_equal(
        session.mask(1, 2), session.candidates(1, 2)[1].to_array((32, 32))
    )
    assert [(mask.box, mask.mask.tobytes()) for mask in session.candidates(1, 2)] == offered
    state = session.state
    session.choose_candidate(1, 2, 1)
    assert session.state is state
    session.undo()
    assert session.chosen_candidate(1, 2) == 0
    assert len(session.candidates(1, 2)) == 2, "the answer is still known"


def test_candidates_that_are_not_chosen_are_never_stored(session):
    session.add_points(1, 2, [centre(1, 2)])
    assert len(session.store) == 1
    session.choose_candidate(1, 2, 1)
    assert len(session.store) == 2


def test_runs_and_copies_start_from_the_candidate_that_was_chosen(session):
    session.add_points(1, 2, [centre(1, 2)])
    list(session.propagate())
    plain = [session.record(1, t).strength for t in range(6)]
    session.choose_candidate(1, 2, 1)
    assert session.changed == (1,)
    list(session.propagate_changed())
    assert all(session.record(1, t).strength != plain[t] for t in range(6))
    fresh = Session(session.frames, session.engine)
    fresh.restore(session.prompts)
    list(fresh.propagate())
    assert everything(fresh) == everything(session)


def test_further_clicks_correct_the_candidate_that_was_chosen(session):
    session.add_points(1, 2, [centre(1, 2)])
    session.choose_candidate(1, 2, 1)
    grown = session.mask(1, 2)
    session.add_points(1, 2, [centre(2, 2)])
    np.testing.assert_array_equal(session.mask(1, 2), grown | (TRUTH[2] == 2))


def test_another_edit_of_the_click_asks_anew(session):
    session.add_points(1, 2, [centre(1, 2)])
    session.choose_candidate(1, 2, 1)
    session.move_point(1, 2, centre(1, 2), centre(2, 2))
    assert session.chosen_candidate(1, 2) == 0


def test_what_is_not_offered_cannot_be_chosen(session):
    session.add_points(1, 2, [centre(1, 2)])
    for number in (2, -1, True, 1.0, None):
        with pytest.raises(PromptError, match="has 2 candidates"):
            session.choose_candidate(1, 2, number)
    session.add_mask(1, 3, TRUTH[3] == 1)
    assert session.candidates(1, 3) == ()
    with pytest.raises(PromptError, match="nothing was said"):
        session.candidates(1, 4)
    with pytest.raises(UnknownObjectError):
        session.candidates(9, 2)


def test_a_locked_frame_keeps_its_candidate(session):
    session.add_points(1, 2, [centre(1, 2)])
    session.lock(1, 2)
    with pytest.raises(PromptError, match="locked"):
        session.choose_candidate(1, 2, 1)


@pytest.mark.parametrize("number", [-1, 1.0])
def test_a_candidate_from_elsewhere_is_a_number_from_0(session, number):
    step = PromptStep(points=((9.0, 9.0),), positives=(True,), candidate=number)
    with pytest.raises(PromptError, match="counted from 0"):
        session.restore([ObjectPrompts(1, (FramePrompts(2, (step,)),))])
