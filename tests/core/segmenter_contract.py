"""What every segmenter must keep to: tests to be inherited, once for the fake and once for the real one."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.cancellation import Cancellation
from napari_sam2.core.errors import FrameReadError
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.masks import EMPTY_BOX, PackedMask, bounding_box
from napari_sam2.core.messages import FrameResult, PromptRequest, PropagationRequest
from napari_sam2.core.plan import plan_of
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts, PromptStep
from napari_sam2.testing import moving_discs

NUM_FRAMES, SIDE = 8, 48
VIDEO, TRUTH = moving_discs(NUM_FRAMES, SIDE, num_objects=2)


def centre(object_id, t):
    return tuple(np.argwhere(TRUTH[t] == object_id).mean(0))


def click(object_id, t, positive=True):
    return PromptStep(points=(centre(object_id, t),), positives=(positive,))


def said(object_id, *frames):
    """Return an object that was clicked once on each of `frames`."""
    return ObjectPrompts(object_id, tuple(FramePrompts(t, (click(object_id, t),)) for t in frames))


def question(*objects, start=0, stop=NUM_FRAMES, direction="both"):
    return PropagationRequest(1, objects, start, stop, direction)


def parts(mask):
    """Return all that a mask says, to be compared bit for bit."""
    return (
        mask.object_id,
        mask.box,
        mask.mask.tobytes(),
        mask.strength.tobytes(),
        mask.object_score,
        mask.iou,
    )


def course(results):
    """Return all that a propagation says, but not the segmenter's own state."""
    return [
        (
            result.frame,
            tuple(parts(mask) for mask in result.objects),
            result.total,
            result.resume.done,
        )
        for result in results
    ]


STEPS = {
    "click": (click(1, 2),),
    "two clicks": (click(1, 2), PromptStep(points=((1.0, 1.0),), positives=(False,))),
    "box": (PromptStep(box=(4.0, 3.0, 30.0, 40.0)),),
    "box and click": (PromptStep(box=(4.0, 3.0, 30.0, 40.0)), click(1, 2)),
    "mask": (PromptStep(mask=PackedMask.from_array(TRUTH[2] == 1)),),
    "mask and click": (PromptStep(mask=PackedMask.from_array(TRUTH[2] == 1)), click(2, 2)),
}

QUESTIONS = {
    "one object": question(said(1, 2)),
    "two objects": question(said(1, 2), said(2, 5)),
    "two conditioning frames": question(said(1, 1, 6), said(2, 5)),
    "forward": question(said(1, 1, 6), said(2, 5), direction="forward"),
    "backward": question(said(1, 1, 6), said(2, 5), direction="backward"),
    "range": question(said(1, 2), said(2, 5), start=1, stop=6),
    "range beside the prompts": question(said(1, 0), said(2, 7), start=3, stop=6),
    "first frame backward": question(said(1, 0), direction="backward"),
    "last frame forward": question(said(1, NUM_FRAMES - 1), direction="forward"),
}


