"""What a frame attends to: selection by hand-made cases, and nothing that can be selected is ever forgotten."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.inference.memory import (
    CONDITIONING_ROW,
    NUM_RECENT,
    NUM_RECENT_POINTERS,
    MemoryEntry,
    nearest_conditioning,
    select,
    window_of,
)


def entries(frames) -> dict[int, MemoryEntry]:
    """Memories that hold the number of their frame."""
    return {t: MemoryEntry(torch.full((1, 1, 1, 1), t), torch.full((1, 1), t)) for t in frames}


def chosen(frame, conditioning=(), tracked=(), num_frames=100, **options):
    """Return the frames of the spatial memories with their rows, and of the pointers with their offsets."""
    selection = select(
        frame, entries(conditioning), entries(tracked), num_frames=num_frames, **options
    )
    memories = [int(memory) for memory in selection.memories]
    pointers = [int(pointer) for pointer in selection.pointers]
    return (
        list(zip(memories, selection.rows, strict=True)),
        list(zip(pointers, selection.offsets, strict=True)),
    )


COND = CONDITIONING_ROW


def test_conditioning_frames_come_first_in_the_order_of_their_prompts() -> None:
    memories, pointers = chosen(10, conditioning=[20, 0, 9])
    assert memories == [(20, COND), (0, COND), (9, COND)]
    assert pointers == [(0, 10), (9, 1)]  # of a prompt still to come there is no pointer


def test_the_most_recent_frame_has_row_0() -> None:
    memories, pointers = chosen(10, conditioning=[0], tracked=range(1, 10))
    assert memories == [(0, COND), (4, 5), (5, 4), (6, 3), (7, 2), (8, 1), (9, 0)]
    assert pointers == [(0, 10)] + [(10 - back, back) for back in range(1, 10)]


def test_frames_that_are_missing_are_skipped_and_do_not_move_the_others() -> None:
    memories, _ = chosen(10, conditioning=[0], tracked=[4, 6, 9])
    assert memories == [(0, COND), (4, 5), (6, 3), (9, 0)]


def test_fifteen_recent_pointers_are_reached_beside_the_conditioning_ones() -> None:
    _, pointers = chosen(40, conditioning=[0, 40], tracked=range(1, 40))
    assert pointers == [(0, 40), (40, 0)] + [(40 - k, k) for k in range(1, 16)]


@pytest.mark.parametrize(("num_frames", "reach"), [(1, 0), (2, 1), (5, 4), (16, 15), (99, 15)])
def test_a_short_stack_has_fewer_recent_pointers(num_frames, reach) -> None:
    _, pointers = chosen(30, conditioning=[], tracked=range(30), num_frames=num_frames)
    assert pointers == [(30 - k, k) for k in range(1, reach + 1)]


def test_towards_frame_0_the_later_frames_are_the_recent_ones() -> None:
    memories, pointers = chosen(
        10, conditioning=[20, 0], tracked=[*range(1, 10), *range(11, 20)], is_reverse=True
    )
    assert memories[:2] == [(20, COND), (0, COND)]
    assert memories[2:] == [(16, 5), (15, 4), (14, 3), (13, 2), (12, 1), (11, 0)]
    assert pointers == [(20, 10)] + [(10 + k, k) for k in range(1, 10)]


@pytest.mark.parametrize(
    ("frame", "is_reverse", "expected"),
    [
        (20, False, [(6, 5), (9, 4), (12, 3), (15, 2), (18, 1), (19, 0)]),
        (21, False, [(6, 5), (9, 4), (12, 3), (15, 2), (18, 1), (20, 0)]),
        (22, False, [(6, 5), (9, 4), (12, 3), (15, 2), (18, 1), (21, 0)]),
        (23, False, [(9, 5), (12, 4), (15, 3), (18, 2), (21, 1), (22, 0)]),
        (20, True, [(36, 5), (33, 4), (30, 3), (27, 2), (24, 1), (21, 0)]),
        (22, True, [(36, 5), (33, 4), (30, 3), (27, 2), (24, 1), (23, 0)]),
    ],
)
def test_with_a_stride_of_3_memories_beyond_the_neighbour_are_multiples_of_3(
    frame, is_reverse, expected
) -> None:
    tracked = [t for t in range(50) if t != frame]
    memories, pointers = chosen(frame, tracked=tracked, is_reverse=is_reverse, stride=3)
    assert memories == expected
    assert [offset for _, offset in pointers] == list(range(1, 16))  # pointers have no stride


def test_all_conditioning_frames_are_taken_without_a_limit() -> None:
    assert nearest_conditioning(5, [9, 1, 4], None) == [9, 1, 4]
    assert nearest_conditioning(5, [9, 1, 4], 3) == [9, 1, 4]
    assert nearest_conditioning(5, [], 2) == []


@pytest.mark.parametrize(
    ("frame", "limit", "expected"),
    [
        (10, 2, [8, 10]),  # at the frame counts as after it
        (11, 2, [10, 30]),  # one of each side, although two before are nearer
        (11, 3, [10, 30, 8]),
        (60, 2, [50, 30]),  # nothing after
        (0, 2, [0, 8]),  # nothing before
        (11, 4, [10, 30, 8, 0]),
    ],
)
def test_the_nearest_of_both_sides_come_first_then_the_next_nearest(frame, limit, expected) -> None:
    assert nearest_conditioning(frame, [30, 0, 8, 10, 50], limit) == expected


def test_a_conditioning_frame_left_out_still_counts_as_a_recent_one() -> None:
    memories, pointers = chosen(10, conditioning=[7, 8, 9, 12], max_conditioning=2)
    assert memories == [(9, COND), (12, COND), (7, 2), (8, 1)]
    assert pointers == [(9, 1), (8, 2), (7, 3)]


def test_a_tracked_result_of_a_frame_left_out_comes_before_its_prompted_one() -> None:
    prompted, tracked = entries([7, 8, 9, 12]), entries([8])
    selection = select(10, prompted, tracked, num_frames=20, max_conditioning=2)
    assert any(memory is tracked[8].spatial for memory in selection.memories)
    assert not any(memory is prompted[8].spatial for memory in selection.memories)


def test_a_memory_that_has_only_a_pointer_left_gives_its_pointer() -> None:
    kept = {9: entries([9])[9].without_spatial()}
    selection = select(10, entries([0]), kept, num_frames=20)
    assert selection.rows == (COND,)
    assert len(selection.memories) == 1
    assert selection.offsets == (10, 1)


def test_equal_layouts_are_those_that_can_be_stepped_together() -> None:
    def layout(*tracked):
        return select(10, entries([0]), entries(tracked), num_frames=20).layout

    assert layout(8, 9) == layout(9, 8)
    assert layout(8, 9) != layout(9)


frames = st.integers(0, 60)


@given(frames, st.sets(frames, max_size=12), st.integers(2, 6))
def test_a_limit_takes_that_many_and_both_neighbours(frame, candidates, limit):
    taken = nearest_conditioning(frame, sorted(candidates), limit)
    assert len(taken) == len(set(taken)) == min(limit, len(candidates))
    before = [t for t in candidates if t < frame]
    after = [t for t in candidates if t >= frame]
    assert not before or max(before) in taken
    assert not after or min(after) in taken


@given(
    done=st.integers(0, 40),
    ahead=st.integers(1, 8),
    stride=st.integers(1, 5),
    conditioning=st.sets(frames, min_size=1, max_size=5),
    is_reverse=st.booleans(),
    limit=st.sampled_from([None, 2, 4]),
)
def test_whatever_a_later_frame_of_the_pass_selects_is_kept(
    done, ahead, stride, conditioning, is_reverse, limit
):
    """Prune after every frame; a frame `ahead` must see the same as if nothing had been pruned."""
    sign = -1 if is_reverse else 1
    passed = [60 - t if is_reverse else t for t in range(done + 1)]
    prompted = entries(sorted(conditioning))
    everything = entries(t for t in passed if t not in conditioning)
    kept: dict[int, MemoryEntry] = {}
    for t, entry in everything.items():
        kept = window_of({**kept, t: entry}, t, stride)
    frame = passed[-1] + sign * ahead
    full, pruned = (
        select(
            frame,
            prompted,
            tracked,
            num_frames=61,
            is_reverse=is_reverse,
            max_conditioning=limit,
            stride=stride,
        )
        for tracked in (everything, kept)
    )
    assert pruned.layout == full.layout
    for ours, theirs in zip(pruned.memories, full.memories, strict=True):
        assert ours is theirs
    for ours, theirs in zip(pruned.pointers, full.pointers, strict=True):
        assert ours is theirs


@given(st.integers(1, 80), st.integers(1, 5))
def test_what_is_kept_does_not_grow_with_the_pass(num_frames, stride):
    kept: dict[int, MemoryEntry] = {}
    for t, entry in entries(range(num_frames)).items():
        kept = window_of({**kept, t: entry}, t, stride)
    assert sum(entry.spatial is not None for entry in kept.values()) <= NUM_RECENT
    assert len(kept) <= NUM_RECENT_POINTERS + NUM_RECENT
