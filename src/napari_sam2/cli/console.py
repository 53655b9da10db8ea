"""What all subcommands share at the terminal."""

from __future__ import annotations

import sys
from typing import Any

import typer


def new_app(help: str | None = None) -> typer.Typer:
    """Return the typer app of a subcommand, in plain text as all of them."""
    return typer.Typer(help=help, add_completion=False, rich_markup_mode=None)


def progress_bar(total: int, label: str) -> Any:
    """Return a context manager whose value has `update(steps)`; nothing is shown where stderr is no terminal."""
    is_hidden = not sys.stderr.isatty()
    return typer.progressbar(
        length=total, label=label, file=sys.stderr, show_pos=True, hidden=is_hidden
    )


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, "1 frame" or "2 frames"."""
    return f"{number} {noun}{'s' * (number != 1)}"
