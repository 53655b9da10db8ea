"""All that crosses threads between a session and the worker that owns the model: frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.masks import ObjectMask
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts

Direction = Literal["both", "forward", "backward"]


class PassId(NamedTuple):
    """One pass of a propagation: an object, the conditioning frame that it starts from, and which way it goes."""

    object_id: ObjectId
    anchor: FrameIndex
    is_reverse: bool


@dataclass(frozen=True, slots=True)
class PromptRequest:
    """Ask for the mask of one object on one frame, from what was said about it there.

    `generation`: counts up with every change of the session; an answer of an older one is stale.
    `history`: the object's other conditioning frames; only the reference options read it.
    `mapping`: how the frames are to be seen, None as the segmenter was made.
    """

    generation: int
    object_id: ObjectId
    prompts: FramePrompts
    history: ObjectPrompts | None = None
    mapping: IntensityMapping | None = None


@dataclass(frozen=True, slots=True)
class PromptResult:
    """The answer: the chosen mask, and the candidates not chosen (best first; empty if there were none)."""

    generation: int
    frame: FrameIndex
    mask: ObjectMask
    candidates: tuple[ObjectMask, ...] = ()


@dataclass(frozen=True, slots=True)
class PropagationRequest:
    """Carry objects along the frames `start` to `stop` - 1: all that the result depends on.

    Conditioning frames themselves are answered as they were prompted and never written by tracking.
    `only`: the passes that are wanted, None for all; `mapping`: how the frames are to be seen, None as the segmenter
    was made; `depth`: frames of a volume, if the stack is a row of volumes (see `core.volumes`), else 0.
    """

    generation: int
    objects: tuple[ObjectPrompts, ...]
    start: FrameIndex
    stop: FrameIndex
    direction: Direction = "both"
    only: frozenset[PassId] | None = None
    mapping: IntensityMapping | None = None
    depth: int = 0


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """Where a propagation stands after a result: `done` results were given; `state` is the segmenter's own."""

    done: int
    state: object = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class FrameResult:
    """Masks of the objects tracked on one frame. A frame may come twice in a run, with different objects.

    `total`: how many results the whole run will give, known from the start; `resume`: continue after this result.
    """

    frame: FrameIndex
    objects: tuple[ObjectMask, ...]
    total: int
    resume: ResumePoint = field(repr=False, compare=False)
