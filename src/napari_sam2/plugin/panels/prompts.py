"""What a click means."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton

from napari_sam2.plugin.actions import labelled
from napari_sam2.plugin.panels.parts import Panel, button, label
from napari_sam2.plugin.state import DockState

_MOUSE = "Right-click: negative\nShift + drag: box\nCtrl + click: pick an object"


class PromptsPanel(Panel):
    """Two buttons of which one is down, and what the mouse can do beside."""

    sign_chosen = Signal(bool)

    def __init__(self) -> None:
        super().__init__("CLICKS")
        row = QHBoxLayout()
        row.setSpacing(6)
        self._group = QButtonGroup(self)
        self.positive = self._sign("●  Positive", "positive")
        self.negative = self._sign("✕  Negative", "negative")
        row.addWidget(self.positive)
        row.addWidget(self.negative)
        self.column.addLayout(row)
        self.column.addWidget(label(_MOUSE, "quiet", wraps=True))

    def _sign(self, text: str, sign: str) -> QPushButton:
        made = button(text, "sign", labelled("toggle_sign"))
        made.setProperty("sign", sign)
        made.setCheckable(True)
        self._group.addButton(made)
        made.clicked.connect(lambda: self.sign_chosen.emit(sign == "positive"))
        return made

    def show_state(self, state: DockState) -> None:
        """Show what a left click means."""
        (self.positive if state.is_positive else self.negative).setChecked(True)
