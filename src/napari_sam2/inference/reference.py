"""ReferenceTracker: the official release's video predictor, step by step, with its history-dependence.

For parity, and for those who need the release's answers. Users of `Session` get `Sam2Segmenter`, which is pure.
Behaviour that is surprising here is a fact of the release and is named where it happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from napari_sam2.core.errors import OptionError, PromptError, PropagationError
from napari_sam2.core.options import REFERENCE, InferenceOptions
from napari_sam2.core.views import View
from napari_sam2.inference.attending import Attender
from napari_sam2.inference.device import ALL_SHORTCUTS, Shortcuts
from napari_sam2.inference.memory import MemoryEntry, select
from napari_sam2.inference.postprocess import fill_holes
from napari_sam2.inference.step import (
    ABSENT_LOGIT,
    ModelPoints,
    StepOutput,
    adopt_mask,
    decode,
    remember,
)
from napari_sam2.inference.transforms import to_view_logits
from napari_sam2.model.prompt_encoder import BOTTOM_RIGHT, NOT_A_POINT, TOP_LEFT
from napari_sam2.model.sam2 import ImageFeatures, Sam2


@dataclass(frozen=True, slots=True, eq=False)
class _Output:
    """Result on one frame, and its memory once it is encoded."""

    step: StepOutput
    memory: MemoryEntry | None = None


@dataclass(slots=True)
class _Object:
    """All that is kept of one object; nothing is ever pruned here."""

    points: dict[int, ModelPoints] = field(default_factory=dict)
    conditioning: dict[int, _Output] = field(default_factory=dict)
    tracked: dict[int, _Output] = field(default_factory=dict)
    new_conditioning: dict[int, _Output] = field(default_factory=dict)
    new_tracked: dict[int, _Output] = field(default_factory=dict)
    directions: dict[int, bool] = field(default_factory=dict)

    def result(self, frame: int, is_conditioning: bool) -> _Output | None:
        """Return the newest result: what was just clicked (of the same kind), else what is stored."""
        fresh = self.new_conditioning if is_conditioning else self.new_tracked
        for store in (fresh, self.conditioning, self.tracked):
            if frame in store:
                return store[frame]
        return None


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceFrame:
    """One yielded frame. `logits`: (O, 1, Y, X), frame size; `object_scores`: (O,)."""

    frame: int
    logits: Tensor
    object_scores: Tensor


class ReferenceTracker:
    """Replay of the official predictor on frames that are already encoded on demand.

    Parameters
    ----------
    network : Sam2
        In evaluation mode.
    embed : callable
        Frame index -> ImageFeatures of that frame, batch 1.
    num_frames : int
        Length of the stack; it enters the time code of object pointers.
    frame_shape : tuple of int
        (Y, X) of the logits that are returned.
    options : InferenceOptions
        `REFERENCE`, or with single switches changed.
    shortcuts : Shortcuts
        Which operations are saved.

    Raises
    ------
    OptionError
        If `focus` is on: the release looks at whole frames.
    """

    def __init__(
        self,
        network: Sam2,
        embed: Callable[[int], ImageFeatures],
        num_frames: int,
        frame_shape: tuple[int, int],
        options: InferenceOptions = REFERENCE,
        shortcuts: Shortcuts = ALL_SHORTCUTS,
    ) -> None:
        if options.focus:
            raise OptionError(
                "the release's way of tracking looks at whole frames, but focus is on",
                remedy="switch focus off, or use Sam2Segmenter",
            )
        self._network, self._embed, self._options = network, embed, options
        self._attender = Attender(network, shortcuts)
        self._num_frames, self._frame_shape = num_frames, frame_shape
        self._objects: dict[int, _Object] = {}

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids in the order in which they were first prompted: the order of every answer."""
        return tuple(self._objects)

    @torch.inference_mode()
    def add_points(
        self, frame: int, object_id: int, points: ModelPoints, is_appended: bool = False
    ) -> Tensor:
        """Click; return the logits of all objects on the frame, (O, 1, Y, X).

        Parameters
        ----------
        frame, object_id : int
            Where and for whom.
        points : ModelPoints
            Model pixels, batch 1; the corners of a box first.
        is_appended : bool
            Behind the frame's earlier points instead of in their place. Earlier logits are re-fed in both cases.

        Raises
        ------
        PromptError
            If the frame does not exist or the points are malformed; the tracker is as it was before.
        """
        self._check_frame(frame)
        _check_points(points, is_appended)
        item = self._objects.get(object_id) or _Object()
        if is_appended and frame in item.points:
            old = item.points[frame]
            xy = torch.cat([old.xy, points.xy], dim=1)
            points = ModelPoints(xy, torch.cat([old.labels, points.labels], dim=1))
        is_conditioning = self._is_conditioning(item, frame)
        previous = item.result(frame, is_conditioning)
        features = self._embed(frame)
        step = decode(
            self._network,
            features,
            self._condition(item, frame, features, is_click=True),
            self._options,
            points,
            None if previous is None else previous.step.logits,
        )
        item.points[frame] = points
        return self._keep_click(object_id, item, frame, step, is_conditioning)

    @torch.inference_mode()
    def add_mask(self, frame: int, object_id: int, mask: Tensor) -> Tensor:
        """Give a mask (1, 1, S, S), 0 or 1; return the logits of all objects on the frame, (O, 1, Y, X).

        Raises
        ------
        PromptError
            If the frame does not exist or the mask has another shape; the tracker is as it was before.
        """
        self._check_frame(frame)
        side = self._network.config.image_size
        if tuple(mask.shape) != (1, 1, side, side):
            raise PromptError(
                f"mask must be (1, 1, {side}, {side}), got {tuple(mask.shape)}",
                remedy="give a mask of the model's side",
            )
        item = self._objects.get(object_id) or _Object()
        step = adopt_mask(self._network, self._embed(frame), mask)
        item.points.pop(frame, None)
        is_conditioning = self._is_conditioning(item, frame)
        return self._keep_click(object_id, item, frame, step, is_conditioning)

    def remove_object(self, object_id: int) -> None:
        """Forget an object and all its results."""
        self._objects.pop(object_id, None)

    @torch.inference_mode()
    def propagate(
        self, start: int | None = None, max_frames: int | None = None, is_reverse: bool = False
    ) -> Iterator[ReferenceFrame]:
        """Track all objects over all frames from `start`, conditioning frames excepted.

        Parameters
        ----------
        start : int, optional
            Default: the first conditioning frame of any object.
        max_frames : int, optional
            Frames after the first one.
        is_reverse : bool
            Towards frame 0; from frame 0 nothing is yielded.

        Raises
        ------
        PropagationError
            If nothing was prompted, or `start` does not exist.
        """
        self._settle()
        if not self._objects:
            raise PropagationError("there is no object to propagate", remedy="prompt one first")
        if start is None:
            start = min(t for item in self._objects.values() for t in item.conditioning)
        if not 0 <= start < self._num_frames:
            raise PropagationError(
                f"start {start} is outside 0 to {self._num_frames - 1}",
                remedy="begin within the stack",
            )
        for frame in self._order(start, max_frames, is_reverse):
            features = self._embed(frame)
            steps = [
                self._track(item, frame, features, is_reverse) for item in self._objects.values()
            ]
            logits = torch.cat([step.logits for step in steps])
            scores = torch.cat([step.object_score for step in steps])
            yield ReferenceFrame(frame, self._to_frame(logits), scores)

    def _check_frame(self, frame: int) -> None:
        if not 0 <= frame < self._num_frames:
            raise PromptError(
                f"frame {frame} is outside 0 to {self._num_frames - 1}",
                remedy="name a frame of the stack",
            )

    def _order(self, start: int, max_frames: int | None, is_reverse: bool) -> range:
        count = self._num_frames if max_frames is None else max_frames
        if not is_reverse:
            return range(start, min(start + count, self._num_frames - 1) + 1)
        return range(start, max(start - count, 0) - 1, -1) if start > 0 else range(0)

    def _is_conditioning(self, item: _Object, frame: int) -> bool:
        return frame not in item.directions or self._options.corrections_condition

    def _keep_click(
        self, object_id: int, item: _Object, frame: int, step: StepOutput, is_conditioning: bool
    ) -> Tensor:
        fresh = item.new_conditioning if is_conditioning else item.new_tracked
        # Filled before it is remembered, unlike what is tracked (fact of the release).
        fresh[frame] = _Output(self._filled(step))
        self._objects[object_id] = item
        return self._to_frame(self._collect(frame, is_conditioning))

    def _collect(self, frame: int, is_conditioning: bool) -> Tensor:
        side = self._network.config.mask_size
        device = next(self._network.parameters()).device
        absent = torch.full((1, 1, side, side), ABSENT_LOGIT, device=device)
        results = [item.result(frame, is_conditioning) for item in self._objects.values()]
        return torch.cat([absent if r is None else r.step.logits for r in results])

    def _settle(self) -> None:
        """Encode the memory of all clicks made since the last run, and store them."""
        for object_id, item in self._objects.items():
            for fresh, store in (
                (item.new_tracked, item.tracked),
                (item.new_conditioning, item.conditioning),
            ):
                for frame, output in fresh.items():
                    memory = self._remember(self._embed(frame), output.step, is_prompted=True)
                    store[frame] = replace(output, memory=memory)
                fresh.clear()
            if not item.conditioning:
                raise PropagationError(
                    f"object {object_id} has no prompt", remedy="prompt it first"
                )
            # A correction of a conditioning frame that does not condition is lost here (fact of the release).
            for frame in item.conditioning:
                item.tracked.pop(frame, None)

    def _track(
        self, item: _Object, frame: int, features: ImageFeatures, is_reverse: bool
    ) -> StepOutput:
        item_is_prompted = frame in item.conditioning
        if item_is_prompted:
            step = item.conditioning[frame].step
        else:
            conditioned = self._attend(item, frame, features, is_reverse)
            step = decode(self._network, features, conditioned, self._options)
            memory = self._remember(features, step, is_prompted=False)
            step = self._filled(step)
            item.tracked[frame] = _Output(step, memory)
        item.directions[frame] = is_reverse
        return step

    def _condition(
        self, item: _Object, frame: int, features: ImageFeatures, is_click: bool
    ) -> Tensor:
        is_first_look = frame not in item.directions
        if is_first_look or (is_click and not self._options.clicks_use_memory):
            return self._network.without_memory(features.stride16)
        return self._attend(item, frame, features, item.directions[frame])

    def _attend(
        self, item: _Object, frame: int, features: ImageFeatures, is_reverse: bool
    ) -> Tensor:
        selection = select(
            frame,
            _memories(item.conditioning),
            _memories(item.tracked),
            num_frames=self._num_frames,
            is_reverse=is_reverse,
            max_conditioning=self._options.max_conditioning_frames,
            stride=self._options.memory_stride,
        )
        span = max(self._num_frames, self._options.min_pointer_span)
        return self._attender.condition(features, [selection], span)

    def _remember(
        self, features: ImageFeatures, step: StepOutput, is_prompted: bool
    ) -> MemoryEntry:
        spatial = remember(self._network, features, step, self._options, is_prompted)
        return MemoryEntry(spatial, step.pointer)

    def _filled(self, step: StepOutput) -> StepOutput:
        return replace(step, logits=fill_holes(step.logits, self._options.fill_holes))

    def _to_frame(self, logits: Tensor) -> Tensor:
        logits = to_view_logits(logits, View.whole(self._frame_shape))
        return separate(logits) if self._options.non_overlapping else logits


