"""The log: every action as the line of Python that does it, folded away until somebody wants it."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QTextOption
from qtpy.QtWidgets import QApplication, QHBoxLayout, QPlainTextEdit

from napari_sam2.plugin.panels.parts import Fold, Panel, button
from napari_sam2.plugin.state import DockState

FIRST_LINES = ("from napari_sam2.core.script import *", "session = napari_sam2.current_session()")
_LONGEST = 200
_SHOWN_LINES = 500


class LogPanel(Panel):
    """A heading that unfolds the lines, and a button that copies all of them."""

    def __init__(self) -> None:
        super().__init__()
        head = QHBoxLayout()
        self.fold = Fold("Python", "What you do here, as lines for napari's console")
        self.copy = button("Copy", tip="Copy all lines in full")
        head.addWidget(self.fold)
        head.addStretch(1)
        head.addWidget(self.copy)
        self.column.addLayout(head)
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.text.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.text.setFixedHeight(120)
        self.text.setAccessibleName("Actions as Python")
        self.column.addWidget(self.text)
        self.fold.toggled.connect(self._unfold)
        self.copy.clicked.connect(self._copy)
        self._lines: tuple[str, ...] = ()
        self._drawn: tuple[str, ...] | None = None
        self._unfold(False)

    def show_state(self, state: DockState) -> None:
        """Show the lines, the latest in sight."""
        self._lines = state.log
        self.setVisible(state.has_session)
        if self.fold.isChecked():
            self._draw()

    def _unfold(self, is_open: bool) -> None:
        self.text.setVisible(is_open)
        self.copy.setVisible(is_open)
        if is_open:
            self._draw()

    def _draw(self) -> None:
        shown = (*FIRST_LINES, *self._lines)[-_SHOWN_LINES:]
        if shown == self._drawn:
            return
        self._drawn = shown
        self.text.setPlainText("\n".join(map(_shortened, shown)))
        self.text.verticalScrollBar().setValue(self.text.verticalScrollBar().maximum())

    def _copy(self) -> None:
        QApplication.clipboard().setText("\n".join((*FIRST_LINES, *self._lines)))


def _shortened(line: str) -> str:
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"
