"""Helpers for tests of this package and of others that build on it: a video, a fake model, contracts."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.core.cancellation import Cancellation
from napari_sam2.core.errors import InferenceError
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
from napari_sam2.core.plan import PlannedFrame, Track, plan_of
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts, PromptStep
from napari_sam2.core.views import View

if TYPE_CHECKING:
    from napari_sam2.model.sam2 import Sam2


def moving_discs(
    num_frames: int = 12, size: int = 64, num_objects: int = 2, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return a small video of bright discs that move left and right, each in its own lane.

    Parameters
    ----------
    num_frames, size, num_objects : int
        Length, side of the square frames in pixels, number of discs.
    seed : int
        The same seed gives the same pixels.

    Returns
    -------
    video : array of shape (T, Y, X), uint8
        Each disc has its own brightness; a little noise.
    labels : array of shape (T, Y, X), uint16
        1 to `num_objects`, 0 for background.
    """
    rng = np.random.default_rng(seed)
    lane = size / num_objects
    radius = max(1.5, min(0.35 * lane, size / 8))
    rows, columns = np.mgrid[:size, :size]
    video = rng.integers(10, 20, (num_frames, size, size)).astype(np.float64)
    labels = np.zeros((num_frames, size, size), np.uint16)
    reach = max(size - 1 - 2 * radius, 1.0)
    for number in range(num_objects):
        start, speed = rng.uniform(0, reach), rng.uniform(0.2, 0.5) * radius
        brightness = 80 + 160 * (number + 1) / num_objects - 80 / num_objects
        for t in range(num_frames):
            # A triangle wave: the disc turns round at the edges.
            x = radius + reach - abs((start + speed * t) % (2 * reach) - reach)
            disc = (rows - lane * (number + 0.5)) ** 2 + (columns - x) ** 2 <= radius**2
            labels[t][disc] = number + 1
            video[t][disc] += brightness - 15
    return np.clip(video, 0, 255).astype(np.uint8), labels


@dataclass(frozen=True, slots=True)
class _Pass:
    """Where the tracking of one object stands: what a real tracker keeps as its memory window."""

    track: Track
    is_reverse: bool
    mask: PackedMask
    brightness: float
    checksum: int
    is_lost: bool = False


