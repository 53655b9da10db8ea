"""Sam2Segmenter: SAM 2 as a pure function of frames, mapping, options and prompts (DESIGN: `NATIVE`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from napari_sam2.core.cancellation import Cancellation
from napari_sam2.core.embedding_store import EmbeddingStore
from napari_sam2.core.errors import OptionError
from napari_sam2.core.frames import FrameSource
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.masks import EMPTY_BOX, Box, ObjectMask, PackedMask
from napari_sam2.core.messages import (
    FrameResult,
    PromptRequest,
    PromptResult,
    PropagationRequest,
    ResumePoint,
)
from napari_sam2.core.options import NATIVE, InferenceOptions
from napari_sam2.core.plan import PlannedFrame, Track, plan_of
from napari_sam2.core.prompts import ObjectPrompts
from napari_sam2.core.views import View
from napari_sam2.inference.attending import Attender
from napari_sam2.inference.conditioning import Answer, Conditioner, Memories
from napari_sam2.inference.device import DevicePolicy
from napari_sam2.inference.embeddings import DEFAULT_BUDGET
from napari_sam2.inference.encoder import FrameEncoder
from napari_sam2.inference.focus import SEARCHED, Focus, Trail, centre_of
from napari_sam2.inference.kept import KeptEmbeddings
from napari_sam2.inference.memory import MemoryEntry, select
from napari_sam2.inference.memory_ladder import MemoryLadder
from napari_sam2.inference.passes import Conditioned, Found, Pass, Slot
from napari_sam2.inference.postprocess import fill_holes
from napari_sam2.inference.quality import economy_of, is_large, limited, scaled
from napari_sam2.inference.read_ahead import ReadAhead
from napari_sam2.inference.soundness import soundly
from napari_sam2.inference.step import StepOutput, absent, decode, remember
from napari_sam2.inference.stopping import StoppedError, stoppable
from napari_sam2.inference.transforms import to_object_logits
from napari_sam2.model.sam2 import ImageFeatures, Sam2

PERSON_STRENGTH = 255
"""A person's mask wins every pixel it claims."""


