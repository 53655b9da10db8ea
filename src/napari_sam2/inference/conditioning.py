"""What was said about an object on one frame becomes an answer and a memory: a fold over the prompt steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_sam2.core.geometry import box_to_model, frame_to_model
from napari_sam2.core.masks import PackedMask
from napari_sam2.core.options import InferenceOptions
from napari_sam2.core.prompts import FramePrompts, PromptStep
from napari_sam2.core.views import View
from napari_sam2.inference.embeddings import BoundedCache
from napari_sam2.inference.memory import MemoryEntry
from napari_sam2.inference.postprocess import fill_holes
from napari_sam2.inference.step import ModelPoints, StepOutput, adopt_mask, decode, remember
from napari_sam2.inference.transforms import to_model_mask
from napari_sam2.model.prompt_encoder import BOTTOM_RIGHT, TOP_LEFT
from napari_sam2.model.sam2 import ImageFeatures, Sam2

NUM_ANSWERS = 256
"""Answers kept, so that a further click costs one decoder call and a further run none."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The network's answer to all steps so far; `mask`: a person's own mask, where the last step gave one."""

    output: StepOutput
    mask: PackedMask | None = None


class Conditioner:
    """Answers `FramePrompts` and remembers them. A pure function of the value; caches only save time.

    Parameters
    ----------
    network : Sam2
        In evaluation mode.
    embed : callable
        Frame index -> ImageFeatures, batch 1.
    view : View
        The window of the frame that the model sees.
    options : InferenceOptions
        Switches.
    device : torch.device
        Where the network is.
    """

    def __init__(
        self,
        network: Sam2,
        embed: Callable[[int], ImageFeatures],
        view: View,
        options: InferenceOptions,
        device: torch.device,
    ) -> None:
        self._network, self._embed, self._view = network, embed, view
        self._options, self._device = options, device
        self._answers: BoundedCache[Answer] = BoundedCache(NUM_ANSWERS)
        self._memories: BoundedCache[MemoryEntry] = BoundedCache(NUM_ANSWERS)

    def answer(self, prompts: FramePrompts) -> Answer:
        """Decode the steps in order, from the longest part that was answered before."""
        count, answer = self._longest_known(prompts)
        for number in range(count, len(prompts.steps)):
            part = _first_steps(prompts, number + 1)
            answer = self._answers.put(part, self._extend(part, answer))
        assert answer is not None  # prompts have at least one step
        return answer

    def memory(self, prompts: FramePrompts) -> MemoryEntry:
        """Return the memory that the conditioning frame gives to other frames."""
        return self._memories.get_or_make(prompts, lambda: self._remember(prompts))

    def _longest_known(self, prompts: FramePrompts) -> tuple[int, Answer | None]:
        for count in range(len(prompts.steps), 0, -1):
            answer = self._answers.get(_first_steps(prompts, count))
            if answer is not None:
                return count, answer
        return 0, None

    def _extend(self, prompts: FramePrompts, earlier: Answer | None) -> Answer:
        """Answer the last step of `prompts`, refining the answer to those before it."""
        features = self._embed(prompts.frame)
        last = prompts.steps[-1]
        if last.mask is not None:
            mask = to_model_mask(
                self._cut(last.mask), self._network.config.image_size, self._device
            )
            return Answer(adopt_mask(self._network, features, mask), last.mask)
        previous = self._refined(prompts) if earlier is None else earlier.output.logits
        output = decode(
            self._network,
            features,
            self._network.without_memory(features.stride16),
            self._options,
            self._points(prompts.steps),
            previous,
        )
        return Answer(_filled(output, self._options.fill_holes))

    def _refined(self, prompts: FramePrompts) -> Tensor | None:
        """Return the mask that was shown at the first click as logits, if there was one."""
        if prompts.refines is None or not prompts.refines.area:
            return None
        mask = to_model_mask(
            self._cut(prompts.refines), self._network.config.image_size, self._device
        )
        return adopt_mask(self._network, self._embed(prompts.frame), mask).logits

    def _cut(self, mask: PackedMask) -> np.ndarray:
        return mask.to_array()[self._view.slices]

    def _points(self, steps: tuple[PromptStep, ...]) -> ModelPoints:
        """Gather the points since the last mask, the last box in front of them."""
        last_mask = max((i for i, step in enumerate(steps) if step.mask is not None), default=-1)
        said = steps[last_mask + 1 :]
        side = self._network.config.image_size
        xy: list[tuple[float, float]] = []
        labels: list[int] = []
        box = next((step.box for step in reversed(said) if step.box is not None), None)
        if box is not None:
            x0, y0, x1, y1 = box_to_model(box, self._view, side)
            xy += [(x0, y0), (x1, y1)]
            labels += [TOP_LEFT, BOTTOM_RIGHT]
        clicked = [point for step in said for point in step.points]
        xy += [(x, y) for x, y in frame_to_model(clicked, self._view, side).tolist()]
        labels += [int(positive) for step in said for positive in step.positives]
        points = torch.tensor([xy], dtype=torch.float32, device=self._device)
        return ModelPoints(points, torch.tensor([labels], device=self._device))

    def _remember(self, prompts: FramePrompts) -> MemoryEntry:
        output = self.answer(prompts).output
        features = self._embed(prompts.frame)
        spatial = remember(self._network, features, output, self._options, is_prompted=True)
        return MemoryEntry(spatial, output.pointer)


def _first_steps(prompts: FramePrompts, count: int) -> FramePrompts:
    return FramePrompts(prompts.frame, prompts.steps[:count], prompts.refines)


def _filled(output: StepOutput, max_area: int) -> StepOutput:
    return StepOutput(
        fill_holes(output.logits, max_area),
        output.iou,
        output.object_score,
        output.pointer,
        output.candidates,
        output.candidate_iou,
    )
