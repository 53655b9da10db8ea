"""The objects: which one the next click speaks about."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QListWidget, QListWidgetItem

from napari_sam2.plugin.actions import labelled, with_key
from napari_sam2.plugin.panels.parts import Panel, button, label
from napari_sam2.plugin.state import DockState, ObjectRow

_ROW_HEIGHT = 26
_SHOWN_ROWS = 8


class ObjectsPanel(Panel):
    """A list with the colours of the labels, and a button for the next object."""

    object_chosen = Signal(int)
    next_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        head = QHBoxLayout()
        head.addWidget(label("OBJECTS", "heading"), 1)
        self.next = button(with_key("next_object"), tip=labelled("next_object"))
        head.addWidget(self.next)
        self.column.addLayout(head)
        self.list = QListWidget()
        self.list.setAccessibleName("Objects")
        self.list.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.list.setIconSize(QSize(14, 14))
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.column.addWidget(self.list)
        self.next.clicked.connect(lambda: self.next_asked.emit())
        self.list.currentItemChanged.connect(self._on_current)
        self._shown: tuple[object, ...] = ()

    def _on_current(self, item: QListWidgetItem | None) -> None:
        if item is not None:
            self.object_chosen.emit(item.data(Qt.ItemDataRole.UserRole))

    def show_state(self, state: DockState) -> None:
        """Show the rows and which one is active."""
        self.next.setEnabled(any(_is_begun(row, state.active_object) for row in state.objects))
        shown = (state.objects, state.active_object, state.num_frames)
        if shown == self._shown:
            return
        self._shown = shown
        with QSignalBlocker(self.list):
            self._fill(state)
        rows = min(max(len(state.objects), 2), _SHOWN_ROWS)
        self.list.setFixedHeight(rows * _ROW_HEIGHT + 8)

    def _fill(self, state: DockState) -> None:
        while self.list.count() > len(state.objects):
            self.list.takeItem(self.list.count() - 1)
        for number, row in enumerate(state.objects):
            item = self.list.item(number) or QListWidgetItem(self.list)
            item.setIcon(_swatch(row.color))
            item.setText(f"{row.object_id}   {_in_words(row, state.num_frames)}")
            item.setSizeHint(QSize(0, _ROW_HEIGHT))
            item.setData(Qt.ItemDataRole.UserRole, row.object_id)
            if row.object_id == state.active_object:
                self.list.setCurrentItem(item)


def _is_begun(row: ObjectRow, active: int) -> bool:
    return row.object_id == active and row.num_prompted > 0


def _in_words(row: ObjectRow, num_frames: int) -> str:
    if not row.num_prompted:
        return "click it in the image"
    if num_frames == 1:
        return "done"
    return f"{row.num_frames} of {num_frames} frames"


def _swatch(color: tuple[float, ...]) -> QIcon:
    picture = QPixmap(28, 28)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor.fromRgbF(*color[:3]))
    painter.drawRoundedRect(2, 2, 24, 24, 6, 6)
    painter.end()
    icon = QIcon(picture)
    # Without this, Qt tints the icon of the selected row, and the colour is the point of it.
    icon.addPixmap(picture, QIcon.Mode.Selected)
    return icon
