"""What a simulated person does, on a session that is right only near prompted frames."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.core.errors import OptionError
from napari_sam2.evaluation.clicks import Annotator
from napari_sam2.evaluation.protocols import Annotation, Effort, Protocol


def annotate(session, labels, protocol, prompted=None, **more):
    """Return the work and its rounds."""
    work = Annotation(session, labels, prompted or {1: 0, 2: 0}, protocol, **more)
    return work, list(work.rounds())


def prompts(session, object_id, kind="point"):
    return [item[2:] for item in session.said if item[:2] == (kind, object_id)]


def frames_clicked(session, object_id):
    return [frame for frame, *_ in prompts(session, object_id)]


def right_frames(done, labels, object_id):
    """The frames on which an object is right."""
    return [
        t
        for t in range(len(labels))
        if np.array_equal(done.predict(object_id, t), labels[t] == object_id)
    ]


def test_vos_with_a_mask_prompts_one_frame_and_propagates_once_both_ways(near_sighted, squares):
    session = near_sighted(squares)
    work, (done,) = annotate(session, squares, Protocol("vos", "mask"), {1: 4, 2: 0})
    assert session.said == [
        ("mask", 1, 4),
        ("mask", 2, 0),
        ("propagate", "both", 0, 10, None),
    ]
    assert right_frames(done, squares, 1) == [2, 3, 4, 5, 6]
    assert done.efforts[1] == Effort(1, 0, is_timed=False)
    assert work.watch.frames == 9


def test_vos_with_a_box_draws_it_tight_and_costs_two_clicks(near_sighted, squares):
    session = near_sighted(squares)
    _, (done,) = annotate(session, squares, Protocol("vos", "box"))
    assert prompts(session, 2, "box") == [(0, (4.5, 19.5, 13.5, 28.5))]
    assert done.efforts[2] == Effort(1, 2)


@pytest.mark.parametrize(("prompt", "count"), [("click", 1), ("3-clicks", 3), ("5-clicks", 5)])
def test_vos_clicks_as_often_as_asked_while_there_is_an_error(near_sighted, squares, prompt, count):
    session = near_sighted(squares, clicks_needed=99)
    _, (done,) = annotate(session, squares, Protocol("vos", prompt))
    assert prompts(session, 1)[0] == (0, 9, 9, 1)
    assert len(set(prompts(session, 1))) == count
    assert done.efforts == {1: Effort(1, count), 2: Effort(1, count)}


def test_nobody_clicks_on_a_perfect_mask(near_sighted, squares):
    session = near_sighted(squares, clicks_needed=2)
    _, (done,) = annotate(session, squares, Protocol("vos", "5-clicks"))
    assert done.efforts[1] == Effort(1, 2)


def test_a_surplus_gets_a_negative_click(near_sighted, squares):
    session = near_sighted(squares, clicks_needed=99)
    session._show = lambda object, frame, is_right: session.labels[frame].fill(object)
    annotate(session, squares, Protocol("vos", "3-clicks"), {1: 0})
    assert [signed for *_, signed in prompts(session, 1)] == [1, 0, 0]


def test_offline_corrects_the_worst_frame_again_and_again(near_sighted, squares):
    session = near_sighted(squares)
    _, rounds = annotate(session, squares, Protocol("offline", "click", 3, 8))
    assert frames_clicked(session, 1) == [0, 3, 6, 9]  # each time the first of those that are lost
    assert [len(right_frames(done, squares, 1)) for done in rounds] == [3, 6, 9, 10]
    assert [done.efforts[1].frames for done in rounds] == [1, 2, 3, 4]
    assert ("propagate", "both", 0, 10, None) in session.said


def test_offline_stops_at_the_most_frames_that_may_be_prompted(near_sighted, squares):
    session = near_sighted(squares)
    _, rounds = annotate(session, squares, Protocol("offline", "click", 3, 2))
    assert len(rounds) == 2
    assert frames_clicked(session, 1) == [0, 3]


def test_offline_clicks_up_to_the_given_number_on_each_frame(near_sighted, squares):
    session = near_sighted(squares, clicks_needed=4)
    _, rounds = annotate(session, squares, Protocol("offline", "3-clicks", 2, 2))
    assert frames_clicked(session, 1) == [0] * 3 + [3] * 2
    assert rounds[-1].efforts[1] == Effort(2, 5)


def test_each_object_has_its_own_worst_frame(near_sighted, squares):
    session = near_sighted(squares)
    annotate(session, squares, Protocol("offline", "click", 3, 2), {1: 0, 2: 9})
    assert frames_clicked(session, 1) == [0, 3]
    assert frames_clicked(session, 2) == [9, 0]


def test_frames_without_the_object_are_neither_corrected_nor_paused_at(near_sighted, squares):
    squares[3:6] = 0
    for name in ("offline", "online"):
        session = near_sighted(squares, reach=1)
        annotate(session, squares, Protocol(name, "click", 3, 8))
        assert not set(frames_clicked(session, 1)) & {3, 4, 5}


def test_online_pauses_at_the_first_bad_frame_and_tracks_only_from_there_on(near_sighted, squares):
    session = near_sighted(squares)
    _, rounds = annotate(session, squares, Protocol("online", "click", 3, 8), {1: 0})
    assert frames_clicked(session, 1) == [0, 3, 6, 9]
    assert [item for item in session.said if item[0] == "propagate"] == [
        ("propagate", "both", 0, 10, None),
        ("propagate", "forward", 3, 10, [1]),
        ("propagate", "forward", 6, 10, [1]),
        ("propagate", "forward", 9, 10, [1]),
    ]
    assert [len(right_frames(done, squares, 1)) for done in rounds] == [3, 6, 9, 10]


def test_online_goes_forward_first_and_then_backward_from_the_prompted_section(
    near_sighted, squares
):
    session = near_sighted(squares)
    annotate(session, squares, Protocol("online", "click", 3, 8), {1: 5})
    assert frames_clicked(session, 1) == [5, 8, 2]
    assert session.said[-1] == ("propagate", "backward", 0, 3, [1])


def test_online_never_goes_back_to_a_frame_that_was_passed(near_sighted, squares):
    session = near_sighted(squares, clicks_needed=99)  # no click ever helps on its own frame
    annotate(session, squares, Protocol("online", "click", 1, 8), {1: 0})
    assert frames_clicked(session, 1) == [0, 3, 6, 9]


@pytest.mark.parametrize(("pause_below", "expected"), [(0.4, [0]), (0.6, [0, 3, 6, 9])])
def test_online_pauses_below_the_given_iou(near_sighted, squares, pause_below, expected):
    class Halved(near_sighted):
        """What is out of reach keeps half of the object."""

        def _show(self, object, frame, is_right):
            super()._show(object, frame, True)
            if not is_right:
                rows = slice(0, 9)
                kept = self.labels[frame][rows] == object
                self.labels[frame][rows][kept] = 0

    session = Halved(squares)  # rows 9 to 13 of 5 to 13: IoU 5 / 9
    annotate(session, squares, Protocol("online", "click", 1, 8, pause_below), {1: 0})
    assert frames_clicked(session, 1) == expected


def test_image_clicks_on_the_prompted_frame_alone_and_looks_after_each_click(near_sighted, squares):
    session = near_sighted(squares, clicks_needed=3)
    work, rounds = annotate(session, squares, Protocol("image", "click", 5), {1: 4, 2: 0})
    assert [item for item in session.said if item[0] == "propagate"] == []
    assert frames_clicked(session, 1) == [4] * 3
    assert [done.predict(1, 4).any() for done in rounds] == [False, False, True, True, True]
    assert [done.efforts[1].clicks for done in rounds] == [1, 2, 3, 3, 3]
    assert work.watch.frames == 9  # ten answers, and the first is not timed


def test_a_noisy_person_is_repeatable_and_another_seed_is_another_person(near_sighted, squares):
    def clicks(seed):
        session = near_sighted(squares, clicks_needed=99)
        person = Annotator(is_noisy=True, seed=seed)
        annotate(session, squares, Protocol("vos", "3-clicks"), annotator=person)
        return session.said

    assert clicks(1) == clicks(1)
    assert clicks(1) != clicks(2)


def test_progress_reaches_one_without_going_back(near_sighted, squares):
    for protocol in (
        Protocol("vos", "click"),
        Protocol("offline", "click", 3, 4),
        Protocol("online", "click", 3, 4),
        Protocol("image", "click", 5),
    ):
        told = []
        annotate(near_sighted(squares), squares, protocol, progress=told.append)
        assert told == sorted(told)
        assert told[-1] == pytest.approx(1.0)


def test_the_time_model_is_a_second_a_frame_and_one_and_a_half_a_click():
    assert Effort(2, 6).seconds == 2 * 1.0 + 6 * 1.5
    assert Effort(2, 6, is_timed=False).seconds is None


@pytest.mark.parametrize(
    "wrong",
    [{"name": "image", "prompt": "box"}, {"clicks": 0}, {"max_frames": 0}],
)
def test_a_protocol_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(OptionError):
        Protocol(**wrong)
