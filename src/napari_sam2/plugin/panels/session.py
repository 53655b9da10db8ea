"""Sessions in the dock: a line that offers an earlier one, and the button that saves this one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout

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


class SavePanel(Panel):
    """The button that saves the session.

    Parameters
    ----------
    proposed : callable
        Returns where it would be saved.
    """

    save_asked = Signal(str)

    def __init__(self, proposed: Callable[[], Path]) -> None:
        super().__init__()
        self._proposed = proposed
        self.save = button("Save session…", tip="Objects, prompts and masks, to be opened again")
        self.column.addWidget(self.save)
        self.save.clicked.connect(lambda: self._choose())

    def show_state(self, state: DockState) -> None:
        """Show the button while there is something to save."""
        self.setVisible(state.has_session)
        self.save.setEnabled(bool(state.log))

    def _choose(self) -> None:
        ending = "SAM 2 session (*.sam2.json)"
        path, _ = QFileDialog.getSaveFileName(self, "Save session", str(self._proposed()), ending)
        if path:
            whole = path if path.lower().endswith(".sam2.json") else f"{path}.sam2.json"
            self.save_asked.emit(whole)
