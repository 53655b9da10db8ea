"""What the dock shows before there is an image."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout

from napari_sam2.plugin.panels.parts import Panel, button, label
from napari_sam2.plugin.state import DockState

_SAMPLES = (("cells_timelapse", "Cells in a time-lapse"), ("ct_volume", "Abdomen in a CT volume"))
_STEPS = (
    "Click an object: its mask appears.",
    "Press Shift+S: the mask is carried through all frames.",
    "Correct where needed, then export the labels.",
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
