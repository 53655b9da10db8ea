"""The message line: what happens, what went wrong, what to do next."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFrame, QGridLayout, QVBoxLayout

from napari_sam2.plugin.panels.parts import Panel, button, label
from napari_sam2.plugin.state import DockState

_LINES = 3


class MessagePanel(QFrame):
    """One sentence in a frame whose edge tells its tone."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "message")
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 8)
        self.text = label("", wraps=True)
        self.text.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        column.addWidget(self.text)

    def show_state(self, state: DockState) -> None:
        """Show the message."""
        # Room for the usual sentences, so that nothing below moves when the sentence changes. Not in `__init__`: the
        # theme's font comes later.
        self.text.setMinimumHeight(_LINES * (self.text.fontMetrics().lineSpacing() + 1))
        self.text.setText(state.message.text)
        if self.property("tone") != state.message.tone:
            self.setProperty("tone", state.message.tone)
            self.style().unpolish(self)
            self.style().polish(self)


_SAMPLES = (("cells_timelapse", "Cells in a time-lapse"), ("ct_volume", "Abdomen in a CT volume"))
_STEPS = (
    "Click an object: its mask appears.",
    "Press Shift+S: the mask is carried through all frames.",
    "Correct where needed, then save the labels layer.",
)


class EmptyPanel(Panel):
    """What is shown while there is no image: two samples to try, and what comes then."""

    sample_asked = Signal(str)

    def __init__(self) -> None:
        super().__init__("OR TRY A SAMPLE")
        for key, text in _SAMPLES:
            made = button(text)
            made.clicked.connect(lambda _=False, key=key: self.sample_asked.emit(key))
            self.column.addWidget(made)
        self.column.addSpacing(12)
        self.column.addWidget(label("HOW IT WORKS", "heading"))
        steps = QGridLayout()
        steps.setHorizontalSpacing(8)
        steps.setVerticalSpacing(8)
        steps.setColumnStretch(1, 1)
        for number, text in enumerate(_STEPS):
            steps.addWidget(label(str(number + 1), "quiet"), number, 0, Qt.AlignmentFlag.AlignTop)
            steps.addWidget(label(text, wraps=True), number, 1)
        self.column.addLayout(steps)

    def show_state(self, state: DockState) -> None:
        """Be there only while there is nothing to annotate."""
        self.setVisible(not state.images)
