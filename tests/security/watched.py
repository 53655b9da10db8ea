"""A program that reads hostile files under an audit hook, and says what became of each; started by the tests.

``python watched.py KIND FOLDER [HONEST]``: one line of JSON a file, {"name", "outcome", "seconds", "events"}. The
outcome is "refused" for an error of ours, "read", or the name of an exception that should not have come up. The files
of HONEST are read before.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from napari_sam2.io.checkpoint_child import is_forbidden

events: list[str] = []


def watch(event, arguments):
    if is_forbidden(event, arguments):
        events.append(f"{event} {arguments!r:.200}")


def reader_of(kind, folder):
    """Return what reads a file of a kind, once all that it imports is there."""
    if kind == "checkpoints":
        from napari_sam2.io.checkpoint_scan import scan
        from napari_sam2.io.weights import open_weights

        def read(path):
            open_refused = False
            try:
                open_weights(path).file.close()
            except ValueError:
                open_refused = True
            with path.open("rb") as file:
                scan(file)
            assert not open_refused, "only one of both has refused it"

        return read
    if kind == "sessions":
        from napari_sam2.io.sessions import read_session

        return read_session
    from napari_sam2.io.images import open_frames

    # What libraries start or look for at their first use, an event loop for one, is not the file's doing.
    for path in sorted(Path(sys.argv[3]).iterdir()):
        open_frames(path).read(0)

    def read(path):
        frames = open_frames(path)
        for number in range(min(len(frames), 2)):
            frames.read(number)

    return read


def main(kind, folder):
    from napari_sam2.core.errors import NapariSam2Error

    names = sorted(folder.iterdir())
    read = reader_of(kind, folder)
    sys.addaudithook(watch)
    for path in names:
        events.clear()
        begin = time.perf_counter()
        try:
            read(path)
            outcome = "read"
        except NapariSam2Error as error:
            outcome = "refused" if str(error) else "refused without a word"
        except BaseException as error:  # noqa: BLE001 - the test tells which
            outcome = f"{type(error).__name__}: {error}"
        seconds = time.perf_counter() - begin
        told = {"name": path.name, "outcome": outcome, "seconds": seconds, "events": list(events)}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
