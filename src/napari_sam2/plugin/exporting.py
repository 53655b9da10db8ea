"""Exporting: what was found goes to a file, on the worker's thread, and the window says how it went."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam2.core.errors import NapariSam2Error
from napari_sam2.core.failures import as_ours
from napari_sam2.plugin.positions import source_of
from napari_sam2.plugin.state import Message
from napari_sam2.plugin.worker import CallJob, Reply

if TYPE_CHECKING:
    from napari_sam2.core.results import LabelResult
    from napari_sam2.plugin.controller import Controller


class Exporting:
    """The part of a controller that writes results.

    Parameters
    ----------
    controller : Controller
        Whose session is exported.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self.is_busy = False

    @property
    def suggestion(self) -> Path | None:
        """A name for the file beside the image, without an ending; None without a session."""
        binding = self._controller.binding
        if binding is None:
            return None
        source = source_of(binding.image)
        folder = Path.home() if source.path is None else Path(source.path).parent
        return folder / f"{Path(source.name).name.split('.')[0] or 'labels'} labels"

    def export(self, path: str | Path, format: str | None = None) -> None:
        """Write what is found now; what is there already is replaced, as the person has been asked.

        What happens in the meantime is not in the file.
        """
        from napari_sam2.io.exports import check_target

        controller = self._controller
        with controller.reporting():
            session = controller.require_session()
            source = source_of(controller.binding.image)
            inputs = () if source.path is None else (source.path,)
            target = check_target(path, format, overwrite=True, inputs=inputs)
            result = session.result(source)
            self.is_busy = True
            controller.message = Message(f"Writing {target.name}\u2026", "busy")
            job = CallJob(lambda _report: _write(result, target, format))
            controller.submit(job, self._arrived)

    def _arrived(self, reply: Reply) -> None:
        if not reply.is_last:
            return
        self.is_busy = False
        if reply.kind == "error" or isinstance(reply.value, NapariSam2Error):
            self._controller.fail(as_ours(reply.value))
            return
        self._controller.message = Message(f"Saved as {reply.value}.", "done")
        self._controller.tell()


def _write(result: LabelResult, path: Path, format: str | None) -> Any:
    from napari_sam2.io.exports import export

    return export(result, path, format, overwrite=True)
