"""The message line: what happens, what went wrong, what to do next."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QVBoxLayout

from napari_sam2.plugin.panels.parts import label
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
