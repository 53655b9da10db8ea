"""The quality strip: all frames of the active object in one line; a click goes to the frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_sam2.plugin.state import FrameKind, FrameMark

COLORS: dict[FrameKind, str] = {
    "prompted": "#56B4E9",
    "locked": "#56B4E9",
    "done": "#009E73",
    "doubtful": "#E69F00",
    "absent": "#8A8F98",
    "missing": "",
}
"""Of Okabe and Ito; height and symbol tell the kinds apart without any colour."""

_HEIGHTS: dict[FrameKind, float] = {
    "prompted": 1.0,
    "locked": 1.0,
    "done": 0.55,
    "doubtful": 1.0,
    "absent": 0.15,
    "missing": 0.0,
}
_WORDS: dict[FrameKind, str] = {
    "prompted": "has prompts",
    "locked": "good, locked",
    "done": "tracked",
    "doubtful": "doubtful",
    "absent": "not visible",
    "missing": "not tracked yet",
}
# Where several frames share a pixel, the one that a person should know of is drawn.
_RANK: tuple[FrameKind, ...] = ("missing", "done", "absent", "prompted", "locked", "doubtful")

_SYMBOLS, _BAR, _CARET = 8, 16, 7


class QualityStrip(QWidget):
    """Draws one column a frame: symbols above, bars, and a caret below at the frame that is shown."""

    frame_asked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.marks: tuple[FrameMark, ...] = ()
        self.frame: int | None = None
        self.setAccessibleName("Frames of the active object")
        self.setFixedHeight(_SYMBOLS + _BAR + _CARET)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def sizeHint(self) -> QSize:
        """Take any width."""
        return QSize(120, _SYMBOLS + _BAR + _CARET)

    def show_marks(self, marks: tuple[FrameMark, ...]) -> None:
        """Show how the frames stand."""
        if marks != self.marks:
            self.marks = marks
            self.update()

    def show_frame(self, frame: int | None) -> None:
        """Show where the sliders stand."""
        if frame != self.frame:
            self.frame = frame
            self.update()

    def frame_at(self, x: float) -> int:
        """Return the frame that is drawn at a horizontal position."""
        count = max(1, len(self.marks))
        return min(count - 1, max(0, int(x * count / max(1, self.width()))))

    # Mouse

    def mousePressEvent(self, event: QEvent) -> None:
        """Go to the frame under the pointer."""
        if event.button() == Qt.MouseButton.LeftButton and self.marks:
            self.frame_asked.emit(self.frame_at(event.position().x()))

    def mouseMoveEvent(self, event: QEvent) -> None:
        """Follow the pointer while it is pressed; else say what is under it."""
        if not self.marks:
            return
        frame = self.frame_at(event.position().x())
        if event.buttons() & Qt.MouseButton.LeftButton:
            self.frame_asked.emit(frame)
        else:
            text = f"Frame {frame}: {in_words(self.marks[frame])}"
            QToolTip.showText(event.globalPosition().toPoint(), text, self)

    # Drawing

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw everything."""
        painter = QPainter(self)
        palette = self.palette()
        ground = QColor(palette.color(palette.ColorRole.WindowText))
        ground.setAlphaF(0.10)
        painter.fillRect(QRectF(0, _SYMBOLS, self.width(), _BAR), ground)
        for x0, x1, mark in columns_of(self.marks, self.width()):
            self._draw_bar(painter, QRectF(x0, _SYMBOLS, x1 - x0, _BAR), mark)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for number, mark in enumerate(self.marks):
            self._draw_symbol(painter, self._middle(number), mark.kind)
        if self.frame is not None and self.marks:
            self._draw_caret(painter, self._middle(self.frame))
        painter.end()

    def _middle(self, frame: int) -> float:
        return (frame + 0.5) * self.width() / len(self.marks)

    def _draw_bar(self, painter: QPainter, room: QRectF, mark: FrameMark) -> None:
        height = room.height() * _HEIGHTS[mark.kind]
        if not height:
            return
        bar = QRectF(room.left(), room.bottom() - height, room.width(), height)
        painter.fillRect(bar, QColor(COLORS[mark.kind]))
        if mark.is_stopped:
            painter.fillRect(bar, Qt.BrushStyle.BDiagPattern)

    def _draw_symbol(self, painter: QPainter, x: float, kind: FrameKind) -> None:
        y, half = _SYMBOLS / 2 - 0.5, 2.6
        x = min(max(x, half), self.width() - half)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(COLORS[kind] or "transparent"))
        if kind == "prompted":
            painter.drawEllipse(QPointF(x, y), half, half)
        elif kind == "locked":
            painter.drawRect(QRectF(x - half, y - half, 2 * half, 2 * half))

    def _draw_caret(self, painter: QPainter, x: float) -> None:
        color = self.palette().color(self.palette().ColorRole.WindowText)
        top, bottom = _SYMBOLS + _BAR + 1.0, self.height() - 0.5
        x = min(max(x, 4.0), self.width() - 4.0)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        painter.drawPolygon(
            QPolygonF([QPointF(x, top), QPointF(x - 4, bottom), QPointF(x + 4, bottom)])
        )
        painter.fillRect(QRectF(x - 0.5, _SYMBOLS, 1.0, _BAR), color)


def columns_of(marks: Sequence[FrameMark], width: int) -> Iterator[tuple[int, int, FrameMark]]:
    """Yield (x0, x1, mark) in whole pixels, a gap between wide ones; of frames that share a pixel, the weightiest."""
    count = len(marks)
    gap = 1 if count and width / count >= 4 else 0
    by_column: dict[tuple[int, int], FrameMark] = {}
    for number, mark in enumerate(marks):
        x0, x1 = number * width // count, (number + 1) * width // count
        column = (x0, max(x0 + 1, x1 - gap))
        known = by_column.get(column)
        if known is None or _RANK.index(mark.kind) > _RANK.index(known.kind):
            by_column[column] = mark
    for (x0, x1), mark in by_column.items():
        yield x0, x1, mark


def in_words(mark: FrameMark) -> str:
    """Return what a frame is, for people."""
    words = _WORDS[mark.kind]
    if mark.kind == "doubtful":
        words = f"{words} ({mark.doubt:.0%})"
    return f"{words}, before the stop" if mark.is_stopped else words