class SegmenterContract:
    """Inherit and define `make`."""

    def make(self, frames):
        """Return a new segmenter of `frames`."""
        raise NotImplementedError

    @pytest.fixture
    def segmenter(self):
        return self.make(ArrayFrames(VIDEO))

    # Prompts

    @pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
    @pytest.mark.parametrize("refines", [None, PackedMask.from_array(TRUTH[2] == 1)])
    def test_an_answer_belongs_to_its_question_and_fits_its_frame(self, segmenter, steps, refines):
        result = segmenter.prompt(PromptRequest(7, 3, FramePrompts(2, steps, refines)))
        assert (result.generation, result.frame) == (7, 2)
        for mask in (result.mask, *result.candidates):
            assert mask.object_id == 3
            self.check_mask(mask)

    def test_every_candidate_can_be_meant_and_is_tracked(self, segmenter):
        def ask(number):
            step = replace(click(1, 2), candidate=number)
            return segmenter.prompt(PromptRequest(1, 1, FramePrompts(2, (step,))))

        def masks(result):
            return [(mask.box, mask.mask.tobytes()) for mask in (result.mask, *result.candidates)]

        first = masks(ask(0))
        assert len(first) > 1
        courses = set()
        for number in range(len(first)):
            chosen = masks(ask(number))
            assert chosen[0] == first[number]
            assert chosen[1:] == first[:number] + first[number + 1 :]
            step = replace(click(1, 2), candidate=number)
            item = ObjectPrompts(1, (FramePrompts(2, (step,)),))
            courses.add(repr(course(segmenter.propagate(question(item)))))
        assert len(courses) == len(set(first))

    @pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
    def test_an_answer_does_not_depend_on_what_was_asked_before(self, segmenter, steps):
        request = PromptRequest(1, 1, FramePrompts(2, steps))
        alone = parts(self.make(ArrayFrames(VIDEO)).prompt(request).mask)
        list(segmenter.propagate(question(said(2, 4))))
        segmenter.prompt(PromptRequest(1, 1, FramePrompts(2, (click(2, 2),))))
        assert parts(segmenter.prompt(request).mask) == alone
        assert parts(segmenter.prompt(request).mask) == alone

    def test_a_request_is_seen_through_the_mapping_that_it_names(self, segmenter):
        own = PromptRequest(1, 1, FramePrompts(2, (click(1, 2),)))
        dark = replace(own, mapping=IntensityMapping(0.0, 1.0))  # everything is white
        answers = [parts(segmenter.prompt(request).mask) for request in (own, dark, own, dark)]
        assert answers[0] == answers[2] != answers[1] == answers[3]
        asked = question(said(1, 2))
        whole, other = (
            course(segmenter.propagate(item))
            for item in (asked, replace(asked, mapping=dark.mapping))
        )
        assert whole != other
        run = segmenter.propagate(asked)
        results = [next(run)]
        segmenter.prompt(dark)
        assert course([*results, *run]) == whole

    def test_preparing_changes_no_answer(self, segmenter):
        prompts = FramePrompts(2, (click(1, 2),))
        alone = parts(segmenter.prompt(PromptRequest(1, 1, prompts)).mask)
        prepared = self.make(ArrayFrames(VIDEO))
        for frame in (2, 3, 2, 0):
            assert prepared.prepare(frame)
        assert prepared.prepare(1, (4, 4, 9, 9), may_forget=True)
        assert parts(prepared.prompt(PromptRequest(1, 1, prompts)).mask) == alone
        whole, again = question(said(1, 2)), question(said(1, 2))
        assert course(prepared.propagate(whole)) == course(segmenter.propagate(again))

    def test_a_persons_mask_is_answered_as_it_is(self, segmenter):
        painted = np.random.default_rng(0).random((SIDE, SIDE)) > 0.6
        step = PromptStep(mask=PackedMask.from_array(painted))
        mask = segmenter.prompt(PromptRequest(1, 1, FramePrompts(2, (step,)))).mask
        np.testing.assert_array_equal(mask.to_array((SIDE, SIDE)), painted)

    # Propagation

    @pytest.mark.parametrize("request_", QUESTIONS.values(), ids=QUESTIONS)
    def test_results_come_as_planned_and_hold_every_object_of_their_sweep(
        self, segmenter, request_
    ):
        results = list(segmenter.propagate(request_))
        planned = plan_of(request_)
        assert [(r.frame, [m.object_id for m in r.objects]) for r in results] == [
            (item.frame, [track.object_id for track in item.tracks]) for item in planned
        ]
        assert [r.resume.done for r in results] == list(range(1, len(planned) + 1))
        assert {r.total for r in results} <= {len(planned)}
        for result in results:
            for mask in result.objects:
                self.check_mask(mask)

    def test_conditioning_frames_are_not_given(self, segmenter):
        results = segmenter.propagate(question(said(1, 1, 6), said(2, 6)))
        given = {(mask.object_id, r.frame) for r in results for mask in r.objects}
        assert given.isdisjoint({(1, 1), (1, 6), (2, 6)})
        assert len(given) == 2 * NUM_FRAMES - 3

    def test_one_frame_gives_nothing(self):
        segmenter = self.make(ArrayFrames(VIDEO[:1]))
        assert list(segmenter.propagate(question(said(1, 0), stop=1))) == []

    def test_frames_between_two_prompts_come_from_the_nearer_one(self, segmenter):
        both = {r.frame: r for r in segmenter.propagate(question(said(1, 1, 6)))}
        forward = {
            r.frame: r for r in segmenter.propagate(question(said(1, 1, 6), direction="forward"))
        }
        backward = {
            r.frame: r for r in segmenter.propagate(question(said(1, 1, 6), direction="backward"))
        }
        for t in (2, 3, 7):
            assert parts(both[t].objects[0]) == parts(forward[t].objects[0])
        for t in (0, 4, 5):
            assert parts(both[t].objects[0]) == parts(backward[t].objects[0])

    def test_what_was_said_beyond_a_lock_does_not_matter(self, segmenter):
        def between(*frames):
            asked = replace(said(1, *frames), locked=frozenset({2, 5}))
            return {
                r.frame: [parts(mask) for mask in r.objects]
                for r in segmenter.propagate(question(asked))
            }

        short, long = between(2, 5), between(0, 2, 5, 7)
        assert {t: long[t] for t in (3, 4)} == {t: short[t] for t in (3, 4)}
        assert long[1] != short[1]
        assert long[6] != short[6]

    @pytest.mark.parametrize("request_", QUESTIONS.values(), ids=QUESTIONS)
    def test_a_propagation_does_not_depend_on_what_was_asked_before(self, segmenter, request_):
        alone = course(self.make(ArrayFrames(VIDEO)).propagate(request_))
        segmenter.prompt(PromptRequest(1, 1, FramePrompts(2, (click(2, 2),))))
        for earlier in QUESTIONS.values():
            next(segmenter.propagate(earlier), None)
        assert course(segmenter.propagate(request_)) == alone

    def test_an_object_is_tracked_alike_alone_and_in_company(self, segmenter):
        def of_object(results, object_id):
            return {
                r.frame: parts(mask)
                for r in results
                for mask in r.objects
                if mask.object_id == object_id
            }

        together = list(segmenter.propagate(question(said(1, 2), said(2, 5))))
        assert of_object(together, 1) == of_object(segmenter.propagate(question(said(1, 2))), 1)
        assert of_object(together, 2) == of_object(segmenter.propagate(question(said(2, 5))), 2)

    def test_the_order_of_the_objects_does_not_matter(self, segmenter):
        one = course(segmenter.propagate(question(said(1, 1, 6), said(2, 5))))
        other = course(segmenter.propagate(question(said(2, 5), said(1, 1, 6))))
        assert one == other

    @pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
    def test_every_kind_of_prompt_can_be_carried_on(self, segmenter, steps):
        prompts = ObjectPrompts(1, (FramePrompts(2, steps),))
        results = list(segmenter.propagate(question(prompts)))
        assert len(results) == NUM_FRAMES - 1

    def test_all_that_was_said_matters(self, segmenter):
        plain, refined = (
            ObjectPrompts(1, (FramePrompts(2, (click(1, 2),), refines),))
            for refines in (None, PackedMask.from_array(TRUTH[2] == 2))
        )
        more = ObjectPrompts(1, (FramePrompts(2, STEPS["two clicks"]),))
        later = said(1, 2, 7)
        seen = {
            repr(course(segmenter.propagate(question(item))))
            for item in (plain, refined, more, later)
        }
        assert len(seen) == 4

    # Interruptions

    @pytest.mark.parametrize("stop", range(1, 10))
    def test_resuming_continues_bit_for_bit(self, segmenter, stop):
        request = question(said(1, 1, 6), said(2, 5))
        whole = course(segmenter.propagate(request))
        assert len(whole) == 10
        head = []
        for result in segmenter.propagate(request):
            head.append(result)
            if len(head) == stop:
                break
        for other in (segmenter, self.make(ArrayFrames(VIDEO))):
            tail = other.propagate(request, head[-1].resume)
            assert course(head) + course(tail) == whole

    def test_a_cancellation_ends_the_iteration_and_resuming_continues_bit_for_bit(self, segmenter):
        request = question(said(1, 1, 6), said(2, 5))
        whole = course(segmenter.propagate(request))
        cancellation, head = Cancellation(), []
        for result in segmenter.propagate(request, None, cancellation):
            head.append(result)
            if len(head) == 3:
                cancellation.ask()
        assert len(head) == 3
        assert course(head) + course(segmenter.propagate(request, head[-1].resume)) == whole
        assert list(segmenter.propagate(request, None, cancellation)) == []

    def test_a_resume_point_stays_good_while_others_go_on(self, segmenter):
        request = question(said(1, 1, 6), said(2, 5))
        results = list(segmenter.propagate(request))
        for first, second in pairwise(results):
            assert course([next(segmenter.propagate(request, first.resume))]) == course([second])

    def test_two_propagations_may_be_under_way_at_once(self, segmenter):
        requests = QUESTIONS["two objects"], QUESTIONS["two conditioning frames"]
        expected = [course(segmenter.propagate(request)) for request in requests]
        first, second = (segmenter.propagate(request) for request in requests)
        woven = [list(pair) for pair in zip(first, second, strict=False)]
        for number, results in enumerate(zip(*woven, strict=True)):
            assert course(results) == expected[number][: len(woven)]

    def test_after_a_frame_that_could_not_be_read_all_works_again(self):
        class Flaky(ArrayFrames):
            is_broken = False

            def read(self, t):
                if self.is_broken and t == 4:
                    raise FrameReadError("frame 4 could not be read")
                return super().read(t)

        frames = Flaky(VIDEO)
        request = question(said(1, 2))
        whole = course(self.make(ArrayFrames(VIDEO)).propagate(request))
        segmenter, head = self.make(frames), list[FrameResult]()  # extend keeps what came before
        frames.is_broken = True
        with pytest.raises(FrameReadError):
            head.extend(segmenter.propagate(request))
        frames.is_broken = False
        assert [result.frame for result in head] == [3]
        assert course(head) + course(segmenter.propagate(request, head[-1].resume)) == whole

    # Help

    def check_mask(self, mask):
        """Check that a mask is well formed."""
        assert mask.mask.dtype == bool
        assert mask.strength.dtype == np.uint8
        assert mask.mask.shape == mask.strength.shape
        np.testing.assert_array_equal(mask.strength > 0, mask.mask)
        whole = mask.to_array((SIDE, SIDE))
        assert bounding_box(whole) == mask.box
        assert (mask.box == EMPTY_BOX) == (not whole.any())
        assert np.isfinite(mask.object_score)
        assert 0 <= mask.iou <= 1
