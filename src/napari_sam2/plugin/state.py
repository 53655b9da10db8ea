"""DockState: all that the panels show, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from napari_sam2.core.state import OverlapPolicy
from napari_sam2.plugin.scope import EVERYTHING, Scope

Tone = Literal["hint", "busy", "done", "warning", "error"]

FrameKind = Literal["prompted", "locked", "done", "doubtful", "absent", "missing"]


@dataclass(frozen=True, slots=True)
class Message:
    """One sentence for the message line."""

    text: str
    tone: Tone = "hint"


@dataclass(frozen=True, slots=True)
class Choice:
    """One line of a drop-down: what it stands for, what it says, and why."""

    value: object
    label: str
    tip: str = ""


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """One object of the table.

    `color`: RGBA from 0 to 1, as in the labels; `num_frames`: on so many it is known; `lowest`: how sure its worst
    tracked frame is, 0 to 1, None if nothing was tracked; `size`: its volume, or its area on the shown frame, in words.
    """

    object_id: int
    color: tuple[float, ...]
    num_frames: int
    num_prompted: int
    name: str = ""
    class_name: str = ""
    lowest: float | None = None
    size: str = ""


@dataclass(frozen=True, slots=True)
class FrameMark:
    """One frame of the strip. `doubt`: 0 to 1; `is_stopped`: found by a run that was stopped."""

    kind: FrameKind
    doubt: float = 0.0
    is_stopped: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """A run or a download: `done` of `total`, in words."""

    done: int
    total: int
    text: str
    is_stopping: bool = False


@dataclass(frozen=True, slots=True)
class DockState:
    """What the dock shows.

    `images`, `axes`, `models`: what can be chosen; `image`, `axis`, `model`: what is. `axis_locked`: why the axis
    cannot be changed now, or "". `contrasts`: how the model can see the image, first how it does. `qualities`,
    `quality`: how closely the model looks. `devices`, `device`: where it runs, if there is a choice. `focus`: whether
    small objects are followed in windows. `download_size`: of the chosen model in MB if it is not on this computer,
    else 0. `tool`: what is in hand, see `tools.Tool`; `label_layers`: what others labelled; `is_protecting`: whether
    labels that were there before are shown. `has_volumes`: the sizes of objects are those on all frames, not on the
    shown one. `is_stopped`: the last run was stopped and can be resumed. `scope`: what the next run is about;
    `overlap`: who wins where masks overlap. `frame`: the one that is shown; `marks`: how all frames of the active
    object stand; `log`: all actions as Python; `export_suggestion`: a name for files of results; `source_kind`: the
    format of the image; `notice`: what is to be known about images of that kind. `offer`: the question whether to go
    on with an earlier session; `unsaved`: why the session is not on the disk.
    """

    message: Message
    images: tuple[Choice, ...] = ()
    image: object = None
    axes: tuple[Choice, ...] = ()
    axis: object = None
    axis_locked: str = ""
    contrasts: tuple[Choice, ...] = ()
    models: tuple[Choice, ...] = ()
    model: object = None
    download_size: int = 0
    qualities: tuple[Choice, ...] = ()
    quality: object = "auto"
    devices: tuple[Choice, ...] = ()
    device: object = "auto"
    focus: bool = True
    objects: tuple[ObjectRow, ...] = ()
    has_volumes: bool = False
    active_object: int = 1
    is_positive: bool = True
    tool: str = "point"
    label_layers: tuple[Choice, ...] = ()
    is_protecting: bool = False
    progress: Progress | None = None
    can_propagate: bool = False
    is_stopped: bool = False
    scope: Scope = EVERYTHING
    overlap: OverlapPolicy = "keep"
    num_frames: int = 0
    frame: int | None = None
    marks: tuple[FrameMark, ...] = ()
    shows_only_active: bool = False
    log: tuple[str, ...] = ()
    undo_action: str = ""
    redo_action: str = ""
    export_suggestion: Path | None = None
    can_export: bool = False
    source_kind: str = ""
    notice: str = ""
    has_session: bool = field(default=False)
    offer: str = ""
    unsaved: str = ""
