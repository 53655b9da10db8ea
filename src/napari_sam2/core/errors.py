"""Every error that this package raises on purpose.

Each derives from :class:`NapariSam2Error` and from a builtin that callers may already catch.
None derives from ``RuntimeError`` or ``StopIteration``: napari's generator workers swallow both.
"""

from __future__ import annotations


class NapariSam2Error(Exception):
    """Base of all errors of this package.

    Parameters
    ----------
    what : str
        What happened, with the layer, frame, object and numbers that the reader needs.
    kept : str
        What is still as it was before the action.
    remedy : str
        What to do next; may be empty when `what` already says it.
    """

    code = "error"

    def __init__(self, what: str, *, kept: str = "nothing was changed", remedy: str = "") -> None:
        self.what, self.kept, self.remedy = what, kept, remedy
        super().__init__(what)

    def __str__(self) -> str:
        return "; ".join(part for part in (self.what, self.remedy, self.kept) if part)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.kept, self.remedy)


def _rebuild(kind: type[NapariSam2Error], what: str, kept: str, remedy: str) -> NapariSam2Error:
    return kind(what, kept=kept, remedy=remedy)


class ImageError(NapariSam2Error, ValueError):
    """The stack cannot be used: shape, dtype or axes."""

    code = "image"


class FrameReadError(NapariSam2Error, OSError):
    """A frame could not be read from its source."""

    code = "frame-read"


class PromptError(NapariSam2Error, ValueError):
    """A prompt was refused; nothing was registered."""

    code = "prompt"


class UnknownObjectError(NapariSam2Error, LookupError):
    """No such object in the session."""

    code = "unknown-object"


class LabelsError(NapariSam2Error, ValueError):
    """A label image cannot hold the result: dtype, shape or backing."""

    code = "labels"


class PropagationError(NapariSam2Error, ValueError):
    """A propagation cannot start as asked."""

    code = "propagation"


class InferenceError(NapariSam2Error, ArithmeticError):
    """The model failed while answering; the cause is chained."""

    code = "inference"


class OutOfMemoryError(NapariSam2Error, MemoryError):
    """Host or device memory ran out."""

    code = "out-of-memory"


class DeviceLostError(NapariSam2Error, OSError):
    """A graphics card answers nothing any more in this process; it is not tried again."""

    code = "device-lost"


class CheckpointError(NapariSam2Error, ValueError):
    """A weights file cannot be used."""

    code = "checkpoint"


class CheckpointMismatchError(CheckpointError):
    """A weights file does not fit the network it was meant for."""

    code = "checkpoint-mismatch"


class HashMismatchError(CheckpointError):
    """A weights file is not the one that was published under this name."""

    code = "hash-mismatch"


class MissingWeightsError(NapariSam2Error, LookupError):
    """The weights asked for are not on this computer."""

    code = "missing-weights"


class UnsafeFolderError(NapariSam2Error, PermissionError):
    """A folder is not private: others could exchange what lies in it."""

    code = "unsafe-folder"


class DownloadError(NapariSam2Error, OSError):
    """A download did not succeed; no partial file stands under the final name."""

    code = "download"


class DownloadCancelledError(DownloadError):
    """The user stopped a download; what arrived is kept and will be continued."""

    code = "download-cancelled"


class FileFormatError(NapariSam2Error, ValueError):
    """A file's content is not what its format promises."""

    code = "file-format"


class StorageError(NapariSam2Error, OSError):
    """A disk did not take what was to be written; what was there before is as it was."""

    code = "storage"


class HeldError(NapariSam2Error, OSError):
    """Another program is working on the same file."""

    code = "held"


class OptionError(NapariSam2Error, ValueError):
    """An option has a value outside its choices."""

    code = "option"


class TorchUnavailableError(NapariSam2Error, ImportError):
    """PyTorch is installed but could not be loaded into this process."""

    code = "torch-unavailable"


class NoDisplayError(NapariSam2Error, OSError):
    """A window was asked for where there is no screen."""

    code = "no-display"
