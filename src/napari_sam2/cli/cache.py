"""``napari-sam2 cache``: encoded frames that are kept on this disk."""

from __future__ import annotations

import time
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_sam2.cli.console import counted, new_app
from napari_sam2.core.errors import FileFormatError

if TYPE_CHECKING:
    from napari_sam2.io.embedding_cache import DiskEmbeddings, Entry

app = new_app(
    "List or remove encoded frames, which are kept so that they need not be encoded again."
)

Folder = Annotated[
    Path | None, typer.Option(help="The one given as embedding_cache; by default the usual one.")
]


@app.command("list")
def list_embeddings(folder: Folder = None) -> None:
    """Tell how many encoded frames there are, by the day on which they were last used."""
    store = _store(folder)
    entries = _entries(store)
    for day, used in groupby(entries, key=_day):
        typer.echo(f"{day}  {_summary(list(used))}")
    typer.echo(f"{store.folder}: {_summary(entries)} of {_size(store.quota)}")


@app.command()
def clear(folder: Folder = None) -> None:
    """Remove all encoded frames; they are encoded again when they are needed."""
    store = _store(folder)
    try:
        removed = store.clear()
    except OSError as error:
        raise FileFormatError(
            f"{error.filename} cannot be removed: {error.strerror}",
            remedy="end the programs that use it, and try again",
            kept="what was not removed yet is still there",
        ) from error
    typer.echo(f"{store.folder}: {_summary(removed)} removed")


def status() -> str:
    """Return one line about the usual folder, also if it cannot be read."""
    store = _store(None)
    try:
        return f"{store.folder}, {_summary(store.entries())} of {_size(store.quota)}"
    except OSError as error:
        return f"{store.folder} cannot be read: {error.strerror}"


def _store(folder: Path | None) -> DiskEmbeddings:
    from napari_sam2.io.embedding_folder import store_of
    from napari_sam2.io.folders import embeddings_folder

    return store_of(embeddings_folder() if folder is None else folder.expanduser().absolute())


def _entries(store: DiskEmbeddings) -> list[Entry]:
    try:
        return store.entries()
    except (OSError, ValueError) as error:
        raise FileFormatError(
            f"{store.folder} cannot be read: {error}", remedy="check the permissions of the folder"
        ) from error


def _day(entry: Entry) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(entry.used))


def _summary(entries: list[Entry]) -> str:
    total = sum(entry.size for entry in entries)
    return f"{counted(len(entries), 'frame')}, {_size(total)}"


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.1f} MB"
