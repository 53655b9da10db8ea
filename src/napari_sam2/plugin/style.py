"""The dock's look, from napari's theme: quiet, with one accent."""

from __future__ import annotations

from napari.utils.theme import get_theme

from napari_sam2.plugin.prompt_layers import NEGATIVE, POSITIVE

ACCENT = POSITIVE
"""Blue-green: the colour of a positive click, and of the button that carries it on."""


def style_sheet(theme_name: str) -> str:
    """Return the style sheet of the dock for a theme of napari."""
    theme = get_theme(theme_name)
    text, quiet = theme.text.as_hex(), _mixed(theme.text, theme.background, 0.62)
    field, line = theme.foreground.as_hex(), theme.primary.as_hex()
    return f"""
    QWidget#sam2Dock {{ background: {theme.background.as_hex()}; }}
    QLabel {{ color: {text}; padding: 0px; margin: 0px; }}
    QLabel[role="heading"] {{ color: {quiet}; font-weight: 600; letter-spacing: 0.5px; }}
    QLabel[role="quiet"] {{ color: {quiet}; }}
    QLabel[role="notice"] {{ color: {theme.warning.as_hex()}; font-weight: 600; }}
    QFrame[role="message"] {{ background: {field}; border-radius: 4px; }}
    QFrame[role="message"][tone="warning"] {{ border-left: 3px solid {theme.warning.as_hex()}; }}
    QFrame[role="message"][tone="error"] {{ border-left: 3px solid {theme.error.as_hex()}; }}
    QFrame[role="message"][tone="busy"] {{ border-left: 3px solid {theme.current.as_hex()}; }}
    QFrame[role="message"][tone="hint"], QFrame[role="message"][tone="done"] {{
        border-left: 3px solid {ACCENT}; }}
    QPushButton {{ padding: 5px 8px; border-radius: 4px; min-height: 16px; }}
    QPushButton:checked {{ background: {theme.current.as_hex()}; }}
    QPushButton[role="fold"], QPushButton[role="fold"]:checked {{ background: transparent;
        color: {quiet}; font-weight: 600; text-align: left; padding: 5px 0px; }}
    QPushButton[role="main"] {{ background: {ACCENT}; color: white; font-weight: 600; }}
    QPushButton[role="main"]:hover {{ background: #00B383; }}
    QPushButton[role="main"]:disabled {{ background: {field}; color: {line}; }}
    QPushButton[role="tool"] {{ padding: 5px 2px; }}
    QPushButton[role="sign"] {{ text-align: center; }}
    QPushButton[role="sign"][sign="positive"]:checked {{ background: {POSITIVE}; color: white; }}
    QPushButton[role="sign"][sign="negative"]:checked {{ background: {NEGATIVE}; color: white; }}
    QTableWidget {{ border: 1px solid {field}; border-radius: 4px; background: transparent;
        alternate-background-color: transparent; }}
    QTableWidget::item {{ padding: 0px 3px; border: none; }}
    QTableWidget::item:selected {{ background: {field}; color: {text}; }}
    QHeaderView, QHeaderView::section {{ background: transparent; color: {quiet}; border: none;
        padding: 2px 1px; }}
    QPlainTextEdit {{ border: 1px solid {field}; border-radius: 4px; background: transparent;
        color: {text}; font-family: monospace; }}
    QProgressBar {{ border: none; border-radius: 3px; background: {field};
        min-height: 6px; max-height: 6px; }}
    QProgressBar::chunk {{ background: {ACCENT}; border-radius: 3px; }}
    """


def _mixed(first: object, second: object, share: float) -> str:
    pairs = zip(first.as_rgb_tuple(alpha=False), second.as_rgb_tuple(alpha=False), strict=True)
    red, green, blue = (round(share * a + (1 - share) * b) for a, b in pairs)
    return f"rgb({red}, {green}, {blue})"
