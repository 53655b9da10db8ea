"""Review: going to the frames that need a person, and saying that one is good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_sam2.core.doubting import Doubt
from napari_sam2.core.errors import PromptError
from napari_sam2.plugin.state import Message, Tone

if TYPE_CHECKING:
    from napari_sam2.plugin.controller import Controller


class Review:
    """The part of a controller that leads through the frames.

    Parameters
    ----------
    controller : Controller
        Whose session is reviewed.
    """

    frame_shown = Signal(
        object, description="The sliders went to a frame (int), or to none (None)."
    )

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    def follow(self, _event: Any = None) -> None:
        """Tell which frame the sliders stand at."""
        binding = self._controller.binding
        self.frame_shown.emit(None if binding is None else binding.bridge.current_frame)

    # Good frames

    def lock(self) -> None:
        """Find the active object good on this frame."""
        with self._controller.reporting():
            session = self._controller.require_session()
            session.lock(self._controller.active_object, self.frame)

    def unlock(self) -> None:
        """Let the active object be changed on this frame again."""
        with self._controller.reporting():
            session = self._controller.require_session()
            session.unlock(self._controller.active_object, self.frame)

    # Going to frames

    @property
    def frame(self) -> int:
        """The frame that is shown.

        Raises
        ------
        PromptError
            If the sliders stand at none.
        """
        self._controller.require_session()
        frame = self._controller.binding.bridge.current_frame
        if frame is None:
            raise PromptError(
                "the sliders stand at no frame of the image", remedy="move them to one"
            )
        return frame

    def go_to(self, frame: int) -> None:
        """Show a frame."""
        with self._controller.reporting():
            self._controller.require_session()
            self._controller.binding.bridge.show_frame(frame)

    def next_prompted(self) -> None:
        """Go to the next frame of the active object with prompts; after the last comes the first."""
        with self._controller.reporting():
            frames = self._prompted()
            self._show(next((t for t in frames if t > self.frame), frames[0]))

    def previous_prompted(self) -> None:
        """Go to the frame with prompts before this one; before the first comes the last."""
        with self._controller.reporting():
            frames = self._prompted()
            self._show(next((t for t in reversed(frames) if t < self.frame), frames[-1]))

    def next_doubtful(self) -> None:
        """Go to the frame most likely wrong, from there to the next one."""
        self._go_doubtful(1)

    def previous_doubtful(self) -> None:
        """Go back to a frame that is more likely wrong."""
        self._go_doubtful(-1)

    def next_candidate(self) -> None:
        """Choose the next one of the possible answers to an unclear click on this frame."""
        with self._controller.reporting():
            session, active = self._controller.require_session(), self._controller.active_object
            frame = self.frame
            offered = len(session.candidates(active, frame))
            if not offered:
                raise PromptError(
                    f"nothing else was offered for object {active} on frame {frame}",
                    remedy="click once on a new object to be offered several masks",
                )
            number = (session.chosen_candidate(active, frame) + 1) % offered
            session.choose_candidate(active, frame, number)
            text = f"Mask {number + 1} of {offered}. Press K for the next one."
            self._controller.message = Message(text, "done")

    # Small steps

    def _show(self, frame: int) -> None:
        self._controller.binding.bridge.show_frame(frame)

    def _prompted(self) -> list[int]:
        session, active = self._controller.require_session(), self._controller.active_object
        if active not in session.objects:
            raise PromptError(f"object {active} has no prompt yet", remedy="click it first")
        return sorted(session.state.objects[active].prompts)

    def _go_doubtful(self, step: int) -> None:
        with self._controller.reporting():
            session = self._controller.require_session()
            peaks = peaks_of(session.doubtful())
            if not peaks:
                self._visit_least_sure(session.doubtful(least=0.0))
                return
            here = self._controller.active_object, self.frame
            places = [(item.object_id, item.frame) for item in peaks]
            at = (places.index(here) + step) % len(peaks) if here in places else 0
            self._visit(peaks[at])
            self._tell(
                f"Doubtful frame {at + 1} of {len(peaks)}: object {peaks[at].object_id}, frame "
                f"{peaks[at].frame}. Click to correct, or press G if it is good.",
                "warning",
            )

    def _visit_least_sure(self, doubts: Sequence[Doubt]) -> None:
        if not doubts:
            self._tell("Nothing to doubt yet: propagate first.", "hint")
            return
        worst = doubts[0]
        self._visit(worst)
        self._tell(
            f"No frame is doubtful. The least sure one is frame {worst.frame} of object "
            f"{worst.object_id}.",
            "done",
        )

    def _visit(self, doubt: Doubt) -> None:
        self._controller.activate(doubt.object_id)
        self._show(doubt.frame)
        bridge, session = self._controller.binding.bridge, self._controller.session
        place = session.place_to_click(doubt.object_id, doubt.frame)
        bridge.prompts.show_hint(None if place is None else (doubt.frame, place))

    def _tell(self, text: str, tone: Tone) -> None:
        self._controller.message = Message(text, tone)


def peaks_of(doubts: Sequence[Doubt]) -> tuple[Doubt, ...]:
    """Return the worst frame of every stretch of doubtful frames of an object, the worst first.

    Parameters
    ----------
    doubts : sequence of Doubt
        The worst first.
    """
    places = {(item.object_id, item.frame): item for item in doubts}
    stretch: dict[tuple[int, int], int] = {}
    for number, frame in sorted(places):
        before = stretch.get((number, frame - 1))
        stretch[number, frame] = frame if before is None else before
    best: dict[tuple[int, int], Doubt] = {}
    for item in doubts:
        best.setdefault((item.object_id, stretch[item.object_id, item.frame]), item)
    return tuple(best.values())
