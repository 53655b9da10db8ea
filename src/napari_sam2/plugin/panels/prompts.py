"""What the mouse means on the canvas, and labels of others as prompts."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QMenu, QPushButton

from napari_sam2.plugin.actions import labelled
from napari_sam2.plugin.panels.parts import Panel, button, label, side_by_side
from napari_sam2.plugin.state import DockState

_TOOLS = (
    ("point", "Click", "Points and boxes; Esc brings you back here"),
    ("polygon", "Polygon", "Corner by corner; a double-click ends it"),
    ("lasso", "Lasso", "Draw around the object in one go"),
    ("paint", "Paint", "Brush, eraser and fill of napari on the labels layer"),
)
_HELP = {
    "point": "Right: negative · Shift + drag: box\nShift + right-drag: scribble\n"
    "Ctrl + click: pick · drag points",
    "polygon": "Click corners, double-click to end.\nEsc throws it away.",
    "lasso": "Draw around the object.\nEsc throws it away.",
    "paint": "A stroke locks its frame.\nE erases, F fills, P paints.\n[ and ] change the size.",
    "other": "Another tool or layer is in hand.\nPress Click to come back.",
}
_LINES = 3
_WAYS = (
    ("frame", "As prompts on this frame"),
    ("once", "As prompts, each on its best frame"),
    ("all", "As prompts on all frames"),
    ("protect", "Protect: keep them, never cover them"),
)


class PromptsPanel(Panel):
    """Buttons for tools and signs, of which one each is down, and what the mouse can do beside."""

    sign_chosen = Signal(bool)
    tool_chosen = Signal(str)
    labels_asked = Signal(str, object)

    def __init__(self) -> None:
        super().__init__()
        head = QHBoxLayout()
        head.addWidget(label("PROMPTS", "heading"), 1)
        self.labels = button("From labels", tip="Use a labels layer of the viewer")
        self.labels.setMenu(QMenu(self.labels))
        head.addWidget(self.labels)
        self.column.addLayout(head)
        self._tools, self._signs = QButtonGroup(self), QButtonGroup(self)
        self.tools = {name: self._tool(name, text, tip) for name, text, tip in _TOOLS}
        self.column.addLayout(side_by_side(*self.tools.values()))
        self.positive = self._sign("●  Positive", "positive")
        self.negative = self._sign("✕  Negative", "negative")
        self.column.addLayout(side_by_side(self.positive, self.negative))
        self.help = label("", "quiet", wraps=True)
        self.column.addWidget(self.help)
        self._shown_labels: object = None

    def _tool(self, name: str, text: str, tip: str) -> QPushButton:
        made = button(text, "tool", tip)
        made.setCheckable(True)
        self._tools.addButton(made)
        made.clicked.connect(lambda: self.tool_chosen.emit(name))
        return made

    def _sign(self, text: str, sign: str) -> QPushButton:
        made = button(text, "sign", labelled("toggle_sign"))
        made.setProperty("sign", sign)
        made.setCheckable(True)
        self._signs.addButton(made)
        made.clicked.connect(lambda: self.sign_chosen.emit(sign == "positive"))
        return made

    def show_state(self, state: DockState) -> None:
        """Show the tool in hand, and what a left click means."""
        self._show_tool(state.tool)
        (self.positive if state.is_positive else self.negative).setChecked(True)
        # Room for the longest help, so that nothing below moves. Not in `__init__`: the theme's font comes later.
        self.help.setMinimumHeight(_LINES * (self.help.fontMetrics().lineSpacing() + 1))
        self.help.setText(_HELP[state.tool])
        offered = state.label_layers, state.is_protecting
        if offered != self._shown_labels:
            self._shown_labels = offered
            self._fill_menu(state)

    def _show_tool(self, tool: str) -> None:
        self._tools.setExclusive(False)  # with another tool of napari, none is down
        for name, made in self.tools.items():
            made.setChecked(name == tool)
        self._tools.setExclusive(True)

    def _fill_menu(self, state: DockState) -> None:
        menu = self.labels.menu()
        menu.clear()
        for choice in state.label_layers:
            ways = menu.addMenu(choice.label.replace("&", "&&"))
            for way, text in _WAYS:
                ways.addAction(text).triggered.connect(partial(self._ask, way, choice.value))
        if state.is_protecting:
            menu.addAction("Protect no longer").triggered.connect(
                partial(self._ask, "release", None)
            )
        self.labels.setEnabled(bool(menu.actions()))

    def _ask(self, way: str, layer: object, _is_checked: bool = False) -> None:
        self.labels_asked.emit(way, layer)
