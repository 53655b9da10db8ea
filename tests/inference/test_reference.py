"""ReferenceTracker: what each switch changes and what it leaves, and prompts that are refused without a trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_sam2.core.errors import FrameReadError, OptionError, PromptError, PropagationError
from napari_sam2.core.options import REFERENCE
from napari_sam2.inference.postprocess import fill_holes
from napari_sam2.inference.reference import ReferenceTracker, separate
from napari_sam2.inference.step import (
    ABSENT_LOGIT,
    ModelPoints,
    StepOutput,
    adopt_mask,
    decode,
    remember,
)
from napari_sam2.inference.transforms import to_model_input
from napari_sam2.model.sam2 import ImageFeatures, Sam2
from napari_sam2.testing import moving_discs, tiny_sam2

NUM_FRAMES, SIDE, MASK_SIDE = 9, 64, 16
EXACT = replace(REFERENCE, memory_dtype="float32")


@pytest.fixture(scope="module")
def network() -> Sam2:
    """Return a network to which every object is visible: an absent one would hide what a switch changes."""
    made = tiny_sam2()
    made.mask_decoder.object_head.layers[-1].bias.data.fill_(40.0)
    return made


@pytest.fixture(scope="module")
def embed(network) -> Callable[[int], ImageFeatures]:
    video, _ = moving_discs(NUM_FRAMES, SIDE)
    mapped = video.astype(np.float32) / 255
    with torch.inference_mode():
        encoded = [
            network.encode_image(to_model_input(frame, SIDE, torch.device("cpu")))
            for frame in mapped
        ]
    return encoded.__getitem__


@pytest.fixture
def make(network, embed):
    def make_tracker(options=EXACT, shape=(MASK_SIDE, MASK_SIDE), **changes) -> ReferenceTracker:
        return ReferenceTracker(network, embed, NUM_FRAMES, shape, replace(options, **changes))

    return make_tracker


def points(*xy: tuple[float, float], labels=None) -> ModelPoints:
    labels = [1] * len(xy) if labels is None else labels
    return ModelPoints(torch.tensor([xy], dtype=torch.float32), torch.tensor([labels]))


CLICK = points((20.0, 16.0))
OTHER = points((44.0, 48.0))
CORRECTION = points((30.0, 30.0), (8.0, 50.0), labels=[1, 0])
BOX = points((10.0, 6.0), (40.0, 30.0), labels=[2, 3])


def run(tracker: ReferenceTracker, *args, **kwargs) -> dict[int, Tensor]:
    return {item.frame: item.logits for item in tracker.propagate(*args, **kwargs)}


def differing(first: dict[int, Tensor], second: dict[int, Tensor]) -> list[int]:
    """Return the frames on which two runs do not agree to the bit."""
    assert first.keys() == second.keys()
    return [t for t in first if not torch.equal(first[t], second[t])]


def compare(make, script, **changes) -> list[int]:
    """Run `script` as released and with options changed; return the frames that differ."""
    return differing(script(make()), script(make(**changes)))


def clicked_at_0(tracker: ReferenceTracker) -> dict[int, Tensor]:
    tracker.add_points(0, 1, CLICK)
    return run(tracker)


def test_masks_vary_so_that_equality_means_something(make) -> None:
    results = clicked_at_0(make())
    areas = {int((logits > 0).sum()) for logits in results.values()}
    assert len(areas) > 3
    assert all(logits.isfinite().all() for logits in results.values())


def test_the_same_script_gives_the_same_bits(make) -> None:
    assert compare(make, clicked_at_0) == []


class TestCorrectionsCondition:
    """A click on a tracked frame: lost with the release's default, kept with the switch."""

    @staticmethod
    def corrected(tracker: ReferenceTracker) -> tuple[dict, Tensor, dict]:
        first = clicked_at_0(tracker)
        answer = tracker.add_points(4, 1, CORRECTION)
        return first, answer, run(tracker)

    def test_off_the_next_run_overwrites_the_correction(self, make) -> None:
        first, answer, second = self.corrected(make())
        assert not torch.equal(answer, first[4])
        assert differing(first, second) == []

    def test_on_the_corrected_frame_stays_and_changes_all_others(self, make) -> None:
        first, answer, second = self.corrected(make(corrections_condition=True))
        assert torch.equal(second[4], answer)
        # Conditioning frames are attended to from both sides; the first prompt stays as it was.
        assert differing(first, second) == list(range(1, NUM_FRAMES))

    @pytest.mark.parametrize("is_on", [False, True])
    def test_a_further_click_on_the_first_prompted_frame(self, make, is_on) -> None:
        tracker = make(corrections_condition=is_on)
        first = clicked_at_0(tracker)
        answer = tracker.add_points(0, 1, CORRECTION)
        second = run(tracker)
        assert torch.equal(second[0], answer if is_on else first[0])
        assert (differing(first, second) == []) != is_on

    @pytest.mark.parametrize("is_on", [False, True])
    def test_before_any_run_both_are_the_same(self, make, is_on) -> None:
        def script(tracker):
            tracker.add_points(0, 1, CLICK)
            tracker.add_points(0, 1, CORRECTION)
            tracker.add_points(5, 1, OTHER)
            return run(tracker)

        assert compare(make, script, corrections_condition=is_on) == []