def _check_points(points: ModelPoints, is_appended: bool) -> None:
    labels = points.labels
    if labels.ndim != 2 or labels.shape[0] != 1 or tuple(points.xy.shape) != (*labels.shape, 2):
        raise PromptError(
            f"points must be (1, N, 2) and labels (1, N), got {tuple(points.xy.shape)} and "
            f"{tuple(labels.shape)}",
            remedy="give one row of points and one of labels",
        )
    if not points.count:
        raise PromptError("a prompt needs a point or a box", remedy="add at least one")
    if labels.min() < NOT_A_POINT or labels.max() > BOTTOM_RIGHT:
        raise PromptError(
            f"labels must be 0 to 3, or -1 for padding, got {labels[0].tolist()}",
            remedy="give 1 for positive, 0 for negative",
        )
    if is_appended and (labels >= TOP_LEFT).any():
        raise PromptError(
            "a box replaces the frame's earlier points and cannot be appended",
            remedy="give the box first",
        )


def separate(logits: Tensor) -> Tensor:
    """Give every pixel to the object of highest logit: (O, 1, Y, X), the others at most -10."""
    winner = logits.argmax(dim=0, keepdim=True)
    ids = torch.arange(len(logits), device=logits.device).view(-1, 1, 1, 1)
    return torch.where(ids == winner, logits, logits.clamp(max=-10.0))


def _memories(outputs: dict[int, _Output]) -> dict[int, MemoryEntry]:
    return {t: output.memory for t, output in outputs.items() if output.memory is not None}
