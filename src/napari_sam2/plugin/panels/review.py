"""Review: the frames that need a person, and what can be said about the one that is shown."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout

from napari_sam2.plugin.actions import BY_NAME, labelled
from napari_sam2.plugin.panels.parts import Caption, Panel, button, label, side_by_side
from napari_sam2.plugin.state import DockState
from napari_sam2.plugin.strip import QualityStrip, in_words

_NAMES = ("next_doubtful", "next_prompted", "lock", "unlock")


class ReviewPanel(Panel):
    """Buttons that lead to frames, and one that finds a frame good."""

    asked = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        head = QHBoxLayout()
        head.addWidget(label("FRAMES", "heading"))
        self.caption = Caption()
        self.caption.setAlignment(Qt.AlignmentFlag.AlignRight)
        head.addWidget(self.caption, 1)
        self.column.addLayout(head)
        self.strip = QualityStrip()
        self.column.addWidget(self.strip)
        self.buttons = {name: self._button(f"review.{name}") for name in _NAMES}
        self.column.addLayout(
            side_by_side(self.buttons["next_doubtful"], self.buttons["next_prompted"])
        )
        self.column.addLayout(side_by_side(self.buttons["lock"], self.buttons["unlock"]))

    def _button(self, name: str) -> object:
        made = button(f"{BY_NAME[name].title}   {BY_NAME[name].shown}", tip=labelled(name))
        made.clicked.connect(lambda: self.asked.emit(name))
        return made

    def show_state(self, state: DockState) -> None:
        """Be usable once the active object is there."""
        is_there = any(
            row.object_id == state.active_object and row.num_prompted for row in state.objects
        )
        for made in self.buttons.values():
            made.setEnabled(is_there)
        self.strip.show_marks(state.marks)
        self.show_frame(state.frame)
        self.setVisible(state.has_session and state.num_frames > 1)

    def show_frame(self, frame: int | None) -> None:
        """Show where the sliders stand."""
        self.strip.show_frame(frame)
        marks = self.strip.marks
        is_there = frame is not None and frame < len(marks)
        self.caption.say(f"{frame}: {in_words(marks[frame])}" if is_there else "")
