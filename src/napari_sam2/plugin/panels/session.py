"""A line in the dock that offers an earlier session."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout

from napari_sam2.plugin.panels.parts import Panel, button, label
from napari_sam2.plugin.state import DockState


class OfferPanel(Panel):
    """A question with two answers, there only while it makes sense."""

    restore_asked = Signal()
    discard_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.text = label("", wraps=True)
        self.restore = button("Restore", "main", "Go on where you were")
        self.discard = button("Discard", tip="Remove the earlier session")
        row = QHBoxLayout()
        row.addWidget(self.restore)
        row.addWidget(self.discard)
        self.column.addWidget(self.text)
        self.column.addLayout(row)
        self.restore.clicked.connect(lambda: self.restore_asked.emit())
        self.discard.clicked.connect(lambda: self.discard_asked.emit())

    def show_state(self, state: DockState) -> None:
        """Show the question, if there is one."""
        self.text.setText(state.offer)
        self.setVisible(bool(state.offer))
