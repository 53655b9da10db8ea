"""The sentence in the message line: what happens now, or what to do next."""

from __future__ import annotations

from dataclasses import dataclass

from napari_sam2.plugin.state import Message


@dataclass(frozen=True, slots=True)
class Situation:
    """What the next step depends on."""

    has_image: bool = False
    has_session: bool = False
    is_flat: bool = False
    num_objects: int = 0
    has_active: bool = False
    num_waiting: int = 0
    is_loaded: bool = True
    is_running: bool = False
    is_stopping: bool = False
    num_untracked: int = 0
    missing_model: str = ""


def next_step(now: Situation) -> Message:
    """Return what to do next."""
    if now.missing_model:
        return Message(
            f"Download the model {now.missing_model} to use it, or choose nano.", "warning"
        )
    if not now.has_session:
        if now.has_image:
            return Message("Choose the image to annotate.")
        return Message("Open an image or a stack to begin: drag a file into the window.")
    if now.is_stopping:
        return Message("Stopping. What is done is kept.", "busy")
    if now.is_running:
        return Message("Results appear frame by frame. Esc stops and keeps what is done.", "busy")
    if now.num_waiting:
        return Message("Finding the object…" if now.is_loaded else "Loading the model…", "busy")
    if not now.num_objects:
        return Message("Click an object in the image.")
    return _with_objects(now)


def _with_objects(now: Situation) -> Message:
    if not now.has_active:
        return Message("Click the next object in the image.")
    if now.is_flat:
        return Message("Correct with more clicks, or press M for the next object.")
    if now.num_untracked:
        return Message("Correct with more clicks, press M for the next object, or propagate.")
    return Message(
        "All frames are done. Correct where a mask is wrong, or export the labels.", "done"
    )
