"""Small parts that several panels are made of."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_sam2.plugin.state import Choice


class Panel(QWidget):
    """A column of widgets, under a quiet heading if there is one."""

    def __init__(self, heading: str = "") -> None:
        super().__init__()
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(6)
        if heading:
            self.column.addWidget(label(heading, "heading"))


def label(text: str, role: str = "", *, wraps: bool = False) -> QLabel:
    """Return a label; text from data is never read as markup."""
    made = QLabel(text)
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.setProperty("role", role)
    made.setWordWrap(wraps)
    return made


def button(text: str, role: str = "", tip: str = "") -> QPushButton:
    """Return a button that leaves the keyboard to the canvas when clicked."""
    made = QPushButton(text)
    made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    made.setProperty("role", role)
    made.setToolTip(tip)
    return made


def side_by_side(*widgets: QWidget) -> QHBoxLayout:
    """Return a row of widgets of equal width."""
    row = QHBoxLayout()
    row.setSpacing(6)
    for widget in widgets:
        row.addWidget(widget, 1)
    return row


def swatch(color: tuple[float, ...]) -> QIcon:
    """Return an icon of one colour, RGB from 0 to 1."""
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


class DropDown(QComboBox):
    """A drop-down that shortens long lines instead of widening the dock."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        self._choices: tuple[Choice, ...] = ()

    def wheelEvent(self, event: object) -> None:
        """Scrolling the dock must not change what is chosen."""
        event.ignore()

    def show_choices(self, choices: Sequence[Choice], chosen: object) -> None:
        """Show the lines and which of them is chosen, without emitting anything."""
        with QSignalBlocker(self):
            if tuple(choices) != self._choices:
                self._choices = tuple(choices)
                self.clear()
                for row, choice in enumerate(self._choices):
                    self.addItem(choice.label)
                    self.setItemData(row, choice.tip or choice.label, Qt.ItemDataRole.ToolTipRole)
            rows = [row for row, item in enumerate(self._choices) if item.value is chosen]
            rows += [row for row, item in enumerate(self._choices) if item.value == chosen]
            self.setCurrentIndex(rows[0] if rows else -1)
            self.setToolTip(self.currentText())

    @property
    def chosen(self) -> object:
        """What the current line stands for."""
        return self._choices[self.currentIndex()].value
