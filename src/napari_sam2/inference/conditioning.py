"""What was said about an object on one frame becomes an answer and a memory: a fold over the prompt steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from napari_sam2.core.errors import InferenceError
from napari_sam2.core.geometry import PromptBox, box_to_model, frame_to_model
from napari_sam2.core.masks import EMPTY_BOX, Box, PackedMask, bounding_box, moved_box
from napari_sam2.core.options import InferenceOptions
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts, PromptStep
from napari_sam2.core.views import View
from napari_sam2.inference.embeddings import BoundedCache
from napari_sam2.inference.encoder import FrameEncoder
from napari_sam2.inference.focus import Focus, Side, box_of, centre_of, widened
from napari_sam2.inference.memory import NUM_RECENT_POINTERS, MemoryEntry
from napari_sam2.inference.postprocess import fill_holes
from napari_sam2.inference.soundness import soundly
from napari_sam2.inference.step import ModelPoints, StepOutput, adopt_mask, decode, remember
from napari_sam2.inference.transforms import to_model_mask, to_view_logits
from napari_sam2.model.mask_decoder import certainty
from napari_sam2.model.prompt_encoder import BOTTOM_RIGHT, TOP_LEFT
from napari_sam2.model.sam2 import Sam2

NUM_ANSWERS = 256
"""Answers kept, so that a further click costs one decoder call and a further run none."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The network's answer to all steps so far.

    `view`: what it looked at; `box`: what the object fills, frame pixels; `mask`: a person's own mask, where the last
    step gave one.
    """

    output: StepOutput
    view: View
    box: Box
    mask: PackedMask | None = None

    @property
    def is_visible(self) -> bool:
        """Whether anything belongs to the object."""
        return self.box != EMPTY_BOX

    @property
    def certainty(self) -> float:
        """Mean probability of the pixels of the mask."""
        return float(certainty(self.output.logits))


class Conditioner:
    """Answers `FramePrompts` and remembers them. A pure function of the value; caches only save time.

    Parameters
    ----------
    network : Sam2
        In evaluation mode.
    encoder : FrameEncoder
        Makes embeddings of views.
    focus : Focus
        Chooses the views.
    options : InferenceOptions
        Switches.
    device : torch.device
        Where the network is.
    """

    def __init__(
        self,
        network: Sam2,
        encoder: FrameEncoder,
        focus: Focus,
        options: InferenceOptions,
        device: torch.device,
    ) -> None:
        self._network, self._encoder, self._focus = network, encoder, focus
        self._options, self._device = options, device
        self._answers: BoundedCache[Answer] = BoundedCache(NUM_ANSWERS)
        self._memories: BoundedCache[MemoryEntry] = BoundedCache(NUM_ANSWERS)
        self._sides: BoundedCache[tuple[Side]] = BoundedCache(NUM_ANSWERS)

    def answer(self, prompts: FramePrompts) -> Answer:
        """Answer the steps in order, from the longest part that was answered before."""
        count, answer = self._longest_known(prompts)
        for number in range(count, len(prompts.steps)):
            part = _first_steps(prompts, number + 1)
            extended = self._chosen(part, self._extend(part, answer))
            answer = self._answers.put(part, extended)
        assert answer is not None  # prompts have at least one step
        return answer

    def side(self, prompts: ObjectPrompts) -> Side:
        """Return the side of the window in which a run follows the object: that of its largest answer."""
        known = self._sides.get(prompts.frames)
        if known is None:
            known = self._sides.put(prompts.frames, (self._largest_side(prompts),))
        return known[0]

    def reserve(self, objects: Sequence[ObjectPrompts]) -> None:
        """Make room for all memories that one frame of a run attends to: they would push each other out."""
        limit = self._options.max_conditioning_frames
        needed = (
            len(item.frames)
            if limit is None
            else min(len(item.frames), limit + NUM_RECENT_POINTERS)
            for item in objects
        )
        self._memories.reserve(sum(needed))
        self._sides.reserve(len(objects))

    def _largest_side(self, prompts: ObjectPrompts) -> Side:
        sides = [
            self._focus.side_for(answer.box)
            for answer in map(self.answer, prompts.frames)
            if answer.is_visible
        ]
        known = [side for side in sides if side is not None]
        return max(known) if known and len(known) == len(sides) else None

    def memory(self, prompts: FramePrompts, side: Side) -> MemoryEntry:
        """Return the memory that the conditioning frame gives to frames seen in windows of `side`."""
        return self._memories.get_or_make((prompts, side), lambda: self._remember(prompts, side))

    def _longest_known(self, prompts: FramePrompts) -> tuple[int, Answer | None]:
        for count in range(len(prompts.steps), 0, -1):
            answer = self._answers.get(_first_steps(prompts, count))
            if answer is not None:
                return count, answer
        return 0, None

    def _extend(self, prompts: FramePrompts, earlier: Answer | None) -> Answer:
        """Answer the last step of `prompts`, refining the answer to those before it."""
        last = prompts.steps[-1]
        if last.mask is not None:
            return self._adopt(prompts.frame, last.mask, self._focus.window_for(last.mask.box))
        if earlier is not None:
            return self._refine(prompts, earlier)
        said = _said(prompts.steps)
        if prompts.refines is not None and prompts.refines.area:
            view = self._focus.window_for(widened(prompts.refines.box, said.places))
            shown = self._adopt(prompts.frame, prompts.refines, view)
            return self._look(prompts, view, shown.output.logits)
        if said.box is not None:
            outline = said.box
            box = box_of([*said.places, (outline[0], outline[1]), (outline[2], outline[3])])
            return self._look(prompts, self._focus.window_for(box))
        return self._find(prompts, said)

    def _chosen(self, prompts: FramePrompts, answer: Answer) -> Answer:
        """Return the candidate that the last step means; it is remembered as if its mask had been painted."""
        output, number = answer.output, prompts.steps[-1].candidate
        candidates, iou, order = output.candidates, output.candidate_iou, output.order
        if not number or candidates is None or iou is None or order is None:
            return answer
        ranks = order[0].tolist()
        k = ranks.pop(min(number, len(ranks) - 1))
        logits = fill_holes(candidates[:, k : k + 1], self._options.fill_holes)
        chosen = replace(
            answer,
            output=replace(
                output, logits=logits, iou=iou[:, k], order=order.new_tensor([[k, *ranks]])
            ),
            box=visible_box(logits, answer.view),
        )
        mask = PackedMask.from_array(self._frame_mask(chosen))
        pointer = self._adopt(prompts.frame, mask, answer.view).output.pointer
        return replace(chosen, output=replace(chosen.output, pointer=pointer))

    def _refine(self, prompts: FramePrompts, earlier: Answer) -> Answer:
        """Answer with what was seen before, in the same window unless it no longer fits."""
        said = _said(prompts.steps)
        view = self._focus.window_for(widened(earlier.box, said.places))
        if said.lies_in(earlier.view) and not (
            earlier.is_visible and _is_far_in(view, earlier.view)
        ):
            return self._look(prompts, earlier.view, earlier.output.logits)
        if not earlier.is_visible:
            return self._look(prompts, view)
        mask = earlier.mask or PackedMask.from_array(self._frame_mask(earlier))
        return self._look(prompts, view, self._adopt(prompts.frame, mask, view).output.logits)

    def _find(self, prompts: FramePrompts, said: _Said) -> Answer:
        """Answer first clicks, which say nothing about the object's size: look, then look as its size asks for."""
        looks = [self._look(prompts, view) for view in self._focus.first_looks(said.places)]
        answer = max(looks, key=lambda look: (look.is_visible, look.certainty))
        answer = (
            self._look_wider(prompts, answer)
            if answer.is_visible
            else (self._look_closer(prompts, said, answer))
        )
        view = self._focus.window_for(widened(answer.box, said.places))
        if view == answer.view or not answer.is_visible:
            return answer
        fitting = self._look(prompts, view)
        return fitting if fitting.certainty >= answer.certainty else answer

    def _look_wider(self, prompts: FramePrompts, answer: Answer) -> Answer:
        """Look at more of the frame as long as the window cuts the object."""
        while self._focus.is_cut(answer.box, answer.view):
            answer = self._look(prompts, self._focus.wider(answer.view))
        return answer

    def _look_closer(self, prompts: FramePrompts, said: _Said, answer: Answer) -> Answer:
        """Look at less and less of the frame until something is seen."""
        for view in self._focus.closer_looks(said.places[0]):
            if not answer.is_visible and said.lies_in(view):
                answer = self._look(prompts, view)
        return answer

    def _look(self, prompts: FramePrompts, view: View, previous: Tensor | None = None) -> Answer:
        """Ask the network about the points and the box in `view`."""
        points = self._points(prompts, view)

        def decoded(encoder: FrameEncoder) -> StepOutput:
            features = encoder.embed(prompts.frame, view)
            bare = self._network.without_memory(features.stride16)
            return decode(self._network, features, bare, self._options, points, previous)

        output = soundly(self._encoder, f"answering on frame {prompts.frame}", decoded)
        if output is None:
            raise _noise(prompts.frame)
        output = _filled(output, self._options.fill_holes)
        return Answer(output, view, visible_box(output.logits, view))

    def _adopt(self, frame: int, mask: PackedMask, view: View) -> Answer:
        side = self._network.config.image_size
        features = self._encoder.embed(frame, view)
        shown = to_model_mask(mask.to_array()[view.slices], side, self._device)
        return Answer(adopt_mask(self._network, features, shown), view, mask.box, mask)

    def _frame_mask(self, answer: Answer) -> np.ndarray:
        frame = np.zeros(self._focus.shape, bool)
        frame[answer.view.slices] = (to_view_logits(answer.output.logits, answer.view) > 0)[
            0, 0
        ].cpu()
        return frame

    def _points(self, prompts: FramePrompts, view: View) -> ModelPoints:
        """Bring what was said to model pixels, the box in front of the points."""
        said = _said(prompts.steps)
        side = self._network.config.image_size
        xy: list[tuple[float, float]] = []
        labels: list[int] = []
        if said.box is not None:
            x0, y0, x1, y1 = box_to_model(said.box, view, side)
            xy += [(x0, y0), (x1, y1)]
            labels += [TOP_LEFT, BOTTOM_RIGHT]
        places, positives = said.places, said.positives
        anchor = _anchor(prompts, said) if self._options.anchor_clicks else None
        if anchor is not None and view.contains(*anchor):
            places, positives = [anchor, *places], [True, *positives]
        xy += [(x, y) for x, y in frame_to_model(places, view, side).tolist()]
        labels += [int(positive) for positive in positives]
        points = torch.tensor([xy], dtype=torch.float32, device=self._device)
        return ModelPoints(points, torch.tensor([labels], device=self._device))

    def _remember(self, prompts: FramePrompts, side: Side) -> MemoryEntry:
        answer = self.answer(prompts)
        view = self._focus.whole
        if side is not None and answer.is_visible:
            view = self._focus.window(centre_of(answer.box), side)
        output = answer.output
        if view != answer.view:
            mask = answer.mask or PackedMask.from_array(self._frame_mask(answer))
            shown = self._adopt(prompts.frame, mask, view).output
            output = replace(answer.output, logits=shown.logits)
        spatial = soundly(
            self._encoder,
            f"remembering frame {prompts.frame}",
            lambda encoder: remember(
                self._network,
                encoder.embed(prompts.frame, view),
                output,
                self._options,
                is_prompted=True,
            ),
        )
        if spatial is None:
            raise _noise(prompts.frame)
        return MemoryEntry(spatial, output.pointer)


