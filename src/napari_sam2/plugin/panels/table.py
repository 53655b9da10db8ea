"""The table of the objects: one row an object, as many columns as there is room for."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import QSignalBlocker, QSize, Qt, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QMenu,
    QTableWidget,
    QTableWidgetItem,
)

from napari_sam2.plugin.panels.columns import (
    ALWAYS,
    CLASS,
    COLUMNS,
    NAME,
    NUMBER,
    SIZE,
    SIZES,
    shown_columns,
    texts_of,
    tips_of,
)
from napari_sam2.plugin.panels.parts import swatch
from napari_sam2.plugin.state import DockState

_ROW_HEIGHT = 26
_SHOWN_ROWS = 6
_MARGINS = 10  # pixels beside the text of a heading
_NAME_WIDTH = 84  # pixels that a name has at least before further columns are shown


class ObjectsTable(QTableWidget):
    """Shows objects; names and classes are edited in place, columns are chosen with a right-click on the heading."""

    object_chosen = Signal(int)
    renamed = Signal(int, str)
    classified = Signal(int, str)

    def __init__(self) -> None:
        super().__init__(0, len(COLUMNS))
        self.setAccessibleName("Objects")
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setIconSize(QSize(14, 14))
        self.setShowGrid(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._make_headings()
        self.currentCellChanged.connect(self._on_current)
        self.itemChanged.connect(self._on_edited)
        self._wanted: dict[int, bool] = {}
        self._shown: tuple[object, ...] = ()
        self._state: DockState | None = None

    def _make_headings(self) -> None:
        self.setHorizontalHeaderLabels([column.head for column in COLUMNS])
        rows, columns = self.verticalHeader(), self.horizontalHeader()
        rows.setVisible(False)
        rows.setDefaultSectionSize(_ROW_HEIGHT)
        columns.setHighlightSections(False)
        columns.setMinimumSectionSize(20)
        columns.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        columns.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        columns.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        columns.customContextMenuRequested.connect(self._ask_for_columns)
        for number, column in enumerate(COLUMNS):
            head = self.horizontalHeaderItem(number)
            head.setToolTip(column.tip)
            head.setTextAlignment(_side(number))

    # What a person does

    def _on_current(self, row: int, *_rest: int) -> None:
        if row >= 0:
            self.object_chosen.emit(self.id_of(row))

    def _on_edited(self, item: QTableWidgetItem) -> None:
        if COLUMNS[item.column()].is_editable:
            signal = self.renamed if item.column() == NAME else self.classified
            signal.emit(self.id_of(item.row()), item.text().strip())

    def id_of(self, row: int) -> int:
        """Return the object in a row."""
        return int(self.item(row, NUMBER).data(Qt.ItemDataRole.UserRole))

    def edit_class(self) -> None:
        """Let a person type the class of the chosen object."""
        self.want_column(CLASS, True)
        self.editItem(self.item(self.currentRow(), CLASS))

    def want_column(self, column: int, is_wanted: bool) -> None:
        """Show or hide a column from now on, whether there is room or not."""
        self._wanted[column] = is_wanted
        self._choose_columns()

    def fill_columns(self, menu: QMenu) -> None:
        """Offer the columns in a menu."""
        for column in self._available():
            title = SIZES[self._has_volumes][0] if column == SIZE else COLUMNS[column].title
            action = menu.addAction(title)
            action.setCheckable(True)
            action.setChecked(not self.isColumnHidden(column))
            action.toggled.connect(lambda is_on, it=column: self.want_column(it, is_on))

    def _ask_for_columns(self, position: object) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.fill_columns(menu)
        menu.popup(self.horizontalHeader().mapToGlobal(position))

    # Showing

    def show_state(self, state: DockState) -> None:
        """Show the rows and which one is active; what is being typed is left alone."""
        self._state = state
        shown = (state.objects, state.active_object, state.num_frames, state.has_volumes)
        is_edited = self.state() == QAbstractItemView.State.EditingState
        if shown == self._shown or is_edited:
            return
        self._shown = shown
        with QSignalBlocker(self):
            self._fill(state)
        self._choose_columns()
        rows = min(max(len(state.objects), 2), _SHOWN_ROWS)
        self.setFixedHeight(rows * _ROW_HEIGHT + self.horizontalHeader().height() + 4)

    def show_sizes(self, sizes: Mapping[int, str]) -> None:
        """Show the sizes of the objects on another frame."""
        self._shown = ()
        with QSignalBlocker(self):
            for row in range(self.rowCount()):
                self._cell(row, SIZE).setText(sizes.get(self.id_of(row), ""))

    def _fill(self, state: DockState) -> None:
        self.setRowCount(len(state.objects))
        size = self.horizontalHeaderItem(SIZE)
        size.setText(SIZES[state.has_volumes][0])
        size.setToolTip(SIZES[state.has_volumes][1])
        for number, row in enumerate(state.objects):
            tips = tips_of(row, state.num_frames, state.has_volumes)
            for column, (text, tip) in enumerate(zip(texts_of(row), tips, strict=True)):
                self._cell(number, column).setText(text)
                self._cell(number, column).setToolTip(tip)
            first = self._cell(number, NUMBER)
            first.setIcon(swatch(row.color))
            first.setData(Qt.ItemDataRole.UserRole, row.object_id)
            if row.object_id == state.active_object:
                self.setCurrentCell(number, NUMBER)

    def _cell(self, row: int, column: int) -> QTableWidgetItem:
        item = self.item(row, column)
        if item is None:
            item = QTableWidgetItem()
            if not COLUMNS[column].is_editable:
                item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
            item.setTextAlignment(_side(column))
            self.setItem(row, column, item)
        return item

    # Room

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show what there is room for now."""
        super().resizeEvent(event)
        self._choose_columns()

    @property
    def _has_volumes(self) -> bool:
        return self._state is not None and self._state.has_volumes

    def _available(self) -> list[int]:
        is_stack = self._state is not None and self._state.num_frames > 1
        optional = (it for it in range(len(COLUMNS)) if it not in ALWAYS)
        return [it for it in optional if is_stack or not COLUMNS[it].is_of_stacks]

    def _choose_columns(self) -> None:
        widths = [self._width_of(column) for column in range(len(COLUMNS))]
        room = self.viewport().width() - widths[NUMBER] - _NAME_WIDTH
        has_classes = self._state and any(row.class_name for row in self._state.objects)
        unused = () if has_classes else (CLASS,)
        shown = shown_columns(widths, room, self._available(), self._wanted, unused)
        for column in range(len(COLUMNS)):
            self.setColumnHidden(column, column not in shown)

    def _width_of(self, column: int) -> int:
        metrics, title = self.horizontalHeader().fontMetrics(), self.horizontalHeaderItem(column)
        heading = metrics.horizontalAdvance(title.text()) + _MARGINS
        places = (self.model().index(row, column) for row in range(self.rowCount()))
        return max([heading, *(self.sizeHintForIndex(place).width() for place in places)])


def _side(column: int) -> Qt.AlignmentFlag:
    is_right = COLUMNS[column].is_number
    side = Qt.AlignmentFlag.AlignRight if is_right else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter
