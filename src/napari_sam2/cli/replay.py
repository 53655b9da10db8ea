"""``napari-sam2 run x.sam2.json``: a session without a window; the same labels, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from napari_sam2.core.errors import FileFormatError

if TYPE_CHECKING:
    from napari_sam2.api import Session

SUFFIX = ".sam2.json"


def is_session(path: Path) -> bool:
    """Say whether a path is a session file, by its name."""
    return path.name.lower().endswith(SUFFIX)


def inputs_of(path: Path, image: Path | None) -> tuple[Path, ...]:
    """Return the files that a replay reads from, so that none is written over."""
    from napari_sam2.io.sessions import read_session

    place = read_session(path).place
    found = None if place is None or place.path is None else Path(place.path)
    return tuple(item for item in (path, image or found) if item is not None)


def _show_image(path: Path) -> None:
    """Say which image a session opens, if it is not one that lies with it."""
    opened = inputs_of(path, None)[1:]
    if opened and not opened[0].is_relative_to(path.resolve().parent):
        typer.echo(f"{path.name} opens its image: {opened[0]}", err=True)


def replayed(
    path: Path,
    image: Path | None,
    model: str | None,
    device: Any,
    embedding_cache: bool | None = None,
) -> Session:
    """Return a session as a file says it, with nothing but what a person said: all masks are still to come.

    Parameters
    ----------
    path : Path
        The session file.
    image : Path, optional
        Another image than the one it was made on, of the same shape.
    model : str, optional
        Another model.
    device : str
        Where the network runs.
    embedding_cache : bool, optional
        As for `Session`.
    """
    from napari_sam2.api import Session

    if image is None:
        _show_image(path)
    return Session.open(
        path, image, model=model, device=device, masks=False, embedding_cache=embedding_cache
    )


def runs_of(session: Session) -> list[list[int]]:
    """Return which objects are tracked together: those that were, in the order in which they were.

    Where masks of different runs overlap, the order of the runs decides.
    """
    ranks = session.saved.ranks
    return [
        [int(key) for key in session.objects if ranks[key] == rank]
        for rank in sorted(set(ranks.values()))
    ]


def check_whole(path: Path, options: dict[str, Any]) -> None:
    """Refuse options that a session file answers itself."""
    given = [name for name, value in options.items() if value]
    if given:
        raise FileFormatError(
            f"{path.name} says itself what {', '.join(f'--{name}' for name in given)} would say",
            remedy="leave that out, or give the image and --prompts",
            kept="no file was written",
        )