class FakeSegmenter:
    """A `Segmenter` without a network: a click takes the connected region of similar brightness.

    A pure function of frames and request, like the real one, and quick (well under a millisecond on 64 x 64). On
    `moving_discs` it is right. Strengths depend on everything that was said about the object and on all frames that
    a pass went through, so a test sees when a prompt is forgotten or a resumed run starts from the wrong state.

    Parameters
    ----------
    frames : FrameSource
        The stack.
    raise_at : mapping of call number to exception, optional
        Calls are counted from 1: every answered prompt and every tracked frame is one.
    sleep_at : mapping of call number to seconds, optional
        Calls that take longer.
    delay : float
        Seconds that every call takes.
    window : int
        Side of the window around an object that masks say was looked at, pixels; 0 says the whole frame.
    room : int, optional
        So many frames can be prepared before others must be forgotten; any number by default.
    mapping : IntensityMapping, optional
        What frames are seen through where a request names none; by default they are seen as they are.

    Attributes
    ----------
    num_calls : int
        How many prompts were answered and frames tracked.
    prepared : list of int
        Frames in the order in which they were prepared.
    prepared_boxes : list
        What was said to be on them.
    """

    def __init__(
        self,
        frames: FrameSource,
        *,
        raise_at: Mapping[int, BaseException] | None = None,
        sleep_at: Mapping[int, float] | None = None,
        delay: float = 0.0,
        window: int = 0,
        room: int | None = None,
        mapping: IntensityMapping | None = None,
    ) -> None:
        self.frames, self.delay, self.window = frames, delay, window
        self.raise_at, self.sleep_at = dict(raise_at or {}), dict(sleep_at or {})
        self.num_calls, self.room = 0, room
        self.mapping = self._mapping = mapping
        self.prepared: list[FrameIndex] = []
        self.prepared_boxes: list[Box | None] = []

    def fail_next(self, error: BaseException | None = None, after: int = 0) -> None:
        """Let the next call raise, or the one that comes `after` it."""
        number = self.num_calls + 1 + after
        self.raise_at[number] = error or InferenceError(
            f"call {number} was told to fail", remedy="let it succeed the next time"
        )

    def prompt(self, request: PromptRequest) -> PromptResult:
        """Return the mask of one object on its prompted frame, and a larger one that was not chosen.

        Like the network, it has no other candidate for a box.
        """
        self._count_call()
        prompts, self._mapping = request.prompts, request.mapping or self.mapping
        last = replace(prompts.steps[-1], candidate=0)
        small = self._answer(replace(prompts, steps=(*prompts.steps[:-1], last)))
        masks = small, _grown(small)
        number = min(prompts.steps[-1].candidate, 1)
        strength = 1 + _checksum(prompts) % 12
        chosen = self._seen(_object_mask(request.object_id, masks[number], strength))
        other = _object_mask(request.object_id, masks[1 - number], 1)
        others = () if any(step.box is not None for step in prompts.steps) else (other,)
        return PromptResult(request.generation, prompts.frame, chosen, others)

    def propagate(
        self,
        request: PropagationRequest,
        resume: ResumePoint | None = None,
        cancellation: Cancellation | None = None,
    ) -> Iterator[FrameResult]:
        """Yield tracked frames: one sweep forward, then one backward."""
        plan = plan_of(request)
        done = 0 if resume is None else resume.done
        passes: dict[ObjectId, _Pass] = {} if resume is None else dict(resume.state)
        said = {item.object_id: item for item in request.objects}
        for number, planned in enumerate(plan[done:], start=done + 1):
            self._count_call()
            if cancellation is not None and cancellation.is_asked:
                return
            self._mapping = request.mapping or self.mapping
            masks = tuple(self._tracked(planned, said, passes))
            yield FrameResult(planned.frame, masks, len(plan), ResumePoint(number, dict(passes)))

    def _tracked(
        self,
        planned: PlannedFrame,
        said: Mapping[ObjectId, ObjectPrompts],
        passes: dict[ObjectId, _Pass],
    ) -> Iterator[ObjectMask]:
        image = self._image(planned.frame)
        for track in planned.tracks:
            prompts = said[track.object_id].around(planned.frame)
            now = self._pass(passes, track, planned.is_reverse, prompts)
            passes[track.object_id] = now = _step(now, image)
            shown = np.zeros_like(image, bool) if now.is_lost else now.mask.to_array()
            yield self._seen(_object_mask(track.object_id, shown, 1 + now.checksum % 12))

    def prepare(
        self, frame: FrameIndex, box: Box | None = None, *, may_forget: bool = False
    ) -> bool:
        """Read the frame, and note it, unless there is no room for another one."""
        if frame in self.prepared and not may_forget:
            return True
        if self.room is not None and len(set(self.prepared)) >= self.room and not may_forget:
            return False
        self.frames.read(frame)
        time.sleep(self.delay)
        self.prepared.append(frame)
        self.prepared_boxes.append(box)
        return True

    def _pass(
        self,
        passes: Mapping[ObjectId, _Pass],
        track: Track,
        is_reverse: bool,
        said: ObjectPrompts,
    ) -> _Pass:
        known = passes.get(track.object_id)
        if known is not None and (known.track, known.is_reverse) == (track, is_reverse):
            return known
        prompts = next(item for item in said.frames if item.frame == track.anchor)
        mask = self._answer(prompts)
        image = self._image(track.anchor)
        brightness = float(np.median(image[mask])) if mask.any() else 0.0
        packed = PackedMask.from_array(mask)
        # The order counts, as it does for the sums of a network.
        return _Pass(track, is_reverse, packed, brightness, _checksum(track, said.frames))

    def _answer(self, prompts: FramePrompts) -> np.ndarray:
        image = self._image(prompts.frame)
        empty = np.zeros(image.shape, bool)
        mask = empty if prompts.refines is None else prompts.refines.to_array()
        for step in prompts.steps:
            mask = _after_step(mask, image, step)
            mask = _grown(mask) if step.candidate else mask
        return mask

    def _seen(self, mask: ObjectMask) -> ObjectMask:
        if not self.window or mask.box == EMPTY_BOX:
            return mask
        return replace(mask, view=View.around(mask.box, self.window, self.frames.shape).box)

    def _image(self, t: FrameIndex) -> np.ndarray:
        frame = self.frames.read(t).astype(np.float64)
        frame = frame if self._mapping is None else self._mapping.apply(frame)
        grey = frame.mean(axis=2) if self.frames.is_rgb else frame
        return np.where(np.isfinite(grey), grey, 0.0)

    def _count_call(self) -> None:
        self.num_calls += 1
        time.sleep(self.delay + self.sleep_at.get(self.num_calls, 0.0))
        if self.num_calls in self.raise_at:
            raise self.raise_at[self.num_calls]


def _after_step(mask: np.ndarray, image: np.ndarray, step: PromptStep) -> np.ndarray:
    if step.mask is not None:
        return step.mask.to_array()
    if step.box is not None:
        mask = mask | _region_in_box(image, step.box)
    for (y, x), positive in zip(step.points, step.positives, strict=True):
        if positive:
            mask = mask | _region_at(image, y, x)
        else:
            mask = mask & ~_disc(image.shape, y, x)
    return mask


