"""A run's progress in napari's activity area."""

from __future__ import annotations

from napari.utils import progress

from napari_sam2.core.run import Run


class ActivityBar:
    """One bar while a run goes on. Lives on the main thread, as all that touches napari."""

    def __init__(self) -> None:
        self._bar: progress | None = None

    def begin(self, run: Run) -> None:
        """Show an empty bar."""
        self.end()
        self._bar = progress(total=run.total, desc="SAM 2: propagating")
        self.update(run)

    def update(self, run: Run) -> None:
        """Move the bar to where the run stands."""
        if self._bar is not None and run.done > self._bar.n:
            self._bar.update(run.done - self._bar.n)

    def end(self) -> None:
        """Take the bar away; without one, nothing happens."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
