"""The plan against the rule it is written from: the nearest conditioning frame, ties to the earlier one."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.core.extent import Extent
from napari_sam2.core.messages import PropagationRequest
from napari_sam2.core.plan import num_results, plan_of
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts

conditioning = st.lists(st.integers(0, 14), unique=True, max_size=5)
directions = st.sampled_from(["both", "forward", "backward"])


def request_of(per_object, start, stop, direction):
    objects = tuple(
        ObjectPrompts(number, tuple(FramePrompts(t, ()) for t in frames))
        for number, frames in enumerate(per_object, start=1)
    )
    return PropagationRequest(1, objects, start, stop, direction)


def rule(t, anchors, direction):
    """Return the anchor of frame `t`, or None, straight from the words."""
    allowed = [
        anchor
        for anchor in anchors
        if direction == "both" or (anchor < t if direction == "forward" else anchor > t)
    ]
    before = max((anchor for anchor in allowed if anchor < t), default=None)
    after = min((anchor for anchor in allowed if anchor > t), default=None)
    if t in anchors or (before is None and after is None):
        return None
    if before is None or after is None:
        return after if before is None else before
    return before if t - before <= after - t else after


@given(st.lists(conditioning, max_size=4), st.integers(0, 14), st.integers(0, 15), directions)
def test_every_frame_is_tracked_from_where_the_rule_says(per_object, start, stop, direction):
    request = request_of(per_object, start, stop, direction)
    expected = {}
    for object_id, anchors in enumerate(per_object, start=1):
        for t in range(start, stop):
            anchor = rule(t, anchors, direction)
            if anchor is not None:
                expected[object_id, t] = anchor
    planned = plan_of(request)
    assert {
        (track.object_id, item.frame): track.anchor for item in planned for track in item.tracks
    } == expected
    assert sum(len(item.tracks) for item in planned) == len(expected)
    for item in planned:
        assert all((track.anchor > item.frame) == item.is_reverse for track in item.tracks)
        assert [track.object_id for track in item.tracks] == sorted(
            track.object_id for track in item.tracks
        )


@given(st.lists(conditioning, max_size=4), st.integers(0, 14), st.integers(0, 15), directions)
def test_one_sweep_goes_forward_and_then_one_backward(per_object, start, stop, direction):
    planned = plan_of(request_of(per_object, start, stop, direction))
    forward = [item.frame for item in planned if not item.is_reverse]
    backward = [item.frame for item in planned if item.is_reverse]
    assert [item.frame for item in planned] == sorted(forward) + sorted(backward, reverse=True)
    assert len(set(forward)) == len(forward)
    assert len(set(backward)) == len(backward)


@given(st.lists(conditioning, max_size=4), st.integers(0, 14), st.integers(0, 15), directions)
def test_results_are_counted_without_being_listed(per_object, start, stop, direction):
    request = request_of(per_object, start, stop, direction)
    assert num_results(request) == len(plan_of(request))


def test_a_tie_goes_to_the_earlier_conditioning_frame():
    planned = plan_of(request_of([[2, 6]], 0, 9, "both"))
    anchors = {item.frame: item.tracks[0].anchor for item in planned}
    assert anchors == {3: 2, 4: 2, 7: 6, 8: 6, 5: 6, 1: 2, 0: 2}


extents = st.builds(Extent, st.integers(0, 14), st.one_of(st.none(), st.integers(0, 15)))


@given(conditioning, extents, directions)
def test_in_an_extent_every_frame_is_tracked_from_where_it_would_be_without(
    anchors, extent, direction
):
    whole = request_of([anchors], 0, 15, direction)
    cut = replace(whole, objects=(replace(whole.objects[0], extent=extent),))
    expected = {item.frame: item.tracks for item in plan_of(whole) if item.frame in extent}
    planned = {item.frame: item.tracks for item in plan_of(cut)}
    assert {t: tracks for t, tracks in planned.items() if t in extent} == expected
    assert num_results(cut) == len(plan_of(cut))
    for t, (track,) in planned.items():
        way = range(track.anchor + 1, t + 1) if t > track.anchor else range(t, track.anchor)
        beyond = [step for step in way if step in planned]
        assert beyond == list(way), "a pass has no holes"


@given(conditioning, st.lists(st.integers(0, 14), max_size=3), st.integers(0, 14))
def test_around_a_frame_is_what_lies_between_its_locks(anchors, chosen, t):
    locked = frozenset(chosen) & set(anchors)
    item = ObjectPrompts(1, tuple(FramePrompts(a, ()) for a in anchors), locked)
    expected = [
        a for a in anchors if not any(min(a, t) < lock < max(a, t) for lock in locked - {t})
    ]
    assert list(item.around(t).frame_indices) == (expected if t not in locked else [t])
