"""Windows around small objects: their size, their place, and how they follow; then nano on objects of a few pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2 import Session
from napari_sam2.core.options import NATIVE
from napari_sam2.inference.conditioning import Conditioner
from napari_sam2.inference.focus import Focus, Trail, box_of, centre_of, widened

NANO = Focus((512, 700), model_side=256)
shapes = st.tuples(st.integers(20, 5000), st.integers(20, 5000))


@st.composite
def boxes_in_frames(draw):
    shape = draw(shapes)
    y0, x0 = draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))
    y1, x1 = draw(st.integers(y0 + 1, shape[0])), draw(st.integers(x0 + 1, shape[1]))
    return shape, (y0, x0, y1, x1)


@given(boxes_in_frames(), st.sampled_from([256, 1024]))
def test_a_window_lies_in_the_frame_and_holds_its_object(case, model_side):
    shape, box = case
    focus = Focus(shape, model_side)
    view = focus.window_for(box)
    assert view.clipped(shape) == view
    assert view.contains_box(box)


@given(boxes_in_frames())
def test_an_object_fills_a_fifth_to_a_half_of_its_window(case):
    shape, box = case
    side = Focus(shape, 256).side_for(box)
    extent = (box[2] - box[0] + box[3] - box[1]) / 2
    if side is not None:
        assert 32 <= side <= 0.8 * max(shape)
        assert extent / side < 0.61
        assert side == 32 or extent / side > 0.14 or max(box[2] - box[0], box[3] - box[1]) > extent


def test_large_objects_and_focus_off_take_the_whole_frame():
    assert NANO.side_for((100, 100, 240, 260)) is None
    assert NANO.side_for((100, 100, 120, 118)) is not None
    assert replace(NANO, is_on=False).side_for((100, 100, 120, 118)) is None
    assert replace(NANO, is_on=False).first_looks([(5.0, 5.0)]) == (NANO.whole,)
    assert replace(NANO, is_on=False).closer_looks((5.0, 5.0)) == ()


def test_the_smallest_window_enlarges_eight_times():
    assert NANO.side_for((10, 10, 12, 12)) == 32
    assert Focus((2000, 2000), 1024).side_for((10, 10, 12, 12)) == 128


def test_objects_of_similar_size_get_windows_of_one_side():
    sides = {NANO.side_for((50, 50, 50 + n, 50 + n)) for n in (20, 22, 24, 26)}
    assert len(sides) == 1


def test_an_object_that_hardly_moves_keeps_its_window():
    assert NANO.window((100.2, 200.1), 128) == NANO.window((101.0, 199.4), 128)
    assert NANO.window((100.0, 200.0), 128) != NANO.window((110.0, 200.0), 128)


def test_a_click_in_a_huge_frame_is_looked_at_pixel_by_pixel_and_in_the_whole_frame():
    huge = Focus((4096, 4096), 256)
    near, far = huge.first_looks([(2000.0, 3000.0)])
    assert (near.height, near.width) == (256, 256)
    assert near.contains(2000.0, 3000.0)
    assert far == huge.whole
    sides = [view.height for view in huge.closer_looks((2000.0, 3000.0))]
    assert sides == [128, 64]
    small = Focus((400, 500), 256)
    assert small.first_looks([(100.0, 100.0)]) == (small.whole,)


def test_clicks_far_apart_are_looked_at_together():
    huge = Focus((4096, 4096), 256)
    near, _ = huge.first_looks([(2000.0, 3000.0), (2600.0, 3100.0)])
    assert near.contains(2000.0, 3000.0)
    assert near.contains(2600.0, 3100.0)


def test_wider_windows_end_with_the_whole_frame():
    focus = Focus((2000, 3000), 256)
    view = focus.window((900.0, 1400.0), 256)
    sides = []
    while view != focus.whole:
        view = focus.wider(view)
        assert view.contains(900.0, 1400.0)
        sides.append(view.height)
    assert sides == [512, 1024, 2000, 2000][: len(sides)]
    assert view == focus.whole


def test_a_lost_object_is_searched_in_four_windows_around_within_the_frame():
    view = NANO.window((256.0, 350.0), 128)
    around = NANO.around(view, 128)
    assert len(around) == 4
    assert all(other.clipped(NANO.shape) == other for other in around)
    assert NANO.around(NANO.whole, None) == ()
    corner = NANO.window((0.0, 0.0), 128)
    assert len(NANO.around(corner, 128)) == 2


def test_a_mask_is_cut_where_its_window_ends_within_the_frame():
    inner, corner = NANO.window((256.0, 350.0), 128), NANO.window((0.0, 0.0), 128)
    assert not NANO.is_cut((250, 340, 260, 350), inner)
    assert NANO.is_cut((inner.y0, 340, 260, 350), inner)
    assert NANO.is_cut((250, 340, 260, inner.box[3]), inner)
    assert not NANO.is_cut((0, 0, 20, 20), corner)
    assert NANO.is_cut((0, 0, 128, 20), corner)


def test_a_trail_expects_the_object_as_far_on_as_it_came_but_not_further_than_allowed():
    trail = Trail().seen((0, 0, 11, 11)).seen((4, 2, 15, 13)).seen((8, 4, 19, 15))
    assert trail.expected(50.0) == (17.0, 11.0)
    assert trail.expected(1.0) == (14.0, 10.0)
    assert trail.seen((8, 4, 19, 15)).seen((8, 4, 19, 15)).expected(50.0) == (13.0, 9.0)


def test_a_lost_object_is_expected_where_it_was_last():
    trail = Trail().seen((0, 0, 11, 11)).seen((4, 2, 15, 13)).missed().missed()
    assert trail.lost == 2
    assert trail.expected(50.0) == (9.0, 7.0)
    found = trail.seen((20, 20, 31, 31))
    assert (found.lost, found.expected(50.0)) == (0, (25.0, 25.0))


def test_boxes_of_points_and_centres():
    assert box_of([(2.4, 3.6), (0.0, 9.0)]) == (0, 4, 3, 10)
    assert widened((2, 2, 4, 4), [(8.0, 1.0)]) == (2, 1, 9, 4)
    assert widened((2, 2, 4, 4), []) == (2, 2, 4, 4)
    assert centre_of((2, 2, 5, 9)) == (3.0, 5.0)


# --- with the embedded model ------------------------------------------------------------------


def small_discs(size: int = 640, frames: int = 6, radius: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Bright discs of 12 pixels that drift by 3 pixels a frame, in noise: (T, Y, X) uint16 and their labels."""
    rng = np.random.default_rng(5)
    rows, columns = np.mgrid[:size, :size]
    image = rng.normal(1000, 40, (frames, size, size))
    labels = np.zeros((frames, size, size), np.uint16)
    for number, (y, x) in enumerate([(100, 120), (330, 420), (560, 90)], start=1):
        for t in range(frames):
            disc = (rows - y - 2 * t) ** 2 + (columns - x - 2 * t) ** 2 <= radius**2
            labels[t][disc] = number
            image[t][disc] += 600
    return image.astype(np.uint16), labels


