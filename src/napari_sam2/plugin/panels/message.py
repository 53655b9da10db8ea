"""The message line: what happens, what went wrong, what to do next."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QVBoxLayout

from napari_sam2.plugin.panels.parts import Panel, button, label
from napari_sam2.plugin.state import DockState


class MessagePanel(QFrame):
    """One sentence in a frame whose edge tells its tone."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "message")
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 8)
        self.text = label("", wraps=True)
        column.addWidget(self.text)

    def show_state(self, state: DockState) -> None:
        """Show the message."""
        self.text.setText(state.message.text)
        if self.property("tone") != state.message.tone:
            self.setProperty("tone", state.message.tone)
            self.style().unpolish(self)
            self.style().polish(self)


class EmptyPanel(Panel):
    """What is shown while there is no image: two samples to try."""

    sample_asked = Signal(str)

    def __init__(self) -> None:
        super().__init__("OR TRY A SAMPLE")
        for key, text in (("cells_timelapse", "Cells, time-lapse"), ("ct_volume", "CT volume")):
            made = button(text)
            made.clicked.connect(lambda _=False, key=key: self.sample_asked.emit(key))
            self.column.addWidget(made)

    def show_state(self, state: DockState) -> None:
        """Be there only while there is nothing to annotate."""
        self.setVisible(not state.images)