class Sam2Segmenter:
    """Implements `core.Segmenter` with a `Sam2`; lives on one thread.

    Parameters
    ----------
    network : Sam2
        Weights loaded; moved to the policy's device.
    frames : FrameSource
        The stack; read one frame at a time.
    mapping : IntensityMapping
        From the frames' dtype to [0, 1], the same for the whole stack; a request may name another one.
    options : InferenceOptions
        `NATIVE`, or with single switches changed.
    policy : DevicePolicy, optional
        Default: the best device there is.
    cache_bytes : int
        Budget for encoded frames.
    embeddings : EmbeddingStore, optional
        Where encoded frames are kept beyond this process.
    read_ahead : bool
        Read the next frame of a run on another thread while one is tracked.

    Raises
    ------
    OptionError
        If the options ask for the release's history-dependence: that is `ReferenceTracker`.
    """

    def __init__(
        self,
        network: Sam2,
        frames: FrameSource,
        mapping: IntensityMapping,
        options: InferenceOptions = NATIVE,
        policy: DevicePolicy | None = None,
        cache_bytes: int = DEFAULT_BUDGET,
        embeddings: EmbeddingStore | None = None,
        read_ahead: bool = True,
    ) -> None:
        _check_options(options)
        self._policy = policy or DevicePolicy.choose(
            "auto", options.precision, is_large=is_large(network)
        )
        device = self._policy.compute
        self._economy = economy_of(options.quality, network, device)
        self._network = scaled(network.to(device).eval(), self._economy.scale)
        self._kept = (
            None if embeddings is None else KeptEmbeddings(embeddings, self._network, self._policy)
        )
        limit = limited(options.max_conditioning_frames, self._economy)
        self._options = replace(options, max_conditioning_frames=limit)
        self._frames = ReadAhead(frames, is_on=read_ahead)
        self._attender = Attender(self._network, self._policy.shortcuts)
        self._ladder = MemoryLadder(device, options.slots_per_step, self._drop_caches)
        config = self._network.config
        self._focus = Focus(frames.shape, config.image_size, config.stride, options.focus)
        self.mapping, self._cache_bytes = mapping, cache_bytes
        self._take_up(mapping)

    def _look_through(self, mapping: IntensityMapping | None) -> None:
        """See the frames through `mapping`, None for the one that was given; what another one showed is forgotten."""
        wanted = self.mapping if mapping is None else mapping
        if self._encoder.mapping != wanted:
            self._take_up(wanted)

    def _take_up(self, mapping: IntensityMapping) -> None:
        device, network = self._policy.compute, self._network
        self._encoder = FrameEncoder(
            network, self._frames, mapping, device, self._cache_bytes, self._kept
        )
        self._conditioner = Conditioner(network, self._encoder, self._focus, self._options, device)

    def _drop_caches(self) -> None:
        """Forget what can be computed again, and keep half as much from now on."""
        self._cache_bytes //= 2
        self._attender = Attender(self._network, self._policy.shortcuts)
        self._take_up(self._encoder.mapping)

    def prompt(self, request: PromptRequest) -> PromptResult:
        """Return the mask of one object on its prompted frame, and the candidates not chosen."""
        with torch.inference_mode(), self._policy.autocast():
            self._look_through(request.mapping)
            doing = f"answering a prompt on frame {request.prompts.frame}"
            return self._ladder.climb(doing, partial(self._answer, request))

    def _answer(self, request: PromptRequest) -> PromptResult:
        answer = self._conditioner.answer(request.prompts)
        mask = self._answered(request.object_id, answer)
        candidates = self._candidates(request.object_id, answer)
        return PromptResult(request.generation, request.prompts.frame, mask, candidates)

    def propagate(
        self,
        request: PropagationRequest,
        resume: ResumePoint | None = None,
        cancellation: Cancellation | None = None,
    ) -> Iterator[FrameResult]:
        """Track all objects of the request through the planned frames, or through the rest of them."""
        plan = plan_of(request)
        conditioning = {item.object_id: item for item in request.objects}
        self._look_through(request.mapping)
        self._conditioner.reserve(request.objects)
        done = resume.done if resume else 0
        passes: dict[ObjectId, Pass] = dict(resume.state) if resume else {}  # type: ignore[call-overload]
        with self._frames.run():
            for number, planned in enumerate(plan[done:], start=done + 1):
                if number < len(plan):
                    self._frames.expect(planned.frame, plan[number].frame)
                # The context is left at every yield: the caller's own torch code runs in between.
                try:
                    # Clicks that came in between may have looked through another mapping.
                    self._look_through(request.mapping)
                    with self._working(cancellation):
                        step = partial(self._step, planned, conditioning, passes)
                        masks = self._ladder.climb(f"tracking frame {planned.frame}", step)
                except StoppedError:
                    return
                state = ResumePoint(number, dict(passes))
                yield FrameResult(planned.frame, masks, len(plan), state)

    @contextmanager
    def _working(self, cancellation: Cancellation | None) -> Iterator[None]:
        with (
            torch.inference_mode(),
            self._policy.autocast(),
            stoppable(self._network, cancellation),
        ):
            yield

    def prepare(
        self, frame: FrameIndex, box: Box | None = None, *, may_forget: bool = False
    ) -> bool:
        """Encode the whole frame, and the window of an object that fills `box`."""
        views = dict.fromkeys(
            (self._focus.whole, *(() if box is None else (self._window_of(box),)))
        )
        with self._working(None):
            return all(self._encoder.prepare(frame, view, may_forget=may_forget) for view in views)

    def _window_of(self, box: Box) -> View:
        return self._focus.whole if box == EMPTY_BOX else self._focus.window_for(box)

    def _answered(self, object_id: ObjectId, answer: Answer) -> ObjectMask:
        if answer.mask is not None:
            return person_mask(object_id, answer.mask)
        output = answer.output
        return self._to_mask(object_id, output.logits, answer.view, output.object_score, output.iou)

    def _candidates(self, object_id: ObjectId, answer: Answer) -> tuple[ObjectMask, ...]:
        output = answer.output
        candidates, iou, order = output.candidates, output.candidate_iou, output.order
        if answer.mask is not None or candidates is None or iou is None or order is None:
            return ()
        return tuple(
            self._to_mask(
                object_id,
                fill_holes(candidates[:, k : k + 1], self._options.fill_holes),
                answer.view,
                output.object_score,
                iou[0, k],
            )
            for k in order[0, 1:].tolist()
        )

    def _step(
        self,
        planned: PlannedFrame,
        conditioning: Mapping[ObjectId, ObjectPrompts],
        passes: dict[ObjectId, Pass],
    ) -> tuple[ObjectMask, ...]:
        """Track all objects of one planned frame; `passes` is brought up to date, or left alone by an error."""
        slots, moved = [], dict(passes)
        for track in planned.tracks:
            prompts = conditioning[track.object_id].around(planned.frame)
            current = moved.get(track.object_id)
            if current is None or not current.is_of(track, planned.is_reverse):
                current = self._new_pass(track, planned.is_reverse, prompts)
            moved[track.object_id] = current
            slots.append(self._slot(planned, prompts, current))
        masks = {}
        for found in self._look(planned.frame, slots, moved):
            object_id = found.slot.object_id
            moved[object_id] = self._remembered(planned.frame, found, moved[object_id])
            masks[object_id] = found.mask
        passes.update(moved)
        return tuple(masks[track.object_id] for track in planned.tracks)

    def _remembered(self, frame: FrameIndex, found: Found, current: Pass) -> Pass:
        output, view = found.output, found.slot.view
        if output is None:
            return current.past_noise()
        spatial = soundly(
            self._encoder,
            f"remembering frame {frame}",
            lambda encoder: remember(
                self._network, encoder.embed(frame, view), output, self._options, is_prompted=False
            ),
        )
        if spatial is None:
            return current.past_noise()
        entry = MemoryEntry(spatial.clone(), output.pointer.clone())
        stride = self._options.memory_stride
        return current.after(frame, entry, found.mask.box, stride, found.last)

    def _new_pass(self, track: Track, is_reverse: bool, prompts: ObjectPrompts) -> Pass:
        """Begin a pass where the object is on its conditioning frame."""
        start = next(item for item in prompts.frames if item.frame == track.anchor)
        box = self._conditioner.answer(start).box
        trail = Trail((centre_of(self._focus.whole.box),), lost=1)
        return Pass(track.anchor, is_reverse, trail if box == EMPTY_BOX else Trail().seen(box))

    def _slot(self, planned: PlannedFrame, prompts: ObjectPrompts, current: Pass) -> Slot:
        side = self._conditioner.side(prompts)
        selection = select(
            planned.frame,
            Memories(self._conditioner, prompts, side),
            current.recent,
            num_frames=self._pointer_span,
            is_reverse=planned.is_reverse,
            max_conditioning=self._options.max_conditioning_frames,
            stride=self._options.memory_stride,
            num_recent=self._economy.num_recent,
        )
        limit = 0.0 if side is None else side / 4
        view = self._focus.window(current.trail.expected(limit), side)
        return Slot(prompts.object_id, side, view, selection, current.last)

    @property
    def _pointer_span(self) -> int:
        return max(len(self._frames), self._options.min_pointer_span)

    def _look(
        self, frame: FrameIndex, slots: Sequence[Slot], passes: Mapping[ObjectId, Pass]
    ) -> list[Found]:
        """Track every object; move the window of one that it cuts, and search around for one that is lost."""
        return [
            self._recentred(frame, found)
            if found.is_visible
            else self._searched(frame, found, passes[found.slot.object_id].trail.lost + 1)
            for found in self._track(frame, slots)
        ]

    def _recentred(self, frame: FrameIndex, found: Found) -> Found:
        slot, box = found.slot, found.mask.box
        if slot.side is None or not self._focus.is_cut(box, slot.view):
            return found
        view = self._focus.window(centre_of(box), slot.side)
        if view == slot.view:
            return found
        (again,) = self._track(frame, [replace(slot, view=view)])
        return again if again.is_visible else found

    def _searched(self, frame: FrameIndex, missed: Found, lost: int) -> Found:
        if lost not in SEARCHED or missed.output is None:
            return missed
        views = self._focus.around(missed.slot.view, missed.slot.side)
        others = self._track(frame, [replace(missed.slot, view=view) for view in views])
        visible = [found for found in others if found.is_visible]
        if not visible:
            return missed
        return self._recentred(frame, max(visible, key=lambda found: found.mask.object_score))

    def _track(self, frame: FrameIndex, slots: Sequence[Slot]) -> list[Found]:
        """Look for every object in its view of the frame; slots of one view and one layout go together."""
        groups: dict[object, list[Slot]] = defaultdict(list)
        for slot in slots:
            groups[slot.view, slot.selection.layout].append(slot)
        size = self._ladder.slots
        return [
            found
            for group in groups.values()
            for first in range(0, len(group), size)
            for found in self._track_batch(frame, group[first : first + size])
        ]

    def _track_batch(self, frame: FrameIndex, slots: Sequence[Slot]) -> Iterator[Found]:
        """Track slots of one view and one layout at once; if their numbers are noise, each for itself."""
        view = slots[0].view
        lasts: list[Conditioned] = []

        def decoded(encoder: FrameEncoder) -> StepOutput:
            features = encoder.embed(frame, view)
            lasts[:] = self._conditioned(features, slots)
            conditioned = torch.cat([last.conditioned for last in lasts])
            return decode(self._network, features, conditioned, self._options)

        output = soundly(self._encoder, f"tracking frame {frame}", decoded)
        if output is None:
            yield from self._track_noise(frame, slots)
            return
        if self._encoder.is_blank(frame, view):
            output = absent(self._network, output)
        for number, slot in enumerate(slots):
            row = output.row(number)
            logits = fill_holes(row.logits, self._options.fill_holes)
            mask = self._to_mask(slot.object_id, logits, view, row.object_score, row.iou)
            yield Found(slot, row, mask, lasts[number] if self._options.skip_below else None)

    def _track_noise(self, frame: FrameIndex, slots: Sequence[Slot]) -> Iterator[Found]:
        """Track slots one by one: what is wrong with one of them is not to cost the others their masks."""
        if len(slots) == 1:
            yield Found(slots[0], None, ObjectMask.unanswered(slots[0].object_id))
            return
        for slot in slots:
            yield from self._track_batch(frame, [slot])

    def _conditioned(self, features: ImageFeatures, slots: Sequence[Slot]) -> list[Conditioned]:
        """Condition the frame for every slot, or take over what was conditioned on one that hardly differed."""
        view, stride16 = slots[0].view, features.stride16
        lasts = [slot.last for slot in slots if slot.last is not None]
        limit = self._options.skip_below
        if len(lasts) == len(slots) and all(last.is_like(view, stride16, limit) for last in lasts):
            return lasts
        selections = [slot.selection for slot in slots]
        conditioned = self._attender.condition(features, selections, self._pointer_span)
        return [Conditioned(view, stride16, row[None]) for row in conditioned]

    def _to_mask(
        self, object_id: ObjectId, logits: Tensor, view: View, object_score: Tensor, iou: Tensor
    ) -> ObjectMask:
        """Bring logits (1, 1, 4h, 4w) that show `view` to the frame."""
        pixels, corner = to_object_logits(logits, view)
        window = None if view == self._focus.whole else view.box
        score, quality, shown = float(object_score), float(iou), pixels.cpu().numpy()
        return ObjectMask.from_logits(object_id, shown, score, quality, window, corner)


def person_mask(object_id: ObjectId, mask: PackedMask) -> ObjectMask:
    """Return a person's mask as it was painted, to the pixel."""
    crop = mask.crop()
    strength = np.where(crop, np.uint8(PERSON_STRENGTH), np.uint8(0))
    score = 10.0 if crop.any() else -10.0
    return ObjectMask(object_id, mask.box, crop, score, 1.0, strength)


def _check_options(options: InferenceOptions) -> None:
    has_release_switch = (
        options.history_dependent
        or not options.corrections_condition
        or options.clicks_use_memory
        or options.non_overlapping
    )
    if has_release_switch:
        raise OptionError(
            "these options change what only the official release's way of tracking does",
            remedy="use napari_sam2.inference.reference.ReferenceTracker for them",
        )
