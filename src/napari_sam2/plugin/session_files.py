"""Session files in the viewer: opened, saved, saved by themselves, and offered again."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.errors import ImageError, NapariSam2Error
from napari_sam2.core.saved import Kept
from napari_sam2.io.sessions import SessionFile, read_session
from napari_sam2.io.weights import resolve, weights_sha256
from napari_sam2.plugin import choices
from napari_sam2.plugin.autosave import Autosave, in_words, moment_of, remove_session
from napari_sam2.plugin.contrasting import show
from napari_sam2.plugin.layers import MARK
from napari_sam2.plugin.saving import path_of
from napari_sam2.plugin.state import Message

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_sam2.plugin.binding import Binding
    from napari_sam2.plugin.controller import Controller

TO_OPEN = "session"
"""In `layer.metadata[MARK]` of an image: the session file that is to be opened on it."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A session of the image that was saved by itself: where, and when in words."""

    path: Path
    when: str


class SessionFiles:
    """The part of a controller that reads and writes session files.

    Parameters
    ----------
    controller : Controller
        Whose sessions they are.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._autosave: Autosave | None = None
        self._offer: Offer | None = None
        self._paths: weakref.WeakKeyDictionary[Binding, Path] = weakref.WeakKeyDictionary()

    # Following

    def bind(self, binding: Binding) -> None:
        """Save the session of an image by itself from now on, and offer an earlier one if it has none."""
        path = self._paths.get(binding)
        self._autosave = Autosave(
            binding, lambda: self._controller.settings, self._on_autosave_failed, path
        )
        has_begun = not binding.session.snapshot().is_empty or binding.session.undo_action
        earlier = [] if has_begun else self._autosave.earlier()
        self._offer = None
        if earlier:
            self._offer = Offer(earlier[0], in_words(moment_of(earlier[0]), datetime.now()))

    def leave(self, binding: Binding) -> None:
        """Save what is not saved yet, and follow the session no more."""
        autosave, self._autosave, self._offer = self._autosave, None, None
        if autosave is not None:
            autosave.close()
            self._paths[binding] = autosave.path

    def _on_autosave_failed(self, error: NapariSam2Error) -> None:
        self._controller.message = Message(
            f"The session cannot be saved by itself: {error.what}. Go on, and save it elsewhere.",
            "warning",
        )
        self._controller.tell()

    # Saving

    def save(self, path: str | Path) -> None:
        """Write the session where a person wants it; from now on it is saved there by itself."""
        with self._controller.reporting():
            self._controller.require_session()
            assert self._autosave is not None
            self._autosave.save_as(Path(path))
            self._controller.message = Message(f"Saved as {Path(path).name}.", "done")

    @property
    def proposed(self) -> Path:
        """Where the session would be saved: where it is already, or beside its image."""
        binding, autosave = self._controller.binding, self._autosave
        assert binding is not None
        assert autosave is not None
        if not autosave.is_own:
            return autosave.path
        path = path_of(binding.image)
        folder = Path.home() if path is None else Path(path).parent
        return folder / f"{Path(binding.image.name).name}.sam2.json"

    # The offer

    @property
    def offer(self) -> str:
        """The question whether to go on with an earlier session; "" if there is none, or work has begun."""
        session = self._controller.session
        if self._offer is None or session is None or session.undo_action:
            return ""
        return f"Restore the session of {self._offer.when}?"

    def restore(self) -> None:
        """Go on with the session that is offered."""
        offer, binding = self._offer, self._controller.binding
        if offer is not None and binding is not None:
            self.open(offer.path, binding.image)

    def discard(self) -> None:
        """Remove the session that is offered."""
        offer, self._offer = self._offer, None
        if offer is not None:
            with self._controller.reporting():
                remove_session(offer.path)

    # Opening

    def look(self) -> bool:
        """Open the session that a layer came with; say whether there was one."""
        for image in choices.images_of(self._controller.viewer):
            path = image.metadata.get(MARK, {}).pop(TO_OPEN, None)
            if path is not None:
                self.open(Path(path), image)
                return True
        return False

    def open(self, path: Path, image: Image) -> None:
        """Show a session on an image layer; what was being done on it is saved by itself first."""
        controller = self._controller
        with controller.reporting():
            file = read_session(path)
            fitting_frames(file, image)
            notes = self._use_model(file)
            assert file.stack_view is not None
            binding = controller.attach_seen(image, file.stack_view, file.mapping)
            if file.mapping is not None and not image.rgb:
                show(binding, file.mapping)
            notes += _take_up(binding, file, is_current=not notes)
            self._offer = None
            controller.activate(max(binding.session.objects, default=1))
            controller.message = _said(path, binding, notes)

    def _use_model(self, file: SessionFile) -> list[str]:
        """Choose the model of a session; return why masks are out of date, if that cannot be."""
        if file.model is None or file.options is None:
            return ["It does not say which model was used"]
        controller, name = self._controller, file.model.name
        try:
            resolve(name)
        except NapariSam2Error:
            return [f"Its model '{Path(name).name}' is not on this computer"]
        used = file.options
        settings = replace(controller.settings, model=name, focus=used.focus, quality=used.quality)
        controller.settings = settings
        if file.model.sha256 not in (None, weights_sha256(name)):
            return [f"Its model '{Path(name).name}' has other weights now"]
        if used != settings.options:
            return ["It was made with other options than this dock has"]
        return []


def fitting_frames(file: SessionFile, image: Image) -> ArrayFrames:
    """Return the frames of an image layer as a session sees them.

    Raises
    ------
    ImageError
        If it has other axes or another shape, or the file is no session but prompts.
    """
    if file.stack_view is None or file.image is None:
        raise ImageError(
            "the file has prompts and no session", remedy="use it with: napari-sam2 run --prompts"
        )
    if file.stack_view.ndim != image.ndim or (file.place is not None and file.place.channels):
        raise ImageError(
            f"the session was made on other axes than '{image.name}' has",
            remedy="open it with napari_sam2.Session.open, or choose the image that it was made on",
        )
    frames = ArrayFrames(choices.pixels_of(image), file.stack_view, rgb=image.rgb, name=image.name)
    file.image.check(frames)
    return frames


def _take_up(binding: Binding, file: SessionFile, *, is_current: bool) -> list[str]:
    """Let a session go on from a file, with as many of its masks as still hold; return what became of the others."""
    differing = () if file.fingerprint is None else file.fingerprint.differing(binding.frames)
    notes = [f"The image has changed, at least on frames {_listed(differing)}"] if differing else []
    if file.notice:
        notes.append(file.notice)
    kept = file.kept if file.kept is not None and is_current and not differing else Kept()
    binding.session.take_up(file.saved, kept, file.log)
    return notes


def _listed(frames: tuple[int, ...]) -> str:
    return ", ".join(map(str, frames))


def _said(path: Path, binding: Binding, notes: list[str]) -> Message:
    count = len(binding.session.objects)
    opened = f"{path.name}: {count} object{'s' * (count != 1)}."
    if not notes:
        return Message(f"{opened} Everything is as it was.", "done")
    return Message(f"{opened} {'. '.join(notes)}; propagate again.", "warning")
