"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where the network runs.")
]
Focus = Annotated[bool, typer.Option(help="Look at small objects in a window that follows them.")]
