"""The objects: which one the next click speaks about, how each of them stands, and what can be done with it."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QMenu

from napari_sam2.plugin.actions import labelled, with_key
from napari_sam2.plugin.panels.parts import Panel, button, label, side_by_side
from napari_sam2.plugin.panels.table import ObjectsTable
from napari_sam2.plugin.state import DockState


class ObjectsPanel(Panel):
    """A table with the colours of the labels, and buttons for whole objects."""

    next_asked = Signal()
    delete_asked = Signal()
    only_asked = Signal(bool)
    merge_asked = Signal(int)
    split_asked = Signal()
    untrim_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        head = QHBoxLayout()
        head.addWidget(label("OBJECTS", "heading"), 1)
        self.next = button(with_key("next_object"), tip=labelled("next_object"))
        head.addWidget(self.next)
        self.column.addLayout(head)
        self.table = ObjectsTable()
        self.column.addWidget(self.table)
        self.delete = button(
            "Delete", tip="Remove the active object with its masks; undo brings it back"
        )
        self.only = button("Show only", tip="Hide the masks of all other objects")
        self.only.setCheckable(True)
        self.more = button("More", tip="Merge, split, class, show on all frames, columns")
        self.more.setMenu(QMenu(self.more))
        self.columns = QMenu("Columns", self.more)
        self.column.addLayout(side_by_side(self.delete, self.only, self.more))
        self.next.clicked.connect(lambda: self.next_asked.emit())
        self.delete.clicked.connect(lambda: self.delete_asked.emit())
        self.only.clicked.connect(self.only_asked)
        self.more.menu().aboutToShow.connect(self.fill_menu)
        self._state: DockState | None = None

    def fill_menu(self) -> None:
        """Offer what can be done with the active object now."""
        menu, state = self.more.menu(), self._state
        menu.clear()
        begun = [row for row in state.objects if row.num_prompted]
        for row in begun:
            if row.object_id != state.active_object:
                title = f"Merge with {row.object_id} {row.name}".rstrip()
                action = menu.addAction(title)
                action.triggered.connect(
                    lambda _=False, other=row.object_id: self.merge_asked.emit(other)
                )
        menu.addSeparator()
        split = menu.addAction("Split: another object from this frame on")
        split.triggered.connect(lambda: self.split_asked.emit())
        untrim = menu.addAction("Show on all frames again")
        untrim.triggered.connect(lambda: self.untrim_asked.emit())
        classed = menu.addAction("Class of this object…")
        classed.triggered.connect(lambda: self.table.edit_class())
        for action in menu.actions():
            action.setEnabled(_is_active_begun(state))
        self.columns.clear()
        self.table.fill_columns(self.columns)
        menu.addMenu(self.columns)

    def show_state(self, state: DockState) -> None:
        """Show the rows and which one is active."""
        self._state = state
        is_begun = _is_active_begun(state)
        self.next.setEnabled(is_begun)
        self.delete.setEnabled(is_begun)
        self.more.setEnabled(bool(state.objects))
        self.only.setChecked(state.shows_only_active)
        self.table.show_state(state)


def _is_active_begun(state: DockState) -> bool:
    return any(row.object_id == state.active_object and row.num_prompted for row in state.objects)
