"""What becomes of an exception that somebody else raised: one of ours, with what is kept and what helps."""

from __future__ import annotations

import re

from napari_sam2.core.errors import (
    DeviceLostError,
    InferenceError,
    NapariSam2Error,
    OutOfMemoryError,
)

KEPT = "everything that was finished is kept"

_FATAL = (
    "device-side assert",
    "illegal memory access",
    "illegal instruction",
    "misaligned address",
    "unspecified launch failure",
    "uncorrectable ecc",
    "context is destroyed",
)
"""What CUDA says in errors after which every further call of the process fails."""

_AMOUNT = re.compile(r"allocate\D{0,20}?([\d.]+ ?(?:bytes|[KMGT]i?B))", re.IGNORECASE)


def as_ours(error: BaseException) -> NapariSam2Error:
    """Return any exception as one of ours, its cause chained."""
    if isinstance(error, NapariSam2Error):
        return error
    ours = _translated(error)
    ours.__cause__ = error
    return ours


def _translated(error: BaseException) -> NapariSam2Error:
    if is_out_of_memory(error):
        return OutOfMemoryError(
            f"memory ran out{amount_asked(error)}",
            kept=KEPT,
            remedy="choose a smaller model or the device 'cpu', or close other programs",
        )
    if is_device_lost(error):
        return DeviceLostError(
            f"the graphics card stopped working: {_said(error)}",
            kept=KEPT,
            remedy="restart the program, which offers the session again, or choose the device 'cpu'",
        )
    return InferenceError(
        f"the model failed: {type(error).__name__}: {_said(error)}",
        kept=KEPT,
        remedy="try again; if it comes back, the log has the details for a report",
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether memory of the computer or of a graphics card ran out.

    torch has an error of its own for cards, and raises a plain ``RuntimeError`` when the allocator of the host fails.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "defaultcpuallocator" in text
    )


def is_device_lost(error: BaseException) -> bool:
    """Say whether a graphics card answers nothing any more in this process, as after a failed assertion on it."""
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(said in text for said in _FATAL)


def amount_asked(error: BaseException) -> str:
    """Return how much memory was asked for, as words to put behind a sentence; empty if the error does not say it."""
    found = _AMOUNT.search(str(error))
    if found is None:
        return ""
    text = found.group(1)
    digits = text.removesuffix("bytes").strip()
    if digits != text and digits.isdigit():
        text = f"{int(digits) / 2**30:.3g} GiB"
    return f" when {text} were asked for"


def _said(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else "no message"
