"""How a simulated person works: on one frame, on one frame of a stack, or correcting frame after frame.

The protocols are those of the SAM 2 paper (Ravi et al. 2024, Sec. 6 and Appendix F).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from napari_sam2.core.errors import OptionError
from napari_sam2.evaluation.clicks import Annotator, Click
from napari_sam2.evaluation.objects import Predict, from_labels
from napari_sam2.evaluation.region import region_similarity
from napari_sam2.evaluation.sessions import Progress, StopWatch, TrackingSession

ProtocolName = Literal["vos", "offline", "online", "image"]
Prompt = Literal["click", "3-clicks", "5-clicks", "box", "mask"]

_CLICKS_OF = {"click": 1, "3-clicks": 3, "5-clicks": 5}
SECONDS_TO_FIND, SECONDS_PER_CLICK = 1.0, 1.5
"""The paper's time model: finding an object on a frame, and each click."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """What is prompted when.

    Attributes
    ----------
    name : {"vos", "offline", "online", "image"}
        ``vos``: one frame is prompted, the rest is propagated. ``offline``: then the worst frame is corrected, again
        and again. ``online``: tracking pauses at the first bad frame, going away from the prompted one, and what was
        passed is not tracked again. ``image``: no propagation, clicks on the prompted frame alone.
    prompt : str
        On the first frame: 1, 3 or 5 clicks, a box or the reference mask. In ``image`` the first click.
    clicks : int
        How many correct a frame in ``offline`` and ``online``; how many there are in all in ``image``.
    max_frames : int
        How many frames are prompted at most in ``offline`` and ``online``, the first one included.
    pause_below : float
        IoU below which ``online`` pauses.
    """

    name: ProtocolName = "vos"
    prompt: Prompt = "mask"
    clicks: int = 3
    max_frames: int = 8
    pause_below: float = 0.75

    def __post_init__(self) -> None:
        if self.name == "image" and self.prompt != "click":
            raise OptionError(
                f"the protocol image starts with one click, got the prompt {self.prompt!r}",
                remedy="leave the prompt out, or take the protocol vos",
            )
        if self.clicks < 1 or self.max_frames < 1:
            raise OptionError(
                f"at least 1 click and 1 prompted frame are needed, got {self.clicks} and {self.max_frames}",
                remedy="give numbers from 1 on",
            )

    @property
    def num_rounds(self) -> int:
        """How many times results are looked at, at most."""
        return {"vos": 1, "image": self.clicks}.get(self.name, self.max_frames)


@dataclass(frozen=True, slots=True)
class Effort:
    """What an object has cost a person so far. `is_timed`: no, once a mask was drawn, for which there is no model."""

    frames: int = 0
    clicks: int = 0
    is_timed: bool = True

    @property
    def seconds(self) -> float | None:
        """Time by the paper's model, a box as two clicks; None if it is not timed."""
        seconds = SECONDS_TO_FIND * self.frames + SECONDS_PER_CLICK * self.clicks
        return seconds if self.is_timed else None


@dataclass(frozen=True, slots=True)
class Round:
    """Results after one more frame (in ``image``: one more click) of every object that still needed one."""

    predict: Predict
    efforts: dict[int, Effort]


