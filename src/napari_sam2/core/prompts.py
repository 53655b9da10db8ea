"""What a person says about an object: points, one box, or a mask, on one frame.

Two forms. `PointPrompt`, `BoxPrompt` and `MaskPrompt` carry data indices of the whole n-D array,
as they come from a viewer or a file. `StackView` turns them into the engine's form: an ordered tuple of
`PromptStep` (one interaction each) in a `FramePrompts`, in (y, x) pixels of one frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from napari_sam2.core.extent import WHOLE, Extent
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.masks import PackedMask


@dataclass(frozen=True, slots=True)
class PointPrompt:
    """One click. `index`: data index of the n-D array, float; pixel centres are integers."""

    object_id: ObjectId
    index: tuple[float, ...]
    positive: bool = True


@dataclass(frozen=True, slots=True)
class BoxPrompt:
    """One box. `start`, `stop`: data indices of opposite corners on the same frame, any order."""

    object_id: ObjectId
    start: tuple[float, ...]
    stop: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class MaskPrompt:
    """One painted mask. `index`: data index of any pixel of its frame; `mask`: the frame, packed."""

    object_id: ObjectId
    index: tuple[float, ...]
    mask: PackedMask


@dataclass(frozen=True, slots=True)
class PromptStep:
    """What one interaction added on one frame.

    `points`: (y, x) frame pixels, float; `positives`: one bool a point; `box`: (y0, x0, y1, x1) frame
    pixels, float; `mask`: replaces everything said before on this frame, and excludes points and box.
    `candidate`: which of several possible answers is meant: 0 the model's own choice, then the others, best first.
    """

    points: tuple[tuple[float, float], ...] = ()
    positives: tuple[bool, ...] = ()
    box: tuple[float, float, float, float] | None = None
    mask: PackedMask | None = None
    candidate: int = 0


@dataclass(frozen=True, slots=True)
class FramePrompts:
    """All that was said about one object on one frame, in order.

    `refines`: the mask that was shown when the first step was made, if the frame had been tracked;
    recorded, so that the answer depends on nothing but this value and the frame.
    """

    frame: FrameIndex
    steps: tuple[PromptStep, ...]
    refines: PackedMask | None = None


@dataclass(frozen=True, slots=True)
class ObjectPrompts:
    """All conditioning frames of one object, in the order in which they were first prompted.

    `locked`: those of them that a person locked; nothing beyond a lock is asked about the frames before it.
    `extent`: where the object may be; passes end there.
    """

    object_id: ObjectId
    frames: tuple[FramePrompts, ...] = field(default=())
    locked: frozenset[FrameIndex] = frozenset()
    extent: Extent = WHOLE

    @property
    def frame_indices(self) -> tuple[FrameIndex, ...]:
        """The conditioning frames, in the order of `frames`."""
        return tuple(prompts.frame for prompts in self.frames)

    def around(self, frame: FrameIndex) -> ObjectPrompts:
        """Return all that tracking `frame` may depend on: what was said from the lock before it to the one after it.

        So a correction changes the span between its neighbouring locks and nothing else.
        """
        if not self.locked and self.extent == WHOLE:
            return self
        first = max((t for t in self.locked if t <= frame), default=0)
        last = min((t for t in self.locked if t >= frame), default=None)
        near = (
            said
            for said in self.frames
            if first <= said.frame and (last is None or said.frame <= last)
        )
        return ObjectPrompts(self.object_id, tuple(near))
