"""Sam2Segmenter is a pure function: of prompts, not of what was asked before, of who runs beside, of interruptions."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.cancellation import Cancellation
from napari_sam2.core.errors import FrameReadError, OptionError
from napari_sam2.core.intensity import IntensityMapping, sample_percentiles
from napari_sam2.core.masks import ObjectMask, PackedMask
from napari_sam2.core.messages import PromptRequest, PropagationRequest
from napari_sam2.core.options import NATIVE, REFERENCE
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts, PromptStep
from napari_sam2.inference import conditioning
from napari_sam2.inference.device import DevicePolicy
from napari_sam2.inference.memory import NUM_RECENT_POINTERS
from napari_sam2.inference.segmenter import Pass, Sam2Segmenter
from napari_sam2.testing import moving_discs, tiny_sam2

NUM_FRAMES, SIDE = 8, 48


@pytest.fixture(scope="module")
def network():
    return tiny_sam2()


@pytest.fixture(scope="module")
def video() -> np.ndarray:
    return moving_discs(num_frames=NUM_FRAMES, size=SIDE, num_objects=2, seed=0)[0]


@pytest.fixture
def make(network, video):
    def make_segmenter(options=NATIVE, **kwargs):
        policy = DevicePolicy.choose("cpu")
        frames = ArrayFrames(video)
        mapping = IntensityMapping(float(video.min()), float(video.max()))
        return Sam2Segmenter(network, frames, mapping, options, policy, **kwargs)

    return make_segmenter


def clicked(frame: int, *clicks: tuple[float, float], positive: bool = True) -> FramePrompts:
    """One step a click."""
    return FramePrompts(frame, tuple(PromptStep((click,), (positive,)) for click in clicks))


def request_of(*objects: ObjectPrompts, **changes) -> PropagationRequest:
    return replace(PropagationRequest(1, objects, 0, NUM_FRAMES), **changes)


ONE = ObjectPrompts(1, (clicked(2, (20.0, 14.0)),))
TWO = ObjectPrompts(2, (clicked(0, (30.0, 30.0)), clicked(5, (28.0, 33.0))))


def facts(mask: ObjectMask) -> tuple[object, ...]:
    return (
        mask.object_id,
        mask.box,
        mask.object_score,
        mask.iou,
        mask.mask.tobytes(),
        mask.strength.tobytes(),
    )


def all_facts(results) -> list[object]:
    return [(r.frame, r.total, [facts(mask) for mask in r.objects]) for r in results]


def by_object(results, object_id: int) -> dict[int, object]:
    return {
        result.frame: facts(mask)
        for result in results
        for mask in result.objects
        if mask.object_id == object_id
    }


def test_masks_vary_so_that_equality_means_something(make) -> None:
    results = list(make().propagate(request_of(ONE, TWO)))
    areas = {int(mask.mask.sum()) for result in results for mask in result.objects}
    assert len(areas) > 5


def test_every_unprompted_frame_comes_once_for_every_object(make) -> None:
    results = list(make().propagate(request_of(ONE, TWO)))
    frames = [(r.frame, mask.object_id) for r in results for mask in r.objects]
    assert sorted(t for t, key in frames if key == 1) == [0, 1, 3, 4, 5, 6, 7]
    assert sorted(t for t, key in frames if key == 2) == [1, 2, 3, 4, 6, 7]
    assert {r.total for r in results} == {len(results)}


@pytest.mark.parametrize("kept", range(1, 11))
def test_resumed_anywhere_equals_uninterrupted(make, kept: int) -> None:
    request = request_of(ONE, TWO)
    whole = list(make().propagate(request))
    assert kept < len(whole)
    rest = list(make().propagate(request, whole[kept - 1].resume))
    assert all_facts(whole[:kept] + rest) == all_facts(whole)


def test_what_was_asked_before_changes_nothing(make) -> None:
    used = make()
    used.prompt(PromptRequest(1, 1, clicked(4, (10.0, 10.0), (20.0, 20.0))))
    list(used.propagate(request_of(ONE, direction="forward")))
    list(used.propagate(request_of(TWO, start=3)))
    request = request_of(ONE, TWO)
    assert all_facts(used.propagate(request)) == all_facts(make().propagate(request))


def test_an_object_is_tracked_as_if_it_were_alone(make) -> None:
    together, alone = make().propagate(request_of(ONE, TWO)), make().propagate(request_of(ONE))
    assert by_object(list(together), 1) == by_object(list(alone), 1)


def test_slots_stepped_together_agree_with_slots_stepped_alone(make) -> None:
    same_frame = [ObjectPrompts(n, (clicked(0, (8.0 * n, 40.0 - 8 * n)),)) for n in (1, 2, 3)]
    request = request_of(*same_frame)
    alone = list(make().propagate(request))
    together = list(make(replace(NATIVE, slots_per_step=2)).propagate(request))
    for first, second in zip(alone, together, strict=True):
        for one, other in zip(first.objects, second.objects, strict=True):
            assert one.object_id == other.object_id
            assert one.object_score == pytest.approx(other.object_score, abs=1e-3)
            difference = one.to_array((SIDE, SIDE)) ^ other.to_array((SIDE, SIDE))
            assert difference.mean() < 0.005


def test_nothing_is_yielded_when_all_frames_are_prompted_or_there_is_one(make) -> None:
    assert list(make().propagate(request_of(ONE, start=2, stop=3))) == []


@pytest.mark.parametrize(
    ("direction", "frames"), [("forward", [3, 4, 5, 6, 7]), ("backward", [1, 0])]
)
def test_direction_decides_which_frames_are_tracked(make, direction, frames) -> None:
    results = make().propagate(request_of(ONE, direction=direction))
    assert [result.frame for result in results] == frames


def test_further_clicks_refine_and_their_order_of_asking_does_not_matter(make) -> None:
    two_clicks = clicked(3, (20.0, 14.0), (30.0, 20.0))
    stepwise = make()
    first = stepwise.prompt(PromptRequest(1, 1, clicked(3, (20.0, 14.0))))
    second = stepwise.prompt(PromptRequest(2, 1, two_clicks))
    at_once = make().prompt(PromptRequest(2, 1, two_clicks))
    assert facts(second.mask) == facts(at_once.mask)
    assert facts(first.mask) != facts(second.mask)


def test_one_click_offers_the_two_candidates_not_chosen_best_first(make) -> None:
    result = make().prompt(PromptRequest(7, 1, clicked(1, (20.0, 14.0))))
    assert (result.generation, result.frame, len(result.candidates)) == (7, 1, 2)
    qualities = [result.mask.iou, *(candidate.iou for candidate in result.candidates)]
    assert qualities == sorted(qualities, reverse=True)


def test_a_box_offers_no_candidates(make) -> None:
    prompts = FramePrompts(1, (PromptStep(box=(5.0, 5.0, 30.0, 30.0)),))
    assert make().prompt(PromptRequest(1, 1, prompts)).candidates == ()


def test_a_painted_mask_comes_back_to_the_pixel_and_wins_every_pixel(make) -> None:
    painted = np.zeros((SIDE, SIDE), bool)
    painted[10:20, 5:9] = True
    painted[12, 30] = True
    prompts = FramePrompts(1, (PromptStep(mask=PackedMask.from_array(painted)),))
    mask = make().prompt(PromptRequest(1, 4, prompts)).mask
    np.testing.assert_array_equal(mask.to_array((SIDE, SIDE)), painted)
    assert set(np.unique(mask.strength)) == {0, 255}


@pytest.mark.parametrize("is_on", [True, False])
def test_clicks_that_refine_a_mask_are_joined_by_one_deep_inside(make, monkeypatch, is_on):
    seen, decode = [], conditioning.decode

    def spy(network, features, conditioned, options, points, previous):
        seen.append((points.xy[0].tolist(), points.labels[0].tolist()))
        return decode(network, features, conditioned, options, points, previous)

    monkeypatch.setattr(conditioning, "decode", spy)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[10:31, 8:29] = True
    click = replace(clicked(2, (20.0, 18.0), positive=False), refines=PackedMask.from_array(mask))
    segmenter = make(replace(NATIVE, anchor_clicks=is_on, focus=False))
    segmenter.prompt(PromptRequest(1, 1, click))
    ((places, labels),) = seen
    if not is_on:
        assert labels == [0]
        return
    assert labels == [1, 0]
    scale = segmenter._network.config.image_size / SIDE
    x, y = (value / scale for value in places[0])
    assert mask[round(y), round(x)]
    # Deep inside, and as far from the negative click in the middle.
    assert min(np.hypot(y - 20, x - 18), y - 9, 31 - y, x - 7, 29 - x) > 4


def test_a_mask_of_which_every_pixel_is_denied_gives_no_click_inside(make) -> None:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[SIDE - 1, SIDE - 1] = True
    corner = (SIDE - 0.51, SIDE - 0.51)
    click = replace(clicked(2, corner, positive=False), refines=PackedMask.from_array(mask))
    alone = make(replace(NATIVE, anchor_clicks=False)).prompt(PromptRequest(1, 1, click)).mask
    assert facts(make().prompt(PromptRequest(1, 1, click)).mask) == facts(alone)


def test_a_click_on_a_painted_mask_refines_it(make) -> None:
    painted = np.zeros((SIDE, SIDE), bool)
    painted[10:30, 5:25] = True
    steps = (PromptStep(mask=PackedMask.from_array(painted)), PromptStep(((20.0, 14.0),), (False,)))
    with_mask = make().prompt(PromptRequest(1, 1, FramePrompts(1, steps))).mask
    without = make().prompt(PromptRequest(1, 1, FramePrompts(1, steps[1:]))).mask
    assert facts(with_mask) != facts(without)


def test_the_mask_that_was_shown_is_part_of_the_prompt(make) -> None:
    shown = np.zeros((SIDE, SIDE), bool)
    shown[10:30, 5:25] = True
    plain = clicked(1, (20.0, 14.0))
    refining = replace(plain, refines=PackedMask.from_array(shown))
    answers = [make().prompt(PromptRequest(1, 1, prompts)).mask for prompts in (plain, refining)]
    assert facts(answers[0]) != facts(answers[1])


def test_the_memory_of_a_pass_does_not_grow_with_the_number_of_frames(network) -> None:
    video = np.random.default_rng(0).integers(0, 255, (60, SIDE, SIDE), np.uint8)
    segmenter = Sam2Segmenter(
        network, ArrayFrames(video), IntensityMapping(0, 255), policy=DevicePolicy.choose("cpu")
    )
    request = PropagationRequest(1, (ObjectPrompts(1, (clicked(0, (20.0, 14.0)),)),), 0, 60)
    for result in segmenter.propagate(request):
        current: Pass = result.resume.state[1]
        assert len(current.recent) <= NUM_RECENT_POINTERS
        assert sum(entry.spatial is not None for entry in current.recent.values()) <= 6


def test_a_stride_keeps_the_memories_it_will_reach(network) -> None:
    video = np.random.default_rng(0).integers(0, 255, (30, SIDE, SIDE), np.uint8)
    segmenter = Sam2Segmenter(
        network,
        ArrayFrames(video),
        IntensityMapping(0, 255),
        replace(NATIVE, memory_stride=3),
        DevicePolicy.choose("cpu"),
    )
    request = PropagationRequest(1, (ObjectPrompts(1, (clicked(0, (20.0, 14.0)),)),), 0, 30)
    *_, last = segmenter.propagate(request)
    kept = last.resume.state[1].recent
    assert [t for t, entry in kept.items() if entry.spatial is not None] == [15, 18, 21, 24, 27, 29]


def test_a_small_embedding_cache_gives_the_same_masks(make) -> None:
    request = request_of(ONE, TWO)
    assert all_facts(make(cache_bytes=1).propagate(request)) == all_facts(make().propagate(request))


@pytest.mark.parametrize(
    "change",
    [
        {"memory_dtype": "bfloat16"},
        {"max_conditioning_frames": 2},
        {"max_conditioning_frames": None},
        {"memory_stride": 2},
        {"min_pointer_span": 100},
        {"binarise_prompted_memory": False},
        {"multimask": False},
        {"stability_fallback": False},
        {"fill_holes": 0},
        {"focus": False},
    ],
)
def test_every_option_runs_and_stays_resumable(make, change) -> None:
    three = ObjectPrompts(
        3, (clicked(0, (9.0, 9.0)), clicked(3, (9.0, 30.0)), clicked(6, (30.0, 9.0)))
    )
    request = request_of(ONE, three)
    options = replace(NATIVE, **change)
    whole = list(make(options).propagate(request))
    rest = list(make(options).propagate(request, whole[3].resume))
    assert all_facts(whole[:4] + rest) == all_facts(whole)


@pytest.mark.parametrize(
    "change",
    [
        {"slots_per_step": 0},
        {"max_conditioning_frames": 1},
        {"corrections_condition": False},
        {"clicks_use_memory": True},
        {"non_overlapping": True},
    ],
)
def test_options_that_cannot_work_are_refused(make, change) -> None:
    with pytest.raises(OptionError):
        make(replace(NATIVE, **change))


def test_the_release_semantics_are_refused_with_the_way_to_them(make) -> None:
    with pytest.raises(OptionError, match="ReferenceTracker"):
        make(REFERENCE)


@pytest.mark.parametrize("kind", ["constant", "nan", "bool", "float64", "big-endian", "one frame"])
def test_odd_stacks_give_masks_of_the_frame_size(network, kind) -> None:
    base = np.random.default_rng(0).random((3, 30, 41))
    stack = {
        "constant": np.full((3, 30, 41), 7, np.uint8),
        "nan": np.where(base > 0.9, np.nan, base).astype(np.float32),
        "bool": base > 0.5,
        "float64": base * 1e6,
        "big-endian": (base * 4000).astype(">u2"),
        "one frame": base[:1],
    }[kind]
    frames = ArrayFrames(stack)
    segmenter = Sam2Segmenter(
        network, frames, sample_percentiles(frames), policy=DevicePolicy.choose("cpu")
    )
    prompts = clicked(0, (15.0, 20.0))
    mask = segmenter.prompt(PromptRequest(1, 1, prompts)).mask
    assert mask.to_array((30, 41)).shape == (30, 41)
    assert np.isfinite([mask.object_score, mask.iou]).all()
    request = PropagationRequest(1, (ObjectPrompts(1, (prompts,)),), 0, len(frames))
    assert len(list(segmenter.propagate(request))) == len(frames) - 1


def test_global_torch_state_is_left_as_found(make) -> None:
    iterator = make().propagate(request_of(ONE))
    next(iterator)
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("blank", [0, 200])
def test_on_a_blank_frame_nothing_is_visible_and_the_run_goes_on(network, video, blank) -> None:
    stack = video.copy()
    stack[4] = blank
    mapping = IntensityMapping(float(video.min()), float(video.max()))
    segmenter = Sam2Segmenter(
        network, ArrayFrames(stack), mapping, policy=DevicePolicy.choose("cpu")
    )
    request = request_of(ONE, direction="forward")
    masks = {result.frame: result.objects[0] for result in segmenter.propagate(request)}
    assert sorted(masks) == [3, 4, 5, 6, 7]
    assert not masks[4].mask.any()
    assert masks[4].object_score <= 0
    assert any(masks[t].mask.any() for t in (5, 6, 7))
    again = {result.frame: result.objects[0] for result in segmenter.propagate(request)}
    assert facts(again[4]) == facts(masks[4]), "also when the frame is not encoded anew"


def test_memories_are_made_once_however_many_there_are(make, monkeypatch) -> None:
    monkeypatch.setattr(conditioning, "NUM_ANSWERS", 4)
    made = []
    remember = conditioning.Conditioner._remember

    def count(self, prompts, side):
        made.append(prompts.frame)
        return remember(self, prompts, side)

    monkeypatch.setattr(conditioning.Conditioner, "_remember", count)
    objects = [
        ObjectPrompts(number, (clicked(0, (10.0 + number, 14.0)), clicked(7, (20.0, 9.0 + number))))
        for number in range(1, 5)
    ]
    results = all_facts(make().propagate(request_of(*objects)))
    assert len(made) == 8
    monkeypatch.undo()
    assert all_facts(make().propagate(request_of(*objects))) == results


def test_a_memory_is_made_when_it_is_looked_at(make, monkeypatch) -> None:
    made = []
    monkeypatch.setattr(
        conditioning.Conditioner, "memory", lambda self, said, side: made.append(said.frame)
    )
    prompts = ObjectPrompts(1, tuple(clicked(t, (20.0, 14.0)) for t in (5, 1, 3)))
    memories = conditioning.Memories(make()._conditioner, prompts, None)
    assert list(memories) == [5, 1, 3]
    assert len(memories) == 3
    assert made == []
    _ = memories[1]
    assert made == [1]


def test_what_was_prepared_is_not_encoded_again_for_the_click(make, monkeypatch) -> None:
    segmenter, encoded = make(), []
    encoder = segmenter._encoder
    encode = encoder._encode
    monkeypatch.setattr(
        encoder, "_encode", lambda t, view: encoded.append((t, view)) or encode(t, view)
    )
    assert segmenter.prepare(2)
    (whole,) = encoded
    assert whole == (2, segmenter._focus.whole)
    segmenter.prompt(PromptRequest(1, 1, clicked(2, (20.0, 14.0))))
    assert encoded.count(whole) == 1


def test_the_window_of_an_object_is_prepared_as_well(network) -> None:
    video = moving_discs(num_frames=2, size=256, num_objects=2)[0]
    segmenter = Sam2Segmenter(
        network,
        ArrayFrames(video),
        IntensityMapping(0.0, 255.0),
        NATIVE,
        DevicePolicy.choose("cpu"),
    )
    box = (100, 100, 110, 112)
    assert segmenter.prepare(1, box)
    window = segmenter._focus.window_for(box)
    assert window != segmenter._focus.whole
    assert (1, window) in segmenter._encoder._seen
    assert segmenter.prepare(1, (0, 0, 0, 0)), "nothing is seen there: there is no window"
    assert len(segmenter._encoder._seen) == 2


class SlowFrames(ArrayFrames):
    """Takes 50 ms a frame, and notes on which threads it is read."""

    def __init__(self, array):
        super().__init__(array)
        self.reads = []

    def read(self, t):
        self.reads.append((t, threading.current_thread()))
        time.sleep(0.05)
        return super().read(t)


@pytest.mark.parametrize("order", ["plain", "interrupted", "cancelled"])
def test_reading_ahead_changes_nothing_but_the_thread(network, video, order) -> None:
    request, found = request_of(ONE, TWO), {}
    for is_on in (True, False):
        frames = SlowFrames(video)
        segmenter = Sam2Segmenter(
            network,
            frames,
            IntensityMapping(0, 255),
            policy=DevicePolicy.choose("cpu"),
            read_ahead=is_on,
        )
        cancellation, results = Cancellation(), []
        for result in segmenter.propagate(request, cancellation=cancellation):
            results.append(result)
            if order == "interrupted":
                segmenter.prompt(PromptRequest(1, 2, clicked(6, (30.0, 30.0))))
            if order == "cancelled" and len(results) == 3:
                cancellation.ask()
        found[is_on] = all_facts(results)
        others = {thread for _, thread in frames.reads} - {threading.current_thread()}
        assert bool(others) is is_on
        assert not any(thread.is_alive() for thread in others)
    assert found[True] == found[False]
    assert len(found[True]) == (3 if order == "cancelled" else results[0].total)


def test_a_frame_that_cannot_be_read_stops_the_run_there_and_not_one_frame_earlier(
    network, video
) -> None:
    class Broken(ArrayFrames):
        def read(self, t):
            if t == 6:
                raise FrameReadError("frame 6 is broken")
            return super().read(t)

    segmenter = Sam2Segmenter(
        network, Broken(video), IntensityMapping(0, 255), policy=DevicePolicy.choose("cpu")
    )
    done = []
    run = segmenter.propagate(request_of(ONE, direction="forward"))
    with pytest.raises(FrameReadError, match="frame 6"):
        done.extend(result.frame for result in run)  # extend keeps what came before the error
    assert done == [3, 4, 5]
