"""Rows of the fault matrix through `napari_sam2.Session` and the shipped network: odd stacks and refused prompts."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import pytest

from napari_sam2 import Session
from napari_sam2.core.errors import ImageError, LabelsError, OptionError
from napari_sam2.testing import moving_discs

VIDEO, TRUTH = moving_discs(num_frames=3, size=48, num_objects=2, seed=0)
INSIDE = tuple(np.argwhere(TRUTH[1] == 1).mean(0))


def labels_of(stack, **options):
    """Click one disc on the frame in the middle and propagate."""
    session = Session(stack, **options)
    session.add_points(1, 1, [INSIDE])
    list(session.propagate())
    return np.asarray(session.labels)


@pytest.fixture(scope="module")
def expected():
    labels = labels_of(VIDEO)
    assert labels.any(axis=(1, 2)).all(), "equality with nothing would mean nothing"
    return labels


# Images


def test_pixels_that_are_not_finite_change_nothing_elsewhere(expected, caplog):
    holes = VIDEO.astype(np.float32)
    holes[1, 0, :3], holes[2, 47, 47] = np.nan, -np.inf
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        np.testing.assert_array_equal(labels_of(holes), expected)
    (record,) = caplog.records
    assert "3 pixels of frame 1 are NaN or infinite" in record.getMessage()


@pytest.mark.parametrize("frame", [0, 1, 2])
@pytest.mark.parametrize("value", [np.nan, 7.0])
def test_a_run_goes_on_over_a_frame_of_nothing(frame, value):
    blank = VIDEO.astype(np.float32)
    blank[frame] = value
    session = Session(blank)
    session.add_points(1, 1, [INSIDE])
    assert sorted(result.frame for result in session.propagate()) == [0, 2]
    assert session.frames.blank == (frame,)


@pytest.mark.parametrize("value", [np.nan, 9.0])
def test_a_stack_of_nothing_is_answered(value):
    assert labels_of(np.full((3, 48, 48), value)).shape == (3, 48, 48)


def _layouts():
    read_only = VIDEO.copy()
    read_only.flags.writeable = False
    yield "reversed", VIDEO[:, ::-1, ::-1].copy()[:, ::-1, ::-1]
    yield "fortran", np.asfortranarray(VIDEO)
    yield "every other column", np.repeat(VIDEO, 2, axis=2)[..., ::2]
    yield "read-only", read_only
    for dtype in "i2 i4 i8 u2 u4 u8 f2 f4 f8 g".split():
        yield dtype, VIDEO.astype(dtype)
    for dtype in (">u2", ">i4", ">f4", ">f8"):
        yield dtype, VIDEO.astype(dtype)


@pytest.mark.parametrize("stack", [pytest.param(item, id=name) for name, item in _layouts()])
def test_every_type_and_layout_gives_the_same_labels(expected, stack):
    np.testing.assert_array_equal(labels_of(stack), expected)


def test_a_boolean_stack_is_the_stack_of_its_zeros_and_ones():
    np.testing.assert_array_equal(
        labels_of(VIDEO > 100), labels_of((VIDEO > 100).astype(np.uint8), limits=(0, 1))
    )


@pytest.mark.parametrize("dtype", [complex, object, "M8[s]", "m8[s]", "U1"])
def test_pixels_that_are_no_numbers_are_refused_by_name(dtype):
    with pytest.raises(ImageError) as caught:
        Session(np.zeros((3, 8, 8), dtype))
    assert str(np.dtype(dtype)) in str(caught.value)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_empty_axis_is_refused_before_the_model_is_looked_for(axis):
    shape = [3, 48, 48]
    shape[axis] = 0
    with pytest.raises(ImageError, match=f"axis {axis} is empty"):
        Session(np.zeros(shape, np.uint8), model="no such model")


def test_one_frame_and_the_way_back_from_the_first_are_no_errors():
    single = Session(VIDEO[1:2])
    single.add_points(1, 0, [INSIDE])
    stack = Session(VIDEO)
    stack.add_points(1, 0, [tuple(np.argwhere(TRUTH[0] == 1).mean(0))])
    for run in (single.propagate(), stack.propagate("backward")):
        assert run.total == 0
        assert list(run) == []
        assert run.is_complete


@pytest.mark.parametrize("shape", [(1, 1), (3, 1, 1), (3, 3, 5), (2, 1, 20_000), (2, 20_000, 1)])
def test_frames_of_any_size_get_masks_of_their_size(shape):
    stack = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    session = Session(stack)
    session.add_points(1, 0, [(0, 0)])
    list(session.propagate())
    assert session.labels.shape[1:] == session.mask(1, 0).shape == shape[-2:]


@pytest.mark.parametrize(
    ("image", "options", "error"),
    [
        ([[1, 2], [3, 4]], {}, ImageError),
        (None, {}, ImageError),
        (VIDEO, {"axis": 3}, ImageError),
        (VIDEO, {"axis": -1}, ImageError),
        (VIDEO, {"axis": 0.5}, ImageError),
        (VIDEO, {"axis": None}, ImageError),
        (VIDEO, {"rgb": True}, ImageError),
        (VIDEO, {"limits": 5}, OptionError),
        (VIDEO, {"limits": (1,)}, OptionError),
        (VIDEO, {"limits": ("a", "b")}, OptionError),
        (VIDEO, {"limits": (5, 1)}, OptionError),
        (VIDEO, {"limits": (0, np.nan)}, OptionError),
        (VIDEO, {"model": None}, OptionError),
        (VIDEO, {"model": ""}, OptionError),
        (VIDEO, {"labels_dtype": "unit16"}, LabelsError),
        (VIDEO, {"labels_dtype": float}, LabelsError),
    ],
)
def test_what_a_session_cannot_be_made_of_is_refused_with_a_remedy(image, options, error):
    with pytest.raises(error) as caught:
        Session(image, **options)
    assert caught.value.remedy


# Prompts


def _refused():
    here, mask = [(20.0, 20.0)], TRUTH[1] == 2
    for y, x in ((-1, 5), (48, 5), (5, -0.51), (5, 48), (2.0**63, 5), (5, -(2.0**63))):
        yield f"point outside {y} {x}", lambda s, p=(y, x): s.add_points(2, 1, [p])
    for value in (np.nan, np.inf, -np.inf):
        yield f"point {value}", lambda s, v=value: s.add_points(2, 1, [(v, 5)])
    yield "no point", lambda s: s.add_points(2, 1, [])
    yield "box of no area", lambda s: s.add_box(2, 1, (5, 5, 5, 9))
    yield "box outside", lambda s: s.add_box(2, 1, (50, 50, 60, 60))
    yield "box NaN", lambda s: s.add_box(2, 1, (5, 5, np.nan, 9))
    yield "both signs", lambda s: s.add_points(2, 1, [(5, 5), (5, 5)], [1, 0])
    yield "both signs in two steps", lambda s: s.add_points(1, 1, [INSIDE], [0])
    yield "only negative", lambda s: s.add_points(2, 1, here, [0])
    for label in (-1, 2, 3, 0.5, "1", None):
        yield f"label {label!r}", lambda s, v=label: s.add_points(2, 1, here, [v])
    yield "mask empty", lambda s: s.add_mask(2, 1, mask & False)
    yield "mask of half the size", lambda s: s.add_mask(2, 1, mask[::2, ::2])
    yield "mask of twice the size", lambda s: s.add_mask(2, 1, np.kron(mask, np.ones((2, 2), bool)))
    yield "mask of a stack", lambda s: s.add_mask(2, 1, TRUTH == 2)
    yield "mask float", lambda s: s.add_mask(2, 1, mask.astype(float))
    yield "mask of two objects", lambda s: s.add_mask(2, 1, TRUTH[1])
    yield "mask NaN", lambda s: s.add_mask(2, 1, np.full((48, 48), np.nan))
    for object_id in (0, -1, True, 1.5, 65_536, 2**70):
        yield f"object {object_id!r}", lambda s, o=object_id: s.add_points(o, 1, here)
    for frame in (-1, 3, 2**63, 0.5, True):
        yield f"frame {frame!r}", lambda s, t=frame: s.add_points(2, t, here)


REFUSED = dict(_refused())


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_after_a_refused_prompt_propagation_gives_what_it_would_have_given(
    expected, refused, contract
):
    session = Session(VIDEO)
    session.add_points(1, 1, [INSIDE])
    error = contract.session(
        session, lambda: refused(session), lambda: list(session.propagate()), ValueError
    )
    assert error.kept == "nothing was changed"
    np.testing.assert_array_equal(np.asarray(session.labels), expected)


def test_corners_in_any_order_and_repeated_points_give_the_same_mask():
    masks = []
    for box in ((4, 6, 30, 40), (30, 6, 4, 40), (4, 40, 30, 6), (30, 40, 4, 6)):
        session = Session(VIDEO)
        session.add_box(1, 1, box)
        masks.append(session.mask(1, 1))
    for points in ([INSIDE], [INSIDE, INSIDE]):
        session = Session(VIDEO)
        session.add_points(2, 1, points)
        masks.append(session.mask(2, 1))
    for mask in masks[1:4]:
        np.testing.assert_array_equal(mask, masks[0])
    np.testing.assert_array_equal(masks[5], masks[4])


def test_what_is_unusual_but_clear_is_taken_with_a_notice():
    session = Session(VIDEO)
    told = []
    session.notice_given.connect(told.append)
    session.add_box(1, 1, (-20, -20, 30, 30))
    session.add_box(2, 1, (5, 5, 6, 6))
    session.add_mask(3, 1, np.ones((48, 48), bool))
    assert session.objects == (1, 2, 3)
    assert ["cut to the frame" in told[0], "whole frame" in told[1], len(told)] == [True, True, 2]


def test_an_id_beyond_the_labels_is_refused_before_a_run():
    session = Session(VIDEO, labels_dtype=np.uint8)
    with pytest.raises(LabelsError, match="object 300 does not fit into labels of type uint8"):
        session.add_points(300, 1, [INSIDE])
    session.add_points(255, 1, [INSIDE])
    assert set(np.unique(session.labels[1])) == {0, 255}
