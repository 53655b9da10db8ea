"""A download of official weights, asked for with a button, on the worker's thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from napari_sam2.core.errors import DownloadCancelledError, NapariSam2Error
from napari_sam2.io import weights
from napari_sam2.plugin.state import Progress
from napari_sam2.plugin.worker import CallJob, Reply, SafeWorker


class Download:
    """One download. What arrived before it was cancelled or failed is continued next time.

    Parameters
    ----------
    model : str
        Name in the weights registry.
    changed : callable
        Called when there is progress.
    ended : callable
        Called at the end, with the error if there was one.
    """

    def __init__(
        self,
        model: str,
        changed: Callable[[], None],
        ended: Callable[[NapariSam2Error | None], None],
    ) -> None:
        self._model, self._changed, self._ended = model, changed, ended
        self._is_cancelled = threading.Event()
        self._done, self._total = 0, max(1, weights.entry_of(model).size)

    def start(self, worker: SafeWorker) -> None:
        """Queue the download."""

        def fetch(say: Callable[[Any], None]) -> None:
            weights.fetch(
                self._model,
                progress=lambda done, total: say((done, total)),
                is_cancelled=self._is_cancelled.is_set,
            )

        worker.submit(CallJob(fetch), self._on_reply)
        self._changed()

    def cancel(self) -> None:
        """Stop after the block in work."""
        self._is_cancelled.set()

    @property
    def progress(self) -> Progress:
        """How far it is, in MB."""
        done, total = round(self._done / 1e6), round(self._total / 1e6)
        text = f"{self._model}: {done} of {total} MB"
        return Progress(self._done, self._total, text, self._is_cancelled.is_set())

    def _on_reply(self, reply: Reply) -> None:
        if reply.kind == "frame":
            self._done, self._total = reply.value
            self._changed()
        elif reply.kind == "error" and not isinstance(reply.value, DownloadCancelledError):
            self._ended(reply.value)
        else:
            self._ended(None)
