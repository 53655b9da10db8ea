"""Sam2Segmenter: SAM 2 as a pure function of frames, mapping, options and prompts (DESIGN: `NATIVE`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from napari_sam2.core.errors import OptionError
from napari_sam2.core.frames import FrameSource
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.masks import ObjectMask, PackedMask
from napari_sam2.core.messages import (
    FrameResult,
    PromptRequest,
    PromptResult,
    PropagationRequest,
    ResumePoint,
)
from napari_sam2.core.options import NATIVE, InferenceOptions
from napari_sam2.core.plan import PlannedFrame, Track, plan_of
from napari_sam2.core.views import View
from napari_sam2.inference.conditioning import Answer, Conditioner
from napari_sam2.inference.device import DevicePolicy
from napari_sam2.inference.embeddings import DEFAULT_BUDGET, BoundedCache, embedding_size
from napari_sam2.inference.memory import MemoryEntry, Selection, select, window_of
from napari_sam2.inference.postprocess import fill_holes
from napari_sam2.inference.step import StepOutput, condition, decode, remember
from napari_sam2.inference.transforms import to_frame_logits, to_model_input
from napari_sam2.model.sam2 import ImageFeatures, Sam2

PERSON_STRENGTH = 255
"""A person's mask wins every pixel it claims."""


class Pass:
    """Recent memories of one object on its way from one conditioning frame.

    Immutable: `after` gives the next one, so a resume point is a reference.
    """

    __slots__ = ("anchor", "is_reverse", "recent")

    def __init__(
        self, anchor: int, is_reverse: bool, recent: dict[int, MemoryEntry] | None = None
    ) -> None:
        self.anchor, self.is_reverse, self.recent = anchor, is_reverse, recent or {}

    def after(self, frame: int, entry: MemoryEntry, stride: int = 1) -> Pass:
        """Return the pass with one more frame remembered and the unreachable ones forgotten."""
        window = window_of({**self.recent, frame: entry}, frame, stride)
        return Pass(self.anchor, self.is_reverse, window)