class Memories(Mapping[int, MemoryEntry]):
    """The memories of an object's conditioning frames, in the order of its prompts, each made when it is looked at."""

    def __init__(self, conditioner: Conditioner, prompts: ObjectPrompts, side: Side) -> None:
        self._conditioner, self._side = conditioner, side
        self._frames = {int(item.frame): item for item in prompts.frames}

    def __getitem__(self, frame: int) -> MemoryEntry:
        return self._conditioner.memory(self._frames[frame], self._side)

    def __iter__(self) -> Iterator[int]:
        return iter(self._frames)

    def __len__(self) -> int:
        return len(self._frames)


def _noise(frame: int) -> InferenceError:
    return InferenceError(
        f"the model's answer on frame {frame} holds numbers that are not finite, in float32 too",
        kept="everything that was finished is kept",
        remedy="say it otherwise, on another frame, or choose another model",
    )


def _is_far_in(view: View, earlier: View) -> bool:
    """Say whether `view`, which fits the object, is less than half as wide as what was looked at."""
    return 2 * max(view.height, view.width) < max(earlier.height, earlier.width)


def visible_box(logits: Tensor, view: View) -> Box:
    """Return the box, frame pixels, of what is above 0 in logits (1, 1, 4h, 4w) that show `view`."""
    mask = (to_view_logits(logits, view)[0, 0] > 0).cpu().numpy()
    box = bounding_box(mask)
    return box if box == EMPTY_BOX else moved_box(box, (view.y0, view.x0))


