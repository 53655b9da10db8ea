"""The objects: which one the next click speaks about, how each of them stands, and what can be done with it."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QMenu,
    QTableWidget,
    QTableWidgetItem,
)

from napari_sam2.plugin.actions import labelled, with_key
from napari_sam2.plugin.panels.parts import Panel, button, label, side_by_side
from napari_sam2.plugin.state import DockState, ObjectRow

_ROW_HEIGHT = 26
_SHOWN_ROWS = 6
NUMBER, NAME, FRAMES, PROMPTED, LOWEST = range(5)
_HEADS = ("", "Name", "Done", "●", "Lowest")
_TIPS = (
    "Colour and number: the value in the labels",
    "Double-click to rename",
    "Frames on which it is known",
    "Frames with prompts",
    "How sure the least sure tracked frame is",
)


class ObjectsPanel(Panel):
    """A table with the colours of the labels, and buttons for whole objects."""

    object_chosen = Signal(int)
    next_asked = Signal()
    renamed = Signal(int, str)
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
        self.table = _table()
        self.column.addWidget(self.table)
        self.delete = button(
            "Delete", tip="Remove the active object with its masks; undo brings it back"
        )
        self.only = button("Show only", tip="Hide the masks of all other objects")
        self.only.setCheckable(True)
        self.more = button("More", tip="Merge, split, show on all frames")
        self.more.setMenu(QMenu(self.more))
        self.column.addLayout(side_by_side(self.delete, self.only, self.more))
        self.next.clicked.connect(lambda: self.next_asked.emit())
        self.delete.clicked.connect(lambda: self.delete_asked.emit())
        self.only.clicked.connect(self.only_asked)
        self.more.menu().aboutToShow.connect(self.fill_menu)
        self.table.currentCellChanged.connect(self._on_current)
        self.table.itemChanged.connect(self._on_edited)
        self._shown: tuple[object, ...] = ()
        self._state: DockState | None = None

    def _on_current(self, row: int, *_rest: int) -> None:
        if row >= 0:
            self.object_chosen.emit(self._id_of(row))

    def _on_edited(self, item: QTableWidgetItem) -> None:
        if item.column() == NAME:
            self.renamed.emit(self._id_of(item.row()), item.text().strip())

    def _id_of(self, row: int) -> int:
        return int(self.table.item(row, NUMBER).data(Qt.ItemDataRole.UserRole))

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
        for action in menu.actions():
            action.setEnabled(_is_active_begun(state))

    def show_state(self, state: DockState) -> None:
        """Show the rows and which one is active."""
        self._state = state
        is_begun = _is_active_begun(state)
        self.next.setEnabled(is_begun)
        self.delete.setEnabled(is_begun)
        self.more.setEnabled(is_begun)
        self.only.setChecked(state.shows_only_active)
        shown = (state.objects, state.active_object, state.num_frames)
        is_edited = self.table.state() == QAbstractItemView.State.EditingState
        if shown == self._shown or is_edited:
            return
        self._shown = shown
        with QSignalBlocker(self.table):
            self._fill(state)
        rows = min(max(len(state.objects), 2), _SHOWN_ROWS)
        self.table.setFixedHeight(rows * _ROW_HEIGHT + self.table.horizontalHeader().height() + 4)

    def _fill(self, state: DockState) -> None:
        self.table.setRowCount(len(state.objects))
        for column in (FRAMES, PROMPTED, LOWEST):
            self.table.setColumnHidden(column, state.num_frames == 1)
        for number, row in enumerate(state.objects):
            for column, text in enumerate(_cells(row)):
                self._cell(number, column).setText(text)
            self._cell(number, NAME).setToolTip(f"{row.name}  (double-click to rename)".strip())
            done = f"{row.num_frames} of {state.num_frames} frames"
            self._cell(number, FRAMES).setToolTip(done)
            first = self._cell(number, NUMBER)
            first.setIcon(_swatch(row.color))
            first.setData(Qt.ItemDataRole.UserRole, row.object_id)
            if row.object_id == state.active_object:
                self.table.setCurrentCell(number, NUMBER)

    def _cell(self, row: int, column: int) -> QTableWidgetItem:
        item = self.table.item(row, column)
        if item is None:
            item = QTableWidgetItem()
            if column != NAME:
                item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
            if column > NAME:
                right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                item.setTextAlignment(right)
            item.setToolTip(_TIPS[column])
            self.table.setItem(row, column, item)
        return item


def _table() -> QTableWidget:
    table = QTableWidget(0, len(_HEADS))
    table.setAccessibleName("Objects")
    table.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
    table.setIconSize(QSize(14, 14))
    table.setShowGrid(False)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked)
    table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.setHorizontalHeaderLabels(_HEADS)
    rows, columns = table.verticalHeader(), table.horizontalHeader()
    rows.setVisible(False)
    rows.setDefaultSectionSize(_ROW_HEIGHT)
    columns.setHighlightSections(False)
    columns.setMinimumSectionSize(20)
    columns.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    columns.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
    for column in range(len(_HEADS)):
        table.horizontalHeaderItem(column).setToolTip(_TIPS[column])
        side = Qt.AlignmentFlag.AlignRight if column > NAME else Qt.AlignmentFlag.AlignLeft
        table.horizontalHeaderItem(column).setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
    return table


def _is_active_begun(state: DockState) -> bool:
    return any(row.object_id == state.active_object and row.num_prompted for row in state.objects)


def _cells(row: ObjectRow) -> tuple[str, ...]:
    number = str(row.object_id)
    if not row.num_prompted:
        return number, row.name or "click it", "", "", ""
    lowest = "" if row.lowest is None else f"{row.lowest:.0%}"
    return number, row.name, str(row.num_frames), str(row.num_prompted), lowest


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
