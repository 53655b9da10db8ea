"""Propagate, stop, how far it is, undo and redo."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QProgressBar

from napari_sam2.plugin.actions import BY_NAME, labelled, with_key
from napari_sam2.plugin.panels.parts import Panel, button, label, side_by_side
from napari_sam2.plugin.panels.scope import ScopePanel
from napari_sam2.plugin.state import DockState


class PropagatePanel(Panel):
    """One button that propagates, and stops while it does."""

    propagate_asked = Signal(str)
    stop_asked = Signal()
    undo_asked = Signal()
    redo_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.propagate = button(
            with_key("running.propagate"), "main", labelled("running.propagate")
        )
        self.backward = button("◀", tip=labelled("running.propagate_backward"))
        self.forward = button("▶", tip=labelled("running.propagate_forward"))
        self.backward.setAccessibleName("Propagate backward")
        self.forward.setAccessibleName("Propagate forward")
        self.stop = button(with_key("running.stop"), tip=labelled("running.stop"))
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.text = label("", "quiet")
        self.undo = button("Undo", tip=labelled("undo"))
        self.redo = button("Redo", tip=labelled("redo"))
        for widget in (self.propagate, self.stop, self.bar, self.text):
            self.column.addWidget(widget)
        self.column.addLayout(side_by_side(self.backward, self.forward, self.undo, self.redo))
        self.more = ScopePanel()
        self.column.addWidget(self.more)
        self.propagate.clicked.connect(lambda: self.propagate_asked.emit("both"))
        self.backward.clicked.connect(lambda: self.propagate_asked.emit("backward"))
        self.forward.clicked.connect(lambda: self.propagate_asked.emit("forward"))
        self.stop.clicked.connect(lambda: self.stop_asked.emit())
        self.undo.clicked.connect(lambda: self.undo_asked.emit())
        self.redo.clicked.connect(lambda: self.redo_asked.emit())

    def show_state(self, state: DockState) -> None:
        """Show what can be done, and how far it is."""
        progress = state.progress
        is_busy = progress is not None
        self.propagate.setVisible(not is_busy)
        self.propagate.setText(with_key("running.propagate", "Resume" if state.is_stopped else ""))
        for widget in (self.propagate, self.backward, self.forward):
            widget.setEnabled(state.can_propagate)
        for widget in (self.stop, self.bar, self.text):
            widget.setVisible(is_busy)
        if progress is not None:
            self.stop.setEnabled(not progress.is_stopping)
            self.bar.setRange(0, max(1, progress.total))
            self.bar.setValue(progress.done)
            self.text.setText(progress.text)
        self.more.show_state(state)
        self.undo.setEnabled(bool(state.undo_action))
        self.undo.setToolTip(_tip("undo", state.undo_action))
        self.redo.setEnabled(bool(state.redo_action))
        self.redo.setToolTip(_tip("redo", state.redo_action))


def _tip(name: str, action: str) -> str:
    what = f"{BY_NAME[name].title}: {action}" if action else f"Nothing to {name}"
    return f"{what}  ({BY_NAME[name].shown})"
