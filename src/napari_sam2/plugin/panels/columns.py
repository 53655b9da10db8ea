"""The columns of the table of objects: what each is called and means, and which ones there is room for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from napari_sam2.plugin.state import ObjectRow


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `head`: over it; `title`: in a menu; `tip`: what it means; `worth`: what is shown first has more."""

    head: str
    title: str
    tip: str
    worth: int
    is_editable: bool = False
    is_number: bool = True
    is_of_stacks: bool = False


COLUMNS: tuple[Column, ...] = (
    Column("", "Number", "Colour and number: the value in the labels", 9, is_number=False),
    Column("Name", "Name", "Double-click to rename", 9, is_editable=True, is_number=False),
    Column(
        "Class",
        "Class",
        "Double-click to say what kind of object it is",
        2,
        is_editable=True,
        is_number=False,
    ),
    Column("Size", "Size", "", 4),
    Column("Done", "Frames done", "Frames on which it is known", 3, is_of_stacks=True),
    Column("●", "Frames with prompts", "Frames with prompts", 1, is_of_stacks=True),
    Column("Lowest", "Lowest", "How sure the least sure tracked frame is", 5, is_of_stacks=True),
)
NUMBER, NAME, CLASS, SIZE, FRAMES, PROMPTED, LOWEST = range(len(COLUMNS))
ALWAYS = (NUMBER, NAME)

SIZES = {True: ("Volume", "Volume on all frames"), False: ("Area", "Area on the frame shown")}
"""Heading and meaning of the column of sizes: whether objects have volumes."""


def texts_of(row: ObjectRow) -> tuple[str, ...]:
    """Return what stands in the row of an object."""
    number = str(row.object_id)
    if not row.num_prompted:
        return number, row.name or "click it", row.class_name, "", "", "", ""
    lowest = "" if row.lowest is None else f"{row.lowest:.0%}"
    counts = row.size, str(row.num_frames), str(row.num_prompted), lowest
    return number, row.name, row.class_name, *counts


def tips_of(row: ObjectRow, num_frames: int, has_volumes: bool) -> tuple[str, ...]:
    """Return what the row of an object says when it is pointed at."""
    tips = [column.tip for column in COLUMNS]
    named = ", ".join(part for part in (row.name, row.class_name) if part)
    tips[NAME] = f"{named}  (double-click to rename)".strip()
    tips[SIZE] = SIZES[has_volumes][1]
    tips[FRAMES] = f"{row.num_frames} of {num_frames} frames"
    return tuple(tips)


def shown_columns(
    widths: Sequence[int],
    room: int,
    available: Collection[int],
    wanted: Mapping[int, bool],
    unused: Collection[int] = (),
) -> frozenset[int]:
    """Return the columns to show: those that a person wants, then the worthiest that there is room for.

    Parameters
    ----------
    widths : sequence of int
        Of all columns, pixels.
    room : int
        Pixels for the columns that may be left out.
    available : collection of int
        Columns that make sense for this image, but for those that are always there.
    wanted : mapping of int to bool
        What a person chose.
    unused : collection of int
        Columns in which nothing stands: shown only if they are wanted.
    """
    shown = set(ALWAYS)
    optional = [column for column in available if column in wanted or column not in unused]
    for column in sorted(optional, key=lambda it: (not wanted.get(it), -COLUMNS[it].worth)):
        fits = widths[column] <= room
        if wanted.get(column, fits):
            shown.add(column)
            room -= widths[column]
        elif not fits:
            room = 0  # nothing of less worth takes its place
    return frozenset(shown)
