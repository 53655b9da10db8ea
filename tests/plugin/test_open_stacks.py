"""Real stacks annotated with mouse and keys, with the embedded model; what the person wants is the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_sam2.evaluation.region import region_similarity
from napari_sam2.io.references import find_references

OPEN_STACKS = Path(__file__).parents[3] / "shared" / "data"

pytestmark = [pytest.mark.gui, pytest.mark.slow]


def read(name):
    if not OPEN_STACKS.is_dir():
        pytest.skip("the open stacks are not part of the repository")
    return next(file.read() for file in find_references(OPEN_STACKS) if file.name == name)


def middle(mask):
    """Return the pixel (y, x) of a mask that is farthest from its outline."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return np.unravel_index(depth.argmax(), depth.shape)


class Person:
    """Knows what is right, and has a mouse and keys only."""

    def __init__(self, desk, truth):
        self.desk, self.truth = desk, truth

    def go_to(self, frame):
        self.desk.viewer.dims.set_current_step(0, frame)

    def click(self, frame, place, button=1):
        self.go_to(frame)
        self.desk.click_at(frame, *place, button=button)
        self.desk.wait_for_answers()

    def correct(self, object_id, number, frame):
        """Click the middle of what is wrong most: left where pixels lack, right where there are too many."""
        found, right = self.desk.labels[frame] == object_id, self.truth[frame] == number
        lacking, surplus = right & ~found, found & ~right
        is_lacking = lacking.sum() >= surplus.sum()
        self.click(frame, middle(lacking if is_lacking else surplus), 1 if is_lacking else 2)

    def overlap(self, object_id, number, frame):
        return region_similarity(self.desk.labels[frame] == object_id, self.truth[frame] == number)

    def mean_overlap(self, numbers):
        """Mean over frames and objects; `numbers`: label in the reference by object."""
        return np.mean(
            [
                self.overlap(object_id, number, t)
                for object_id, number in numbers.items()
                for t in range(len(self.truth))
                if (self.truth[t] == number).any()
            ]
        )


def test_cells_are_clicked_carried_through_and_corrected(open_desk):
    stack = read("c2c12_phase")
    desk = open_desk(stack.image, is_real=True, name="cells")
    person = Person(desk, stack.labels)
    first = [int(number) for number in np.unique(stack.labels[0])[1:5]]
    numbers = dict(enumerate(first, start=1))
    for object_id, number in numbers.items():
        if object_id > 1:
            desk.press("M")
        person.click(0, middle(stack.labels[0] == number))
    assert desk.session.objects == tuple(numbers)
    desk.propagate()
    before, tracked = person.mean_overlap(numbers), desk.labels.copy()
    assert before > 0.3

    # The worst frame of an object gets a click; nothing but this object's frames may change.
    worst = min(
        (
            (o, n, t)
            for o, n in numbers.items()
            for t in range(1, len(stack.labels))
            if (stack.labels[t] == n).any()
        ),
        key=lambda place: person.overlap(*place),
    )
    masks = {
        (other, t): desk.session.mask(other, t)
        for other in numbers
        for t in range(len(stack.labels))
        if other != worst[0]
    }
    desk.controller.activate(worst[0])
    was = person.overlap(*worst)
    for _ in range(3):
        person.correct(*worst)
    assert person.overlap(*worst) > was
    desk.press("G")
    locked = desk.labels[worst[2]].copy()
    desk.propagate()
    np.testing.assert_array_equal(desk.labels[worst[2]], locked)
    for other, mask in masks.items():
        np.testing.assert_array_equal(desk.session.mask(*other), mask)
    # Propagation, lock and three clicks are five actions.
    for _ in range(5):
        desk.press("Control-Z")
        desk.wait_for_answers()
    np.testing.assert_array_equal(desk.labels, tracked)


def test_an_organ_is_clicked_on_its_largest_section_and_trimmed(open_desk):
    stack = read("ct_msd_spleen")
    desk = open_desk(stack.image, is_real=True, name="abdomen", contrast_limits=(-160, 240))
    person, right = Person(desk, stack.labels), stack.labels > 0
    largest = int(right.sum((1, 2)).argmax())
    number = int(stack.labels.max())
    person.click(largest, middle(right[largest]))
    clicks = 1
    while person.overlap(1, number, largest) < 0.75 and clicks < 8:
        person.correct(1, number, largest)
        clicks += 1
    assert person.overlap(1, number, largest) >= 0.75
    desk.press("G")
    desk.propagate()
    assert person.mean_overlap({1: number}) > 0.43, "copying the mask"

    # It ends where the reference ends.
    present = np.flatnonzero(right.any((1, 2)))
    person.go_to(present[0])
    desk.press("Shift-Home")
    person.go_to(present[-1])
    desk.press("Shift-End")
    shown = np.flatnonzero((desk.labels > 0).any((1, 2)))
    assert shown.min() >= present[0]
    assert shown.max() <= present[-1]

    # Two more slices, a few clicks each, and only the spans between are tracked again.
    before, locked = person.mean_overlap({1: number}), desk.labels[largest].copy()
    for t in (present[0] + 2, present[-1] - 2):
        for _ in range(3):
            person.correct(1, number, int(t))
        desk.press("G")
    desk.propagate()
    np.testing.assert_array_equal(desk.labels[largest], locked)
    # A part of what was wrong, not a fixed gain: the better the model, the less is left to correct.
    assert 1 - person.mean_overlap({1: number}) < 0.9 * (1 - before)
