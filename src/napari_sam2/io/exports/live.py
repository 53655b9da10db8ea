"""Labels on disk while they are found: every frame is written when it is committed, and none is held."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_sam2.core.errors import NapariSam2Error
from napari_sam2.core.masks import Box
from napari_sam2.core.results import LabelResult
from napari_sam2.core.session import Session
from napari_sam2.io.atomic import replacing_folder
from napari_sam2.io.exports.ome_zarr import LabelZarr
from napari_sam2.io.failures import storage_error


@contextmanager
def live_labels(session: Session, result: Callable[[], LabelResult], path: Path) -> Iterator[None]:
    """Write the labels of a session to an OME-Zarr group while work goes on inside; it appears when that ends well.

    Parameters
    ----------
    session : Session
        What is written: what it shows now, and whatever it commits.
    result : callable
        Tells about axes and objects, at the beginning and in the end.
    path : Path
        The group to make; one that is there is replaced.

    Raises
    ------
    StorageError
        If a frame cannot be written; the work inside ends with it.
    """
    failures: list[OSError] = []
    try:
        with replacing_folder(path) as temporary:
            labels = LabelZarr(temporary, result())

            def write(frame: int, _box: Box) -> None:
                try:
                    labels.write(frame, session.project(frame))
                except OSError as error:
                    failures.append(error)
                    raise

            if session.objects:
                for frame in range(len(session.frames)):
                    write(frame, (0, 0, 0, 0))
            session.frame_committed.connect(write)
            try:
                yield
            finally:
                session.frame_committed.disconnect(write)
            labels.finish(result())
    except NapariSam2Error:
        raise
    except Exception as error:
        # A signal wraps what its listeners raise; the disk's own words are what helps.
        cause = failures[0] if failures else error
        if not isinstance(cause, OSError):
            raise
        raise storage_error(path, cause, "what was there before is as it was") from cause
