"""Small parts that several panels are made of."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap, QResizeEvent
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSpinBox,
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


class Caption(QLabel):
    """One quiet line that shortens itself instead of widening the dock; pointed at, it says everything."""

    def __init__(self) -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setProperty("role", "quiet")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._full = ""

    def say(self, text: str) -> None:
        """Show a text, or as much of it as there is room for."""
        self._full = text
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show what there is room for now."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        shown = self.fontMetrics().elidedText(
            self._full, Qt.TextElideMode.ElideRight, max(0, self.width())
        )
        self.setText(shown)
        self.setToolTip("" if shown == self._full else self._full)


class Fold(QPushButton):
    """A heading that unfolds what belongs to it."""

    def __init__(self, title: str, tip: str) -> None:
        super().__init__()
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setProperty("role", "fold")
        self.setToolTip(tip)
        self.setCheckable(True)
        self.toggled.connect(lambda: self.show_title(self._title))
        self._title = ""
        self.show_title(title)

    def fold_away(self, content: QWidget) -> None:
        """Show a widget only while this is open."""
        content.setVisible(self.isChecked())
        self.toggled.connect(content.setVisible)

    def show_title(self, title: str) -> None:
        """Show another title, behind the sign for open or closed."""
        self._title = title
        self.setText(f"{'▾' if self.isChecked() else '▸'}  {title}")


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


class Number(QSpinBox):
    """A whole number that is typed, or stepped with its arrows."""

    def __init__(self, name: str, suffix: str = "") -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.setToolTip(name)
        self.setSuffix(suffix)
        self.setKeyboardTracking(False)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def wheelEvent(self, event: object) -> None:
        """Scrolling the dock must not change a number."""
        event.ignore()

    def show_number(self, value: int, least: int, most: int) -> None:
        """Show a number and its limits, without emitting anything; what is being typed is left alone."""
        if self.hasFocus() and self.value() == value:
            return
        with QSignalBlocker(self):
            self.setRange(least, max(least, most))
            self.setValue(value)


class Form(QGridLayout):
    """Rows of a name and what is chosen for it."""

    def __init__(self) -> None:
        super().__init__()
        self.setContentsMargins(0, 0, 0, 0)
        self.setHorizontalSpacing(8)
        self.setVerticalSpacing(6)
        self.setColumnStretch(1, 1)
        self._titles: dict[DropDown, QLabel] = {}

    def add_choice(self, name: str) -> DropDown:
        """Add a row with a drop-down."""
        drop_down, title, row = DropDown(name), label(name), self.rowCount()
        title.setBuddy(drop_down)
        self.addWidget(title, row, 0)
        self.addWidget(drop_down, row, 1)
        self._titles[drop_down] = title
        return drop_down

    def show_row(self, drop_down: DropDown, is_shown: bool) -> None:
        """Show a row of which there is something to choose, or not."""
        drop_down.setVisible(is_shown)
        self._titles[drop_down].setVisible(is_shown)
