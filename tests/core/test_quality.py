"""What masks say about themselves, and where a click would tell most."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.core.discs import centre_in

from napari_sam2.core import measuring
from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.masks import ObjectMask, overlapping_pairs
from napari_sam2.core.quality import (
    NOWHERE,
    WEIGHTS,
    FrameQuality,
    claimed_pixels,
    doubt_of,
    innermost,
    place_to_click,
    shape_of,
    terms_of,
)
from napari_sam2.core.session import Session
from napari_sam2.core.store import MaskRecord
from napari_sam2.testing import FakeSegmenter, moving_discs

VIDEO, TRUTH = moving_discs(num_frames=9, size=48, num_objects=2)
centre = centre_in(TRUTH)


def record(mask, logit=4.0):
    logits = np.where(mask, np.float32(logit), np.float32(-8))
    return MaskRecord.from_mask(ObjectMask.from_logits(1, logits, 5.0, 0.9), 0, 2, "tracked")


@pytest.fixture
def session():
    frames = ArrayFrames(VIDEO)
    session = Session(frames, InlineEngine(FakeSegmenter(frames)))
    session.add_points(1, 4, [centre(1, 4)])
    session.add_points(2, 4, [centre(2, 4)])
    list(session.propagate())
    return session


masks = arrays(bool, (7, 9))


@given(masks, masks)
def test_a_shape_and_what_two_share_are_counted_to_the_pixel(first, second):
    shape = shape_of(record(first))
    assert shape.area == first.sum()
    if first.any():
        np.testing.assert_allclose(shape.centre, np.argwhere(first).mean(0))
        assert shape.certainty == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-3)
    else:
        assert shape == NOWHERE
    shared = (first & second).sum()
    assert claimed_pixels([record(first), record(second)]) == [shared, shared]


@given(masks)
def test_the_innermost_pixel_lies_in_the_region(region):
    if region.any():
        assert region[innermost(region)]


def test_the_innermost_pixel_of_a_square_is_its_middle():
    region = np.zeros((20, 20), bool)
    region[3:12, 5:14] = True
    region[1:19, 16] = True
    assert innermost(region) == (7, 9)


def test_a_click_is_suggested_where_two_frames_differ_most():
    mask, beside = np.zeros((2, 20, 20), bool)
    mask[2:9, 2:9] = beside[2:9, 2:9] = True
    beside[10:15, 10:15] = True
    mask[18, 18] = True
    assert place_to_click(mask, beside) == (12, 12)
    assert place_to_click(mask, None) == (5, 5)
    assert place_to_click(beside[:9], beside[:9]) == (5, 5)
    assert place_to_click(np.zeros((4, 4), bool), None) is None


WORSE = {
    "iou": 0.1,
    "certainty": 0.5,
    "object_score": -2.0,
    "area_jump": 1.0,
    "area_drift": 1.0,
    "shift": 1.0,
    "overlap": 0.8,
    "distance": 90,
}


@pytest.mark.parametrize(("name", "value"), WORSE.items(), ids=WORSE)
def test_each_sign_of_trouble_raises_the_doubt(name, value):
    good = FrameQuality(3, "tracked", 6.0, 0.95, 0.97, 100)
    assert name in WEIGHTS
    assert 0 < doubt_of(good) < 0.05
    assert doubt_of(good) < doubt_of(replace(good, **{name: value})) < 1


def test_what_vanished_is_doubted_more_than_what_left_and_less_as_time_goes_on():
    left = FrameQuality(9, "absent", -6.0, distance=9, absent_for=1)
    vanished = replace(left, vanished=1.0)
    assert terms_of(left).keys() == WEIGHTS.keys()
    assert doubt_of(left) < 0.5 < doubt_of(vanished)
    doubts = [doubt_of(replace(vanished, absent_for=count)) for count in (1, 2, 8, 100)]
    assert doubts == sorted(doubts, reverse=True)
    assert doubts[-1] > doubt_of(left)


def discs(places, size=64):
    """Return a video of one bright disc: (y, x, radius) on every frame, None where it is gone."""
    rows, columns = np.mgrid[:size, :size]
    video = np.full((len(places), size, size), 15, np.uint8)
    for frame, place in zip(video, places, strict=True):
        if place is not None:
            frame[(rows - place[0]) ** 2 + (columns - place[1]) ** 2 <= place[2] ** 2] = 200
    return video


WAYS = {
    "vanishes": [(32, 30 + t, 8) for t in range(5)] + [None] * 6,
    "leaves": [(32, 38 + 6 * t, 8) for t in range(5)] + [None] * 6,
    "fades": [(32, 32, 8 - 1.6 * t) for t in range(5)] + [None] * 6,
}


@pytest.mark.parametrize(("way", "places"), WAYS.items(), ids=WAYS)
def test_an_object_that_is_lost_within_the_frame_is_doubtful(way, places):
    frames = ArrayFrames(discs(places))
    session = Session(frames, InlineEngine(FakeSegmenter(frames)))
    session.add_points(1, 0, [places[0][:2]])
    list(session.propagate())
    row = session.quality(1)
    assert [item.kind for item in row] == ["prompted"] + ["tracked"] * 4 + ["absent"] * 6
    assert [item.absent_for for item in row] == [0] * 5 + [1, 2, 3, 4, 5, 6]
    if way == "vanishes":
        assert row[5].vanished == 1
        assert row[5].doubt > 0.5
        assert row[5].doubt > row[10].doubt
        assert (1, 5) in [item[:2] for item in session.doubtful()]
    else:
        assert row[5].vanished < 0.2
        assert row[5].doubt < 0.5
        assert 5 not in [item.frame for item in session.doubtful()]


def test_what_was_trimmed_away_has_not_vanished():
    frames = ArrayFrames(discs([(32, 32, 8)] * 3 + [None] * 5))
    session = Session(frames, InlineEngine(FakeSegmenter(frames)))
    session.add_points(1, 1, [(32, 32)])
    list(session.propagate())
    assert session.quality(1)[4].vanished == 1
    session.trim_after(1, 2)
    assert session.quality(1)[4].kind == "missing"
    assert session.quality(1)[4].vanished == 0


@given(
    st.builds(
        FrameQuality,
        st.just(1),
        st.sampled_from(["tracked", "absent"]),
        *[st.floats(-1e6, 1e6)] * 3,
        st.integers(0, 10**9),
        *[st.floats(0, 1e6)] * 3,
        st.floats(0, 1),
        *[st.integers(0, 10**6)] * 2,
        st.floats(0, 1),
    )
)
def test_a_doubt_is_a_probability(quality):
    assert 0 <= doubt_of(quality) <= 1


def test_a_session_tells_the_quality_of_every_frame(session):
    session.trim_after(1, 7)
    row = session.quality(1)
    assert [item.frame for item in row] == list(range(9))
    assert [item.kind for item in row] == ["tracked"] * 4 + ["prompted"] + ["tracked"] * 3 + [
        "missing"
    ]
    assert [item.area for item in row[:8]] == [(TRUTH[t] == 1).sum() for t in range(8)]
    assert [item.distance for item in row[:8]] == [4, 3, 2, 1, 0, 1, 2, 3]
    assert row[4].doubt == row[8].doubt == 0
    assert all(0 < item.doubt < 1 for item in row[:4])


def test_the_most_doubtful_frame_comes_first(session):
    bad = np.zeros((48, 48), bool)
    bad[:40, :40] = True
    run = session.propagate(objects=[1])
    for result in FakeSegmenter(session.frames).propagate(run.request):
        if result.frame == 6:
            mask = ObjectMask.from_logits(1, np.where(bad, 0.1, -1.0).astype(np.float32), -1, 0.2)
            result = replace(result, objects=(mask,))
        run.commit(run.store(result))
    run.finish()
    worst, *others = session.doubtful(least=0.0)
    assert worst[:2] == (1, 6)
    assert len(others) == 15
    assert [item.doubt for item in others] == sorted((item.doubt for item in others), reverse=True)
    assert session.doubtful([1])[0] == worst
    assert session.quality(1)[6].overlap > 0
    y, x = session.place_to_click(1, 6)
    assert bad[y, x] != (TRUTH[5][y, x] == 1)
    session.lock(1, 6)
    assert (1, 6) not in [item[:2] for item in session.doubtful(least=0.0)]


def test_where_an_object_was_lost_the_place_is_where_it_was_seen_last(session):
    frames = ArrayFrames(np.concatenate([VIDEO[:5], np.full((2, 48, 48), 15, np.uint8)]))
    session = Session(frames, InlineEngine(FakeSegmenter(frames)))
    session.add_points(1, 2, [centre(1, 2)])
    list(session.propagate())
    assert session.quality(1)[6].kind == "absent"
    assert TRUTH[4][session.place_to_click(1, 6)] == 1
    assert session.place_to_click(1, 2) is not None


def test_trimming_away_the_prompt_makes_nothing_doubtful(session):
    before = session.quality(1)
    session.trim_before(1, 6)
    after = session.quality(1)
    assert [item.kind for item in after[:6]] == ["missing"] * 6
    for t in range(6, 9):
        assert after[t].area_drift == 0
        assert after[t].distance == before[t].distance
        assert after[t].doubt <= before[t].doubt


boxes = st.lists(
    st.tuples(*[st.integers(0, 6)] * 2, *[st.integers(1, 5)] * 2).map(
        lambda item: (item[0], item[1], item[0] + item[2], item[1] + item[3])
    ),
    max_size=5,
)


@given(boxes)
def test_boxes_that_meet_are_found(boxes):
    filled = np.zeros((len(boxes), 12, 12), bool)
    for plane, (y0, x0, y1, x1) in zip(filled, boxes, strict=True):
        plane[y0:y1, x0:x1] = True
    pairs = [pair for pair in combinations(range(len(boxes)), 2) if filled[[*pair]].all(0).any()]
    assert overlapping_pairs(boxes) == pairs


def test_overlaps_are_measured_again_only_where_something_else_is_shown(session, monkeypatch):
    session.doubtful()
    measured = []
    monkeypatch.setattr(
        measuring, "claimed_pixels", lambda records: measured.append(len(records)) or [0, 0]
    )
    session.doubtful()
    assert measured == []
    session.add_mask(1, 6, TRUTH[6] == 2)
    session.doubtful()
    assert measured == [2]


@given(masks.filter(np.any))
def test_the_innermost_pixel_is_left_longest_when_the_border_is_taken_away(region):
    left = np.pad(region, 1)
    while True:
        inner = left.copy()
        for axis in (0, 1):
            inner &= np.roll(left, 1, axis) & np.roll(left, -1, axis)
        if not inner.any():
            break
        left = inner
    y, x = innermost(region)
    assert left[y + 1, x + 1]