@dataclass(slots=True)
class Annotation:
    """One person at work on one stack.

    `reference`: (T, Y, X), label stack; `prompted`: object id to the frame that is prompted first.
    The person judges an object by its own mask, whatever other objects cover.
    """

    session: TrackingSession
    reference: np.ndarray
    prompted: dict[int, int]
    protocol: Protocol = field(default_factory=Protocol)
    annotator: Annotator = field(default_factory=Annotator)
    progress: Progress = field(default=lambda done: None)
    watch: StopWatch = field(default_factory=StopWatch)
    efforts: dict[int, Effort] = field(default_factory=dict)
    _clicks: dict[tuple[int, int], list[Click]] = field(default_factory=dict)

    def rounds(self) -> Iterator[Round]:
        """Work by the protocol and yield what there is after each round; a finished one is not changed later."""
        self.efforts = dict.fromkeys(self.prompted, Effort())
        if self.protocol.name == "image":
            yield from self._image_rounds()
            return
        for object_id in self.prompted:
            self._prompt_first(object_id)
        self._propagate_all(0)
        yield self._round()
        for number in range(1, self.protocol.num_rounds):
            correct = self._correct_worst if self.protocol.name == "offline" else self._resume
            if not correct(number):
                return
            yield self._round()

    # One frame

    def _image_rounds(self) -> Iterator[Round]:
        for number in range(self.protocol.clicks):
            for done, (object_id, frame) in enumerate(self.prompted.items()):
                self.watch.time(lambda i=object_id, t=frame: self._click(i, t, 1))
                self._report(number, (done + 1) / len(self.prompted))
            masks = {i: self.session.mask(i, t) for i, t in self.prompted.items()}
            yield Round(_one_mask_each(masks), dict(self.efforts))

    # The first frame of each object

    def _prompt_first(self, object_id: int) -> None:
        frame, prompt = self.prompted[object_id], self.protocol.prompt
        truth = self._truth(object_id, frame)
        if prompt in _CLICKS_OF:
            self._click(object_id, frame, _CLICKS_OF[prompt])
        elif prompt == "box":
            self.session.add_box(object_id, frame, self.annotator.box(truth, (object_id, frame)))
            self.efforts[object_id] = Effort(1, 2)
        else:
            self.session.add_mask(object_id, frame, truth)
            self.efforts[object_id] = Effort(1, 0, is_timed=False)

    # Offline: the worst frame of each object, then everything again

    def _correct_worst(self, number: int) -> bool:
        worst = {i: self._worst_frame(i) for i in self.prompted}
        clicked = [
            self._click(i, t, self.protocol.clicks) for i, t in worst.items() if t is not None
        ]
        if not any(clicked):
            return False
        self._propagate_all(number)
        return True

    def _worst_frame(self, object_id: int) -> int | None:
        """Return the unprompted frame of least IoU, the earliest of a tie; None if all are perfect."""
        frames = [t for t in self._shown(object_id) if not self._is_prompted(object_id, t)]
        scores = [self._iou(object_id, t) for t in frames]
        return frames[int(np.argmin(scores))] if scores and min(scores) < 1.0 else None

    # Online: the next bad frame of each object, then from there on

    def _resume(self, number: int) -> bool:
        pauses = {i: self._next_pause(i) for i in self.prompted}
        paused = {i: t for i, t in pauses.items() if t is not None}
        for done, (object_id, frame) in enumerate(paused.items()):
            self._click(object_id, frame, self.protocol.clicks)
            self._propagate_on(object_id, frame)
            self._report(number, (done + 1) / len(paused))
        return bool(paused)

    def _next_pause(self, object_id: int) -> int | None:
        for t in self._way(object_id):
            if self._iou(object_id, t) < self.protocol.pause_below:
                return t
        return None

    def _way(self, object_id: int) -> list[int]:
        """Return the frames that are still to come: forward from the first one, then backward from it."""
        start, shown = self.prompted[object_id], self._shown(object_id)
        way = [t for t in shown if t > start] + [t for t in reversed(shown) if t < start]
        passed = [k for k, t in enumerate(way) if self._is_prompted(object_id, t)]
        return way[passed[-1] + 1 :] if passed else way

    def _propagate_on(self, object_id: int, frame: int) -> None:
        is_forward = frame > self.prompted[object_id]
        ahead = (frame, len(self.reference)) if is_forward else (0, frame + 1)
        direction = "forward" if is_forward else "backward"
        self.watch.drive(self.session.propagate(direction, ahead, [object_id]))

    # Small steps

    def _click(self, object_id: int, frame: int, count: int) -> int:
        """Click up to `count` times, looking at each answer, and return how often."""
        earlier = self._clicks.setdefault((object_id, frame), [])
        given = 0
        for _ in range(count):
            click = self._next_click(object_id, frame, earlier)
            if click is None:
                break
            self.session.add_points(
                object_id, frame, [(click.y, click.x)], labels=[int(click.positive)]
            )
            earlier.append(click)
            given += 1
        self._charge(object_id, frame, given)
        return given

    def _next_click(self, object_id: int, frame: int, earlier: list[Click]) -> Click | None:
        truth = self._truth(object_id, frame)
        is_new = self.efforts[object_id] == Effort() and not earlier
        shown = np.zeros_like(truth) if is_new else self.session.mask(object_id, frame)
        return self.annotator.click(shown, truth, earlier, (object_id, frame))

    def _charge(self, object_id: int, frame: int, clicks: int) -> None:
        known = self.efforts[object_id]
        is_new_frame = clicks > 0 and len(self._clicks[object_id, frame]) == clicks
        self.efforts[object_id] = replace(
            known, frames=known.frames + is_new_frame, clicks=known.clicks + clicks
        )

    def _propagate_all(self, number: int) -> None:
        run = self.session.propagate()
        self.watch.drive(run, lambda part: self._report(number, part))

    def _report(self, number: int, part: float) -> None:
        self.progress((number + part) / self.protocol.num_rounds)

    def _round(self) -> Round:
        labels = np.array(self.session.labels)  # a copy: the session's own may be live
        return Round(from_labels(labels), dict(self.efforts))

    def _is_prompted(self, object_id: int, frame: int) -> bool:
        return frame == self.prompted[object_id] or bool(self._clicks.get((object_id, frame)))

    def _shown(self, object_id: int) -> list[int]:
        return np.flatnonzero((self.reference == object_id).any(axis=(1, 2))).tolist()

    def _truth(self, object_id: int, frame: int) -> np.ndarray:
        return self.reference[frame] == object_id

    def _iou(self, object_id: int, frame: int) -> float:
        return region_similarity(self.session.mask(object_id, frame), self._truth(object_id, frame))


def _one_mask_each(masks: dict[int, np.ndarray]) -> Predict:
    return lambda object_id, frame: masks[object_id]