@dataclass(frozen=True, slots=True)
class _Said:
    """Points and box since the last mask. `places`: (y, x), frame pixels; `positives`: one bool a place."""

    places: list[tuple[float, float]]
    positives: list[bool]
    box: PromptBox | None

    def lies_in(self, view: View) -> bool:
        """Say whether all places are shown by `view`."""
        return all(view.contains(y, x) for y, x in self.places)


def _said(steps: tuple[PromptStep, ...]) -> _Said:
    last_mask = max((i for i, step in enumerate(steps) if step.mask is not None), default=-1)
    since = steps[last_mask + 1 :]
    box = next((step.box for step in reversed(since) if step.box is not None), None)
    return _Said(
        [point for step in since for point in step.points],
        [positive for step in since for positive in step.positives],
        box,
    )


def _anchor(prompts: FramePrompts, said: _Said) -> tuple[float, float] | None:
    """Return the pixel (y, x) deepest in the mask that clicks refine, far from negative ones too; None without a mask.

    Networks learn to refine masks that began with a click inside. A lone click beside a mask is taken for all there
    is: a negative one then wipes out the rest of it.
    """
    last = next((step.mask for step in reversed(prompts.steps) if step.mask is not None), None)
    mask = prompts.refines if last is None else last
    if mask is None or not mask.area or said.box is not None:
        return None
    y0, x0, y1, x1 = mask.box
    inside = np.pad(mask.to_array()[y0:y1, x0:x1], 1)
    for (y, x), positive in zip(said.places, said.positives, strict=True):
        row, column = math.floor(y + 0.5) - y0 + 1, math.floor(x + 0.5) - x0 + 1
        if not positive and 0 <= row < inside.shape[0] and 0 <= column < inside.shape[1]:
            inside[row, column] = False
    if not inside.any():
        return None
    depth = ndimage.distance_transform_edt(inside)
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return float(row + y0 - 1), float(column + x0 - 1)


def _first_steps(prompts: FramePrompts, count: int) -> FramePrompts:
    return FramePrompts(prompts.frame, prompts.steps[:count], prompts.refines)


def _filled(output: StepOutput, max_area: int) -> StepOutput:
    return replace(output, logits=fill_holes(output.logits, max_area))