class TestClicksUseMemory:
    """A click on a tracked frame attends to memory, or refines what was shown."""

    @pytest.mark.parametrize("is_on", [False, True])
    def test_on_a_frame_that_was_not_tracked_it_changes_nothing(self, make, is_on) -> None:
        answers = [make(clicks_use_memory=value).add_points(3, 1, CLICK) for value in (True, is_on)]
        assert torch.equal(*answers)

    def test_on_a_tracked_frame_memory_counts(self, make, network, embed) -> None:
        answers = []
        for is_on in (True, False):
            tracker = make(clicks_use_memory=is_on)
            shown = clicked_at_0(tracker)[4]
            answers.append(tracker.add_points(4, 1, CORRECTION))
        assert not torch.allclose(answers[0], answers[1], atol=1e-3)
        with torch.inference_mode():
            features = embed(4)
            refined = decode(
                network,
                features,
                network.without_memory(features.stride16),
                EXACT,
                CORRECTION,
                shown,
            )
        assert torch.equal(answers[1], refined.logits)


class TestMemoryDtype:
    """Rounding of what is remembered, not of what is answered."""

    def test_prompted_frames_are_not_touched_and_tracked_ones_hardly(self, make) -> None:
        exact, rounded = (
            clicked_at_0(make(memory_dtype=dtype)) for dtype in ("float32", "bfloat16")
        )
        assert differing(exact, rounded) == list(range(1, NUM_FRAMES))
        spread = float(exact[1].std())
        assert float((exact[1] - rounded[1]).abs().max()) < 0.1 * spread

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_memory_has_the_dtype_that_was_asked_for(self, network, embed, dtype) -> None:
        output = output_of(torch.zeros(1, 1, MASK_SIDE, MASK_SIDE))
        options = replace(REFERENCE, memory_dtype=dtype)
        with torch.inference_mode():
            memory = remember(network, embed(0), output, options, is_prompted=True)
        assert memory.dtype == getattr(torch, dtype)


def output_of(logits: Tensor) -> StepOutput:
    return StepOutput(logits, torch.ones(1), torch.ones(1), torch.zeros(1, 32))