def mean_j(session: Session, labels: np.ndarray) -> float:
    scores = []
    for number in session.objects:
        for t in range(1, len(labels)):
            mask, truth = session.mask(number, t), labels[t] == number
            scores.append((mask & truth).sum() / (mask | truth).sum())
    return float(np.mean(scores))


@pytest.fixture(scope="module")
def discs():
    return small_discs()


def tracked(discs, prompt: str, *, focus: bool) -> float:
    image, labels = discs
    session = Session(image, model="nano", options=replace(NATIVE, focus=focus))
    for number in (1, 2, 3):
        y, x = np.argwhere(labels[0] == number).mean(0)
        if prompt == "click":
            session.add_points(number, 0, [(y, x)])
        elif prompt == "box":
            session.add_box(number, 0, (y - 7, x - 7, y + 7, x + 7))
        else:
            session.add_mask(number, 0, labels[0] == number)
    for _ in session.propagate():
        pass
    return mean_j(session, labels)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prompt", "reached", "gained"), [("click", 0.4, 0.05), ("box", 0.5, 0.1), ("mask", 0.5, 0.1)]
)
def test_objects_of_twelve_pixels_in_a_large_frame_are_followed_better_with_focus(
    discs, prompt, reached, gained
):
    with_focus = tracked(discs, prompt, focus=True)
    assert with_focus > reached
    assert with_focus > tracked(discs, prompt, focus=False) + gained


@pytest.mark.slow
def test_a_run_in_windows_resumes_bit_for_bit_and_does_not_depend_on_company(discs):
    image, labels = discs

    def answers(objects, cut=None):
        session = Session(image, model="nano")
        for number in objects:
            session.add_mask(number, 0, labels[0] == number)
        run = session.propagate()
        for result in run:
            if result.frame == cut:
                run.cancel()
        for _ in session.propagate() if cut is not None else ():
            pass
        return [session.mask(1, t).tobytes() for t in range(len(labels))]

    whole = answers([1, 2])
    assert answers([1, 2], cut=2) == whole
    assert answers([1]) == whole


@pytest.mark.slow
def test_later_clicks_outside_of_the_window_are_taken_into_a_larger_one(discs):
    image, labels = discs
    session = Session(image, model="nano")
    y, x = np.argwhere(labels[0] == 1).mean(0)
    session.add_points(1, 0, [(y, x)])
    before = session.mask(1, 0)
    session.add_points(1, 0, [(y + 200, x + 200)], labels=[0])
    assert session.mask(1, 0).any()
    assert (before & session.mask(1, 0)).any()


@pytest.mark.slow
def test_an_object_larger_than_the_first_look_is_seen_whole():
    rows, columns = np.mgrid[:1500, :1500]
    disc = (rows - 700) ** 2 + (columns - 800) ** 2 <= 190**2
    image = np.random.default_rng(0).normal(1000, 40, (1, 1500, 1500)) + 600 * disc
    session = Session(image.astype(np.uint16), model="nano")
    session.add_points(1, 0, [(700, 800)])
    mask = session.mask(1, 0)
    assert (mask & disc).sum() / (mask | disc).sum() > 0.8


@pytest.mark.slow
def test_first_clicks_far_apart_are_all_in_view(discs):
    image, labels = discs
    session = Session(image, model="nano")
    y, x = np.argwhere(labels[0] == 1).mean(0)
    session.add_points(1, 0, [(y, x), (y + 450, x + 450)], labels=[1, 0])
    view = session.record(1, 0).view
    assert view is None or (view[2] - view[0] > 450 and view[3] - view[1] > 450)


@pytest.mark.slow
def test_a_small_object_first_answered_in_the_whole_frame_gets_its_window_with_the_next_click(
    monkeypatch,
):
    image, labels = small_discs(size=320)
    monkeypatch.setattr(
        Conditioner, "_find", lambda self, prompts, said: self._look(prompts, self._focus.whole)
    )
    session = Session(image, model="nano")
    session.add_points(1, 0, [(100, 120)])
    assert session.mask(1, 0).any()
    assert session.record(1, 0).view is None
    session.add_points(1, 0, [(102, 118)])
    y0, _, y1, _ = session.record(1, 0).view
    assert y1 - y0 < 160
    mask, truth = session.mask(1, 0), labels[0] == 1
    assert (mask & truth).sum() / (mask | truth).sum() > 0.5