def _region_at(image: np.ndarray, y: float, x: float) -> np.ndarray:
    """Return the region around a click; a small disc where there is no region, as on a blank frame."""
    row, column = int(np.floor(y + 0.5)), int(np.floor(x + 0.5))
    seed = np.zeros(image.shape, bool)
    seed[row, column] = True
    region = _region(image, seed, float(image[row, column]))
    return region if region.mean() < 0.5 else seed | _disc(image.shape, y, x)


def _region_in_box(image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    y0, x0, y1, x1 = box
    rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
    inside = (rows >= y0) & (rows <= y1) & (columns >= x0) & (columns <= x1)
    middle = ((y0 + y1) / 2, (x0 + x1) / 2)
    region = _region_at(
        image, min(middle[0], image.shape[0] - 0.6), min(middle[1], image.shape[1] - 0.6)
    )
    return inside & region if (inside & region).any() else inside


def _region(image: np.ndarray, seeds: np.ndarray, brightness: float) -> np.ndarray:
    from scipy import ndimage

    tolerance = 0.12 * float(np.ptp(image)) + 1e-9
    similar = np.abs(image - brightness) <= tolerance
    parts, _ = ndimage.label(similar)
    touched = np.unique(parts[seeds & similar])
    return np.isin(parts, touched[touched > 0])


def _disc(shape: tuple[int, ...], y: float, x: float) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= max(1.0, min(shape) / 16) ** 2


def _grown(mask: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    return ndimage.binary_dilation(mask)


def _step(now: _Pass, image: np.ndarray) -> _Pass:
    """Follow the region into the next frame; an object that is lost may come back where it was lost."""
    region = _region(image, now.mask.to_array(), now.brightness)
    is_lost = not region.any() or region.mean() > 0.5
    packed = PackedMask.from_array(np.zeros_like(region) if is_lost else region)
    checksum = _checksum(now.checksum, packed)
    kept = now.mask if is_lost else packed
    return _Pass(now.track, now.is_reverse, kept, now.brightness, checksum, is_lost)


def _object_mask(object_id: ObjectId, mask: np.ndarray, strength: int) -> ObjectMask:
    logits = np.where(mask, np.float32(strength), np.float32(-8.0))
    return ObjectMask.from_logits(object_id, logits, 6.0 if mask.any() else -6.0, 0.9)


def _checksum(*values: object) -> int:
    return zlib.crc32(repr(_exact(values)).encode())


def _exact(value: object) -> object:
    # The repr of a packed mask leaves its bits out.
    if isinstance(value, PackedMask):
        return value.shape, value.box, value.bits
    if isinstance(value, FramePrompts):
        steps = [
            (step.points, step.positives, step.box, step.candidate, _exact(step.mask))
            for step in value.steps
        ]
        return value.frame, steps, _exact(value.refines)
    if isinstance(value, (tuple, list)):
        return [_exact(item) for item in value]
    return value


def tiny_sam2(seed: int = 3) -> Sam2:
    """Return a seeded random SAM 2 of 64 x 64 model pixels and 0.3 million parameters, for tests in milliseconds.

    Its weights are scaled so that masks differ from frame to frame and from prompt to prompt; they mean nothing.
    With seed 3 objects are mostly visible, not always.
    """
    import torch

    from napari_sam2.model.config import DecoderConfig, MemoryConfig, Sam2Config, TrunkConfig
    from napari_sam2.model.sam2 import Sam2

    trunk = TrunkConfig(embed_dim=8, stages=(1, 1, 1, 1), global_blocks=(2,), position_size=4)
    memory = MemoryConfig(width=16, num_layers=1, feedforward=32, dropout=0.0, fuser_blocks=1)
    decoder = DecoderConfig(num_heads=2, mlp_width=32, head_width=32, mask_prompt_channels=4)
    network = Sam2(Sam2Config("tiny_test", 64, 32, trunk, memory, decoder)).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            noise = torch.randn(tensor.shape, generator=generator)
            if tensor.ndim > 1:
                tensor.copy_(noise * 1.6 / max(tensor[0].numel(), 1) ** 0.5)
            elif name.endswith("bias"):
                tensor.copy_(0.1 * noise)
            else:
                tensor.copy_(1 + 0.1 * noise)
        network.mask_decoder.object_head.layers[-1].weight.mul_(0.3)
        network.mask_decoder.object_head.layers[-1].bias.fill_(2.0)  # mostly visible
    return network