class TestMultimask:
    """One point, or none, is ambiguous: the best of three candidates answers."""

    @staticmethod
    def answer(network, embed, given, **changes) -> StepOutput:
        features = embed(0)
        marked = network.without_memory(features.stride16)
        with torch.inference_mode():
            return decode(network, features, marked, replace(EXACT, **changes), given)

    @pytest.mark.parametrize("given", [None, CLICK], ids=["no point", "one point"])
    def test_on_the_best_candidate_answers_an_ambiguous_prompt(self, network, embed, given) -> None:
        step = self.answer(network, embed, given)
        assert step.candidates.shape == (1, 3, MASK_SIDE, MASK_SIDE)
        best = int(step.candidate_iou.argmax())
        assert torch.equal(step.logits[:, 0], step.candidates[:, best])
        assert step.iou == step.candidate_iou[0, best]

    @pytest.mark.parametrize("given", [CORRECTION, BOX], ids=["two points", "box"])
    def test_a_clear_prompt_is_answered_alike_on_and_off(self, network, embed, given) -> None:
        on, off = (self.answer(network, embed, given, multimask=value) for value in (True, False))
        assert on.candidates is None
        assert torch.equal(on.logits, off.logits)
        assert torch.equal(on.pointer, off.pointer)

    def test_off_the_single_mask_answers_and_gives_the_pointer(self, network, embed) -> None:
        on, off = (self.answer(network, embed, CLICK, multimask=value) for value in (True, False))
        assert off.candidates is None
        assert not torch.equal(on.logits, off.logits)
        assert not torch.equal(on.pointer, off.pointer)

    def test_it_changes_tracking_too(self, make) -> None:
        def script(tracker):
            tracker.add_points(0, 1, BOX)
            return run(tracker)

        assert compare(make, script, multimask=False) == list(range(1, NUM_FRAMES))


class TestStabilityFallback:
    """A single mask that hangs on the threshold gives way to the best candidate."""

    @pytest.fixture
    def unstable(self) -> Sam2:
        """Return a network whose single mask has logits around 0."""
        made = tiny_sam2()
        for parameter in made.mask_decoder.mask_heads[0].layers[-1].parameters():
            parameter.data.mul_(1e-3)
        return made

    @staticmethod
    def answers(network, embed) -> list[StepOutput]:
        features = embed(0)
        marked = network.without_memory(features.stride16)
        with torch.inference_mode():
            return [
                decode(network, features, marked, replace(EXACT, stability_fallback=value), BOX)
                for value in (True, False)
            ]

    def test_an_unstable_mask_is_replaced_but_not_its_pointer(self, unstable, embed) -> None:
        on, off = self.answers(unstable, embed)
        assert off.logits.abs().max() < 0.1
        assert on.logits.abs().max() > 1
        assert on.iou != off.iou
        assert torch.equal(on.pointer, off.pointer)

    def test_a_stable_mask_is_kept(self, network, embed) -> None:
        stable = tiny_sam2()
        for parameter in stable.mask_decoder.mask_heads[0].layers[-1].parameters():
            parameter.data.mul_(1e3)
        on, off = self.answers(stable, embed)
        assert torch.equal(on.logits, off.logits)
        assert torch.equal(on.iou, off.iou)

    def test_a_single_point_never_falls_back(self, make) -> None:
        answers = [
            make(stability_fallback=value).add_points(0, 1, CLICK) for value in (True, False)
        ]
        assert torch.equal(*answers)


class TestBinarisePromptedMemory:
    """Memory of a prompted frame: from its mask, or from its probabilities."""

    def test_it_changes_what_follows_and_not_the_answer(self, make) -> None:
        changed = compare(make, clicked_at_0, binarise_prompted_memory=False)
        assert changed == list(range(1, NUM_FRAMES))

    @torch.inference_mode()
    def test_memories_of_tracked_frames_are_never_binary(self, network, embed) -> None:
        output = output_of(torch.randn(1, 1, MASK_SIDE, MASK_SIDE))
        for is_prompted, is_same in ((False, True), (True, False)):
            on, off = (
                remember(
                    network,
                    embed(0),
                    output,
                    replace(EXACT, binarise_prompted_memory=value),
                    is_prompted,
                )
                for value in (True, False)
            )
            assert torch.equal(on, off) == is_same


class TestMaxConditioningFrames:
    """A limit leaves out what is far; a limit that is not reached changes nothing."""

    @staticmethod
    def prompted_often(tracker) -> dict[int, Tensor]:
        for frame in (0, 2, 6, 8):
            tracker.add_points(frame, 1, CLICK)
        return run(tracker)

    def test_a_limit_changes_the_frames_between(self, make) -> None:
        changed = compare(make, self.prompted_often, max_conditioning_frames=2)
        assert changed == [1, 3, 4, 5, 7]

    def test_a_limit_that_is_not_reached_changes_nothing(self, make) -> None:
        assert compare(make, self.prompted_often, max_conditioning_frames=4) == []


