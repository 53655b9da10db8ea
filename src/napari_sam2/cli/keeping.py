"""What a command has found outlives it: kept frame by frame, and ``--resume`` goes on where it ended."""

from __future__ import annotations

import shlex
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam2.cli.console import counted
from napari_sam2.core.errors import NapariSam2Error

if TYPE_CHECKING:
    from napari_sam2.api import Session
    from napari_sam2.io.kept_results import KeptEngine, ResultFile, StateCodec

KEPT = "what is done is kept"


class StoppedError(NapariSam2Error, InterruptedError):
    """Somebody, or the system, stopped a command. `exit_code`: 128 and the number of the signal."""

    code = "stopped"

    def __init__(self, what: str, *, kept: str = KEPT, remedy: str = "", exit_code: int = 130):
        super().__init__(what, kept=kept, remedy=remedy)
        self.exit_code = exit_code


class _Terminated(KeyboardInterrupt):
    """The system asked the program to end."""


@contextmanager
def kept(
    session: Session, out: Sequence[Path], device: str, arguments: Sequence[str], *, resume: bool
) -> Iterator[KeptEngine]:
    """Keep what `session` finds inside, and give what is known; when it ends well, what was kept goes.

    Parameters
    ----------
    session : Session
        It has no results yet.
    out : sequence of Path
        Where its results go: what is kept belongs to them.
    device : str
        As it was asked for.
    arguments : sequence of str
        Of the command, for the line that says how to go on.
    resume : bool
        Go on with what an earlier command has kept; else it is set aside.

    Raises
    ------
    HeldError
        If another program is making the same results.
    StoppedError
        If the command is interrupted (Ctrl+C) or terminated.
    """
    from napari_sam2.io.atomic import sweep
    from napari_sam2.io.failures import storing
    from napari_sam2.io.holding import Hold
    from napari_sam2.io.kept_results import KeptEngine, ResultFile, set_aside

    path = _path_for(out)
    with storing(path, "nothing was changed"):
        path.parent.mkdir(parents=True, exist_ok=True)
    hold = Hold(path)
    try:
        for target in out:
            sweep(target.expanduser().absolute().parent, target.name)
        if path.exists() and not resume:
            with storing(path, "nothing was changed"):
                set_aside(path)
        results = ResultFile(path, _question(session, device), session.frames.shape)
        engine = KeptEngine(session.engine, results, _codec())
        session.engine = engine
        again = _again(arguments)
        try:
            with _told(results, again), _terminable():
                yield engine
        except BaseException:
            results.close()
            if not len(results):
                results.remove()
            raise
        results.remove()
    finally:
        hold.release()


@contextmanager
def _told(results: ResultFile, again: str) -> Iterator[None]:
    """Say how many frames are kept and how to go on, whatever ends the work inside."""
    try:
        yield
    except KeyboardInterrupt as error:
        is_terminated = isinstance(error, _Terminated)
        number = signal.SIGTERM if is_terminated else signal.SIGINT
        what = "terminated" if is_terminated else "interrupted"
        remedy = f"go on with: {again}" if len(results) else ""
        found = f"{what} after {counted(len(results), 'frame')}" if len(results) else what
        kept = KEPT if len(results) else "no file was written"
        raise StoppedError(found, kept=kept, remedy=remedy, exit_code=128 + number) from error
    except NapariSam2Error as error:
        if not len(results):
            raise
        remedy = (
            f"{error.remedy}, then go on with: {again}" if error.remedy else f"go on with: {again}"
        )
        kept = f"{counted(len(results), 'frame')} that were found are kept"
        raise type(error)(error.what, kept=kept, remedy=remedy) from error


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the work inside as Ctrl+C does: between two steps, with everything closed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: Any) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _again(arguments: Sequence[str]) -> str:
    given = [item for item in arguments if item != "--resume"]
    return shlex.join(["napari-sam2", *given, "--resume"])


def _path_for(out: Sequence[Path]) -> Path:
    from napari_sam2.io.digests import digest_of
    from napari_sam2.io.folders import runs_folder

    places = [str(path.expanduser().absolute()) for path in out]
    plain = "".join(letter if letter.isalnum() else "_" for letter in out[0].name[:40])
    return runs_folder() / f"{plain}-{digest_of(places).hex()[:12]}.run"


def _question(session: Session, device: str) -> bytes:
    """Return a digest of all that results depend on besides what is asked."""
    from napari_sam2 import __version__
    from napari_sam2.core.fingerprint import Fingerprint
    from napari_sam2.io.digests import digest_of
    from napari_sam2.io.weights import weights_sha256

    frames = session.frames
    fingerprint = Fingerprint.of(frames)
    return digest_of(
        {
            "version": __version__,
            "model": [session.model, weights_sha256(session.model)],
            "options": {name: str(value) for name, value in asdict(session.options).items()},
            "device": device,
            "stack": [len(frames), *frames.shape, frames.dtype.str, frames.is_rgb],
            "pixels": [list(fingerprint.frames), list(fingerprint.hashes)],
            "mapping": [session.mapping.low, session.mapping.high],
        }
    )


def _codec() -> StateCodec:
    """Return how states of the network are kept; torch is loaded when it is first used."""

    class Lazy:
        def pack(self, state: object) -> bytes | None:
            from napari_sam2.inference.keeping import pack_state

            return pack_state(state)

        def unpack(self, data: bytes) -> object:
            from napari_sam2.inference.keeping import unpack_state

            return unpack_state(data)

    return Lazy()
