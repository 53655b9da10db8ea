"""How an object went out of sight: over the border, by fading, or without a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.core.disappearing import VISIBLE, Sight, disappearances

SHAPE = (60, 60)


def sight(t, y=20, x=20, side=10, area=100):
    return Sight(t, area, (y, x, y + side, x + side))


def gone(sights, anchors):
    return disappearances(sights, anchors, SHAPE)


def test_an_object_that_is_seen_has_not_gone():
    assert gone([sight(0), sight(1), None], [0, 0, None]) == [VISIBLE] * 3


def test_frames_are_counted_on_the_way_from_the_prompt():
    before = [None, None, sight(2), sight(3)]
    after = [sight(6), None]
    found = gone([*before, None, None, *after], [3, 3, 3, 3, 3, 6, 6, 6])
    assert [item.absent_for for item in found] == [2, 1, 0, 0, 1, 1, 0, 1]
    assert [item.vanished for item in found] == [1, 1, 0, 0, 1, 1, 0, 1]


@pytest.mark.parametrize(("gap", "expected"), [(0, 0.0), (1, 0.4), (2, 0.8), (3, 1.0), (25, 1.0)])
@pytest.mark.parametrize("edge", ["top", "left", "bottom", "right"])
def test_near_the_border_it_may_have_left(gap, expected, edge):
    place = {
        "top": {"y": gap},
        "left": {"x": gap},
        "bottom": {"y": 50 - gap},
        "right": {"x": 50 - gap},
    }[edge]
    assert gone([sight(0), sight(1, **place), None], [0, 0, 0])[2].vanished == pytest.approx(
        expected
    )


@pytest.mark.parametrize(
    ("areas", "expected"),
    [
        ((100, 100, 100, 100), 1.0),
        ((100, 100, 100, 95), 0.8),
        ((100, 90, 80, 70), 0.0),
        ((400, 100, 100, 100, 100), 1.0),
        ((100, 140), 1.0),
    ],
)
def test_what_was_fading_has_not_vanished(areas, expected):
    sights = [sight(t, area=area) for t, area in enumerate(areas)]
    found = gone([*sights, None], [0] * (len(areas) + 1))
    assert found[-1].vanished == pytest.approx(expected)


def test_what_was_never_seen_since_the_prompt_has_not_vanished():
    assert gone([sight(0), None, None], [0, 1, 1]) == [VISIBLE] * 3


sights = st.lists(st.booleans(), min_size=1, max_size=12)


@given(sights, st.data())
def test_any_row_of_sights_has_a_measure_within_its_limits(seen, data):
    row = [sight(t) if there else None for t, there in enumerate(seen)]
    anchors = data.draw(
        st.lists(st.integers(0, len(seen) - 1), min_size=len(seen), max_size=len(seen))
    )
    for t, found in enumerate(gone(row, anchors)):
        assert 0 <= found.vanished <= 1
        between = range(min(t, anchors[t]), max(t, anchors[t]) + 1)
        last = [abs(t - s) for s in between if seen[s]]
        assert found.absent_for == (0 if seen[t] else min(last, default=0))