class TestMemoryStride:
    """With a stride, memories beyond the neighbour are its multiples."""

    def test_frames_change_once_a_memory_is_left_out(self, make) -> None:
        # Frame 3 would attend to 2 and 1; with a stride of 2, to 2 and to the prompted 0 only.
        changed = compare(make, clicked_at_0, memory_stride=2)
        assert changed == list(range(3, NUM_FRAMES))

    def test_a_stride_of_one_changes_nothing(self, make) -> None:
        assert compare(make, clicked_at_0, memory_stride=1) == []


class TestMinPointerSpan:
    """The time code of pointers counts in lengths of the source, or of at least so many frames."""

    def test_a_longer_span_changes_what_is_tracked(self, make) -> None:
        changed = compare(make, clicked_at_0, min_pointer_span=16)
        assert changed == list(range(1, NUM_FRAMES))

    @pytest.mark.parametrize("span", [0, 1, NUM_FRAMES])
    def test_up_to_the_length_of_the_source_it_changes_nothing(self, make, span) -> None:
        assert compare(make, clicked_at_0, min_pointer_span=span) == []


class TestFillHoles:
    """Holes are filled in what is shown and in the memory of prompts, not in that of tracked frames."""

    AREA = 6 * (256 // MASK_SIDE) ** 2  # six pixels of these small logits

    def test_every_answer_is_without_holes(self, make) -> None:
        tracker = make(fill_holes=self.AREA)
        plain, answer = make().add_points(0, 1, BOX), tracker.add_points(0, 1, BOX)
        assert not torch.equal(plain, answer)
        assert torch.equal(answer, fill_holes(plain, self.AREA))
        for logits in run(tracker).values():
            assert fill_holes(logits, self.AREA) is logits

    def test_memory_of_a_tracked_frame_is_of_the_unfilled_mask(self, make) -> None:
        # A mask without holes is remembered alike; what is tracked from it then has holes that are only shown filled.
        mask = torch.zeros(1, 1, SIDE, SIDE)
        mask[..., 16:48, 16:48] = 1
        runs = []
        for area in (0, self.AREA):
            tracker = make(fill_holes=area)
            tracker.add_mask(0, 1, mask)
            runs.append(run(tracker))
        plain, filled = runs
        assert differing(plain, filled)
        for t, logits in plain.items():
            assert torch.equal(fill_holes(logits, self.AREA), filled[t])


class TestNonOverlapping:
    """Every pixel belongs to one object in what is returned; memory does not know."""

    @staticmethod
    def two_objects(tracker) -> dict[int, Tensor]:
        tracker.add_points(0, 1, CLICK)
        tracker.add_points(0, 2, OTHER)
        return run(tracker)

    def test_off_objects_may_share_pixels(self, make) -> None:
        results = self.two_objects(make())
        assert any((logits > 0).all(dim=0).any() for logits in results.values())

    def test_on_the_higher_logit_wins_and_nothing_else_changes(self, make) -> None:
        plain, apart = self.two_objects(make()), self.two_objects(make(non_overlapping=True))
        assert differing(plain, apart)
        for t, logits in apart.items():
            assert not (logits > 0).all(dim=0).any()
            assert torch.equal(logits, separate(plain[t]))

    def test_one_object_alone_is_left_as_it_is(self, make) -> None:
        assert compare(make, clicked_at_0, non_overlapping=True) == []

    def test_losers_are_clamped_winners_kept_and_a_tie_goes_to_the_first(self) -> None:
        logits = torch.tensor([[3.0, -2.0, 1.0, -30.0], [1.0, 5.0, 1.0, -4.0]]).view(2, 1, 1, 4)
        expected = torch.tensor([[3.0, -10.0, 1.0, -30.0], [-10.0, 5.0, -10.0, -4.0]])
        assert torch.equal(separate(logits).view(2, 4), expected)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_object_prompted_late_is_tracked_from_frame_0(make, dtype) -> None:
    tracker = make(memory_dtype=dtype)
    answer = tracker.add_points(6, 1, CLICK)
    results = run(tracker, 0)
    assert list(results) == list(range(NUM_FRAMES))
    assert torch.equal(results[6], answer)
    assert all(logits.isfinite().all() for logits in results.values())
    assert all((logits > ABSENT_LOGIT).any() for logits in list(results.values())[:3])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_late_object_leaves_an_earlier_one_as_it_was(make, dtype) -> None:
    alone = clicked_at_0(make(memory_dtype=dtype))
    both = make(memory_dtype=dtype)
    both.add_points(0, 1, CLICK)
    both.add_points(6, 2, OTHER)
    together = run(both)
    assert differing(alone, {t: logits[:1] for t, logits in together.items()}) == []


def test_an_object_without_a_result_on_a_frame_is_absent_there(make) -> None:
    tracker = make()
    tracker.add_points(0, 7, CLICK)
    logits = tracker.add_points(3, 2, OTHER)
    assert tracker.object_ids == (7, 2)
    assert (logits[0] == ABSENT_LOGIT).all()
    assert (logits[1] > ABSENT_LOGIT).any()


def test_earlier_logits_are_refined_also_when_the_points_are_replaced(make) -> None:
    fresh = make().add_points(0, 1, CORRECTION)
    tracker = make()
    tracker.add_points(0, 1, CLICK)
    assert not torch.equal(tracker.add_points(0, 1, CORRECTION), fresh)


def test_appended_points_come_behind_the_earlier_ones(make) -> None:
    appended, at_once = make(), make()
    for tracker in (appended, at_once):
        tracker.add_points(0, 1, CLICK)
    both = ModelPoints(
        torch.cat([CLICK.xy, OTHER.xy], dim=1), torch.cat([CLICK.labels, OTHER.labels], dim=1)
    )
    answer = appended.add_points(0, 1, OTHER, is_appended=True)
    assert torch.equal(answer, at_once.add_points(0, 1, both))


def test_a_mask_replaces_the_points_of_its_frame(make, network, embed) -> None:
    mask = torch.zeros(1, 1, SIDE, SIDE)
    mask[..., 10:30, 20:40] = 1
    tracker = make()
    tracker.add_points(0, 1, CLICK)
    answer = tracker.add_mask(0, 1, mask)
    with torch.inference_mode():
        assert torch.equal(answer, adopt_mask(network, embed(0), mask).logits)
    after = tracker.add_points(0, 1, OTHER, is_appended=True)
    clean = make()
    clean.add_mask(0, 1, mask)
    assert torch.equal(after, clean.add_points(0, 1, OTHER))


def test_an_empty_mask_says_that_the_object_is_absent(make, network, embed) -> None:
    mask = torch.zeros(1, 1, SIDE, SIDE)
    with torch.inference_mode():
        step = adopt_mask(network, embed(0), mask)
    assert step.object_score < 0
    assert torch.equal(step.pointer, network.absent_pointer)
    tracker = make()
    assert not (tracker.add_mask(0, 1, mask) > 0).any()
    assert all(logits.isfinite().all() for logits in run(tracker).values())


@pytest.mark.parametrize(
    ("arguments", "frames"),
    [
        ({}, [4, 5, 6, 7, 8]),
        ({"start": 2, "max_frames": 3}, [2, 3, 4, 5]),
        ({"start": 0, "max_frames": 0}, [0]),
        ({"is_reverse": True}, [4, 3, 2, 1, 0]),
        ({"start": 8, "max_frames": 2, "is_reverse": True}, [8, 7, 6]),
        ({"start": 0, "is_reverse": True}, []),
    ],
)
def test_the_range_is_inclusive_and_starts_at_the_first_prompt(make, arguments, frames) -> None:
    tracker = make()
    tracker.add_points(4, 1, CLICK)
    assert list(run(tracker, **arguments)) == frames


def test_a_removed_object_is_gone_and_the_others_stay(make) -> None:
    tracker, alone = make(), make()
    tracker.add_points(0, 1, OTHER)
    for item in (tracker, alone):
        item.add_points(0, 2, CLICK)
    tracker.remove_object(1)
    assert tracker.object_ids == (2,)
    assert differing(run(tracker), run(alone)) == []


@pytest.mark.parametrize("start", [None, 0, 3])
def test_without_any_prompt_there_is_nothing_to_propagate(make, start) -> None:
    with pytest.raises(PropagationError, match="no object"):
        run(make(), start)


@pytest.mark.parametrize("start", [-1, NUM_FRAMES])
def test_a_start_outside_the_stack_is_refused(make, start) -> None:
    tracker = make()
    tracker.add_points(0, 1, CLICK)
    with pytest.raises(PropagationError, match=f"start {start} is outside 0 to 8"):
        run(tracker, start)


REFUSED = {
    "frame before the stack": lambda t, i: t.add_points(-1, i, CLICK),
    "frame behind the stack": lambda t, i: t.add_points(NUM_FRAMES, i, CLICK),
    "mask behind the stack": lambda t, i: t.add_mask(NUM_FRAMES, i, torch.ones(1, 1, SIDE, SIDE)),
    "mask of another size": lambda t, i: t.add_mask(0, i, torch.ones(1, 1, MASK_SIDE, MASK_SIDE)),
    "no point": lambda t, i: t.add_points(
        0, i, ModelPoints(torch.zeros(1, 0, 2), torch.zeros(1, 0, dtype=torch.int64))
    ),
    "unknown label": lambda t, i: t.add_points(0, i, points((1.0, 2.0), labels=[4])),
    "fewer labels": lambda t, i: t.add_points(0, i, ModelPoints(CLICK.xy, torch.ones(1, 2))),
    "two slots": lambda t, i: t.add_points(
        0, i, ModelPoints(torch.zeros(2, 1, 2), torch.ones(2, 1, dtype=torch.int64))
    ),
    "appended box": lambda t, i: t.add_points(0, i, BOX, is_appended=True),
}


@pytest.mark.parametrize("object_id", [1, 2], ids=["known object", "new object"])
@pytest.mark.parametrize("reason", REFUSED)
def test_a_refused_prompt_leaves_the_tracker_as_it_was(make, reason, object_id) -> None:
    tracker = make()
    tracker.add_points(0, 1, CLICK)
    with pytest.raises(PromptError):
        REFUSED[reason](tracker, object_id)
    assert tracker.object_ids == (1,)
    assert differing(run(tracker), clicked_at_0(make())) == []


@pytest.mark.parametrize("object_id", [1, 2], ids=["known object", "new object"])
def test_a_frame_that_cannot_be_read_leaves_the_tracker_as_it_was(
    network, embed, make, object_id
) -> None:
    broken = {3}

    def unreliable(frame: int) -> ImageFeatures:
        if frame in broken:
            raise FrameReadError(f"frame {frame} cannot be read")
        return embed(frame)

    tracker = ReferenceTracker(network, unreliable, NUM_FRAMES, (MASK_SIDE, MASK_SIDE), EXACT)
    tracker.add_points(0, 1, CLICK)
    with pytest.raises(FrameReadError):
        tracker.add_points(3, object_id, OTHER)
    with pytest.raises(FrameReadError):
        tracker.add_mask(3, object_id, torch.ones(1, 1, SIDE, SIDE))
    assert tracker.object_ids == (1,)
    broken.clear()
    assert differing(run(tracker), clicked_at_0(make())) == []


def test_logits_are_returned_at_the_size_of_the_frame(make) -> None:
    tracker = make(shape=(40, 28))
    assert tracker.add_points(0, 1, CLICK).shape == (1, 1, 40, 28)
    assert {tuple(logits.shape) for logits in run(tracker).values()} == {(1, 1, 40, 28)}


def test_focus_is_refused(network):
    with pytest.raises(OptionError, match="whole frames"):
        ReferenceTracker(network, lambda frame: None, 2, (16, 16), replace(REFERENCE, focus=True))