class Sam2Segmenter:
    """Implements `core.Segmenter` with a `Sam2`; lives on one thread.

    Parameters
    ----------
    network : Sam2
        Weights loaded; moved to the policy's device.
    frames : FrameSource
        The stack; read one frame at a time.
    mapping : IntensityMapping
        From the frames' dtype to [0, 1], the same for the whole stack.
    options : InferenceOptions
        `NATIVE`, or with single switches changed.
    policy : DevicePolicy, optional
        Default: the best device there is.
    cache_bytes : int
        Budget for encoded frames.

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
    ) -> None:
        _check_options(options)
        self._policy = policy or DevicePolicy.choose()
        self._network = network.to(self._policy.compute).eval()
        self._frames, self._mapping, self._options = frames, mapping, options
        self._view = View.whole(frames.shape)
        self._embeddings: BoundedCache[ImageFeatures] = BoundedCache(cache_bytes, embedding_size)
        self._conditioner = Conditioner(
            self._network, self._embed, self._view, options, self._policy.compute
        )

    def prompt(self, request: PromptRequest) -> PromptResult:
        """Return the mask of one object on its prompted frame, and the candidates not chosen."""
        with torch.inference_mode(), self._policy.autocast():
            answer = self._conditioner.answer(request.prompts)
            mask = self._answered(request.object_id, answer)
            candidates = self._candidates(request.object_id, answer)
        return PromptResult(request.generation, request.prompts.frame, mask, candidates)

    def propagate(
        self, request: PropagationRequest, resume: ResumePoint | None = None
    ) -> Iterator[FrameResult]:
        """Track all objects of the request through the planned frames, or through the rest of them."""
        plan = plan_of(request)
        conditioning = {item.object_id: item for item in request.objects}
        done = resume.done if resume else 0
        passes: dict[ObjectId, Pass] = dict(resume.state) if resume else {}  # type: ignore[call-overload]
        for number, planned in enumerate(plan[done:], start=done + 1):
            # The context is left at every yield: the caller's own torch code runs in between.
            with torch.inference_mode(), self._policy.autocast():
                prompts = {
                    track.object_id: conditioning[track.object_id] for track in planned.tracks
                }
                memories = {
                    object_id: {p.frame: self._conditioner.memory(p) for p in item.frames}
                    for object_id, item in prompts.items()
                }
                masks = self._step(planned, memories, passes)
            state = ResumePoint(number, dict(passes))
            yield FrameResult(planned.frame, masks, len(plan), state)

    def _embed(self, t: int) -> ImageFeatures:
        return self._embeddings.get_or_make((t, self._view), lambda: self._encode(t))

    def _encode(self, t: int) -> ImageFeatures:
        frame = self._mapping.apply(self._frames.read(t))[self._view.slices]
        side = self._network.config.image_size
        return self._network.encode_image(to_model_input(frame, side, self._policy.compute))

    def _answered(self, object_id: ObjectId, answer: Answer) -> ObjectMask:
        if answer.mask is None:
            return self._to_mask(object_id, answer.output)
        return person_mask(object_id, answer.mask)

    def _candidates(self, object_id: ObjectId, answer: Answer) -> tuple[ObjectMask, ...]:
        output = answer.output
        if answer.mask is not None or output.candidates is None or output.candidate_iou is None:
            return ()
        order = output.candidate_iou[0].argsort(descending=True, stable=True)[1:].tolist()
        logits = to_frame_logits(output.candidates, self._frames.shape)[0].cpu().numpy()
        score = float(output.object_score)
        return tuple(
            ObjectMask.from_logits(object_id, logits[k], score, float(output.candidate_iou[0, k]))
            for k in order
        )

    def _step(
        self,
        planned: PlannedFrame,
        memories: dict[ObjectId, dict[FrameIndex, MemoryEntry]],
        passes: dict[ObjectId, Pass],
    ) -> tuple[ObjectMask, ...]:
        """Track all objects of one planned frame; `passes` is brought up to date."""
        features = self._embed(planned.frame)
        selections = {}
        for track in planned.tracks:
            current = _current_pass(passes.get(track.object_id), track, planned.is_reverse)
            passes[track.object_id] = current
            selections[track.object_id] = self._select(planned, memories[track.object_id], current)
        masks = {}
        for batch in _batches(selections, self._options.slots_per_step):
            output = self._track(features, [selections[object_id] for object_id in batch])
            spatial = remember(self._network, features, output, self._options, is_prompted=False)
            for slot, object_id in enumerate(batch):
                row = output.row(slot)
                entry = MemoryEntry(spatial[slot : slot + 1].clone(), row.pointer.clone())
                passes[object_id] = passes[object_id].after(
                    planned.frame, entry, self._options.memory_stride
                )
                masks[object_id] = self._to_mask(object_id, row)
        return tuple(masks[track.object_id] for track in planned.tracks)

    def _select(
        self, planned: PlannedFrame, memories: dict[FrameIndex, MemoryEntry], current: Pass
    ) -> Selection:
        return select(
            planned.frame,
            {int(t): entry for t, entry in memories.items()},
            current.recent,
            num_frames=self._pointer_span,
            is_reverse=planned.is_reverse,
            max_conditioning=self._options.max_conditioning_frames,
            stride=self._options.memory_stride,
        )

    @property
    def _pointer_span(self) -> int:
        return max(len(self._frames), self._options.min_pointer_span)

    def _track(self, features: ImageFeatures, selections: list[Selection]) -> StepOutput:
        conditioned = condition(self._network, features, selections, self._pointer_span)
        return decode(self._network, features, conditioned, self._options)

    def _to_mask(self, object_id: ObjectId, output: StepOutput) -> ObjectMask:
        logits: Tensor = fill_holes(output.logits, self._options.fill_holes)
        frame_logits = to_frame_logits(logits, self._frames.shape)[0, 0].cpu().numpy()
        return ObjectMask.from_logits(
            object_id, frame_logits, float(output.object_score), float(output.iou)
        )


def person_mask(object_id: ObjectId, mask: PackedMask) -> ObjectMask:
    """Return a person's mask as it was painted, to the pixel."""
    crop = mask.crop()
    strength = np.where(crop, np.uint8(PERSON_STRENGTH), np.uint8(0))
    score = 10.0 if crop.any() else -10.0
    return ObjectMask(object_id, mask.box, crop, score, 1.0, strength)


def _current_pass(earlier: Pass | None, track: Track, is_reverse: bool) -> Pass:
    if earlier and earlier.anchor == track.anchor and earlier.is_reverse == is_reverse:
        return earlier
    return Pass(track.anchor, is_reverse)


def _batches(selections: dict[ObjectId, Selection], size: int) -> list[list[ObjectId]]:
    """Group objects whose memories have one layout, at most `size` in a group."""
    groups: dict[object, list[ObjectId]] = defaultdict(list)
    for object_id, selection in selections.items():
        groups[selection.layout].append(object_id)
    return [
        group[first : first + size]
        for group in groups.values()
        for first in range(0, len(group), size)
    ]


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
