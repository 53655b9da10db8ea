"""The runs that the bars are read off: what is run, on how much, each run once.

Everything is judged zero-shot: nothing is tuned to a stack.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np

from napari_sam2.core.references import ReferenceStack
from napari_sam2.evaluation.disappearances import DISAPPEARANCE_SPECS, disappearance_sequence
from napari_sam2.evaluation.large_frames import (
    LARGE_SIDE,
    LargeFrameResult,
    compare_in_large_frames,
)
from napari_sam2.evaluation.objects import prompt_frames
from napari_sam2.evaluation.presence import PresenceCounts, ScoredSession, count_presence
from napari_sam2.evaluation.protocols import Annotation
from napari_sam2.evaluation.protocols import Protocol as Work
from napari_sam2.evaluation.results import StackResult
from napari_sam2.evaluation.sequences import VALIDATION_SPECS
from napari_sam2.evaluation.sessions import NamedProgress
from napari_sam2.evaluation.stacks import evaluate_stacks, validation_stacks

GOOD_IOU = 0.75
"""What clicks on one frame are to reach."""

FEW_CLICKS = 5
"""The larger one of the two numbers of clicks after which single frames are scored."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is run.

    Attributes
    ----------
    generated, vanishing : int
        How many frozen sequences, and of those with disappearances.
    frames, objects : int or None
        At most so many of every stack.
    clicks : int
        On one frame; objects that are not good then count as never good. At least `FEW_CLICKS`.
    large_frames, large_objects : int or None
        At most so many of every stack that is set into large frames.
    large_side : int
        Their side, pixels.
    """

    generated: int = len(VALIDATION_SPECS)
    vanishing: int = len(DISAPPEARANCE_SPECS)
    frames: int | None = None
    objects: int | None = None
    clicks: int = 20
    large_frames: int | None = 8
    large_objects: int | None = 6
    large_side: int = LARGE_SIDE


QUICK = Extent(1, 1, 4, 2, FEW_CLICKS, 3, 1, 1024)
"""A few seconds, to see that everything runs; its numbers mean nothing."""


@dataclass(frozen=True, slots=True)
class OpenStack:
    """An open stack with reference. `manual`: (Y, X), manual masks of its first frame with ids of their own, if any."""

    stack: ReferenceStack
    manual: np.ndarray | None = field(default=None, repr=False)

    @property
    def still(self) -> ReferenceStack:
        """What clicks on a single frame are judged by: the manual masks alone, where there are any."""
        if self.manual is None:
            return self.stack
        labels = np.zeros(self.stack.labels.shape, self.manual.dtype)
        labels[0] = self.manual
        return replace(self.stack, labels=labels)


class OpenModel(Protocol):
    """Opens sessions of the model that is judged."""

    def __call__(
        self,
        image: Any,
        *,
        focus: bool = True,
        limits: tuple[float, float] | None = None,
    ) -> ScoredSession:
        """Open a session; `focus`: small objects in windows; `limits`: intensities that become black and white."""


def _silent(name: str, done: float) -> None:
    pass


@dataclass
class Bench:
    """The runs that the bars are read off; each is made when it is first asked for.

    Attributes
    ----------
    open_model : OpenModel
        Opens sessions of the model.
    open_stacks : sequence of OpenStack
        Groups ``microscopy`` and ``medical``; may be empty.
    extent : Extent
        How much is run.
    progress : NamedProgress
        Told which stack is run on and how much of it is done, 0 to 1.
    """

    open_model: OpenModel
    open_stacks: Sequence[OpenStack] = ()
    extent: Extent = field(default_factory=Extent)
    progress: NamedProgress = _silent

    @cached_property
    def first_frames(self) -> tuple[StackResult, ...]:
        """One click on the first frame of the generated sequences, nothing propagated."""
        return self._results("first frame", self._generated(), Work("image", "click", 1))

    @cached_property
    def propagated(self) -> tuple[StackResult, ...]:
        """One click on the first frame of the generated sequences, propagated."""
        return self._results("propagated", self._generated(), Work("vos", "click"))

    @cached_property
    def focused(self) -> tuple[StackResult, ...]:
        """Reference masks on the open microscopy, propagated, small objects in windows."""
        return self._results("mask", self.stacks("microscopy"), Work("vos", "mask"))

    @cached_property
    def unfocused(self) -> tuple[StackResult, ...]:
        """The same in whole frames."""
        return self._results(
            "no focus", self.stacks("microscopy"), Work("vos", "mask"), focus=False
        )

    @cached_property
    def medical(self) -> tuple[StackResult, ...]:
        """Reference masks on the open CT and MR, propagated."""
        return self._results("mask", self.stacks("medical"), Work("vos", "mask"))

    @cached_property
    def clicked(self) -> tuple[StackResult, ...]:
        """Click after click on one frame of every object of the open stacks."""
        stills = [self._limited(item.still) for item in self.open_stacks]
        return self._results("clicks", stills, Work("image", "click", self.extent.clicks))

    @cached_property
    def presence(self) -> Mapping[str, PresenceCounts]:
        """Reference masks on the first frame of the sequences with disappearances: who is said to be there."""
        return dict(map(self._presence, range(self.extent.vanishing)))

    @cached_property
    def embedded(self) -> tuple[LargeFrameResult, ...]:
        """Some objects of the open microscopy as they are and in large frames."""
        extent, results = self.extent, []
        for stack in self.stacks("microscopy"):
            self.progress(f"{stack.name}, in large frames", 0.0)
            few = stack.limited(extent.large_frames, extent.large_objects)
            results.append(compare_in_large_frames(few, self.open_model, extent.large_side))
            self.progress(f"{stack.name}, in large frames", 1.0)
        return tuple(results)

    def stacks(self, group: str) -> list[ReferenceStack]:
        """Return the open stacks of a group."""
        return [self._limited(item.stack) for item in self.open_stacks if item.stack.group == group]

    def _generated(self) -> Iterator[ReferenceStack]:
        return map(self._limited, validation_stacks(range(self.extent.generated)))

    def _limited(self, stack: ReferenceStack) -> ReferenceStack:
        extent = self.extent
        is_whole = extent.frames is None and extent.objects is None
        return stack if is_whole else stack.limited(extent.frames, extent.objects)

    def _results(
        self, name: str, stacks: Iterable[ReferenceStack], work: Work, *, focus: bool = True
    ) -> tuple[StackResult, ...]:
        open_session = partial(self.open_model, focus=focus)
        return tuple(
            evaluate_stacks(
                ((stack, work) for stack in stacks),
                open_session,
                target=GOOD_IOU,
                progress=lambda what, done: self.progress(f"{what}, {name}", done),
            )
        )

    def _presence(self, index: int) -> tuple[str, PresenceCounts]:
        sequence, name = disappearance_sequence(index), f"vanishing_{index:02d}"
        stack = self._limited(ReferenceStack(name, sequence.image, sequence.labels))
        session = self.open_model(stack.image)
        prompted = prompt_frames(stack.labels, "first")
        work = Annotation(
            session,
            stack.labels,
            prompted,
            Work("vos", "mask"),
            progress=lambda done: self.progress(f"{name}, presence", done),
        )
        for _ in work.rounds():
            pass
        unclear = sequence.unclear[: len(stack.labels)]
        return name, count_presence(session, stack.labels, prompted, unclear)
