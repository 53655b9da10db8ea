"""One notification for every error, and the traceback in the log."""

from __future__ import annotations

import logging

from napari.utils.notifications import show_error, show_warning

from napari_sam2.core.errors import (
    ImageError,
    LabelsError,
    NapariSam2Error,
    OptionError,
    PromptError,
    PropagationError,
)
from napari_sam2.plugin.state import Message

logger = logging.getLogger(__name__)

_OF_THE_USER = (ImageError, LabelsError, OptionError, PromptError, PropagationError)


def report(error: NapariSam2Error) -> Message:
    """Notify the user once, log what a report needs, and return the sentence for the message line."""
    logger.log(_level(error), "%s: %s", error.code, error, exc_info=error)
    text = sentence(error)
    if isinstance(error, _OF_THE_USER):
        show_warning(text)
        return Message(text, "warning")
    show_error(text)
    return Message(text, "error")


def sentence(error: NapariSam2Error) -> str:
    """Return what happened and what to do, as a person would write it."""
    parts = [part for part in (error.what, error.remedy) if part]
    return " ".join(_capitalised(part) + ("" if part.endswith(".") else ".") for part in parts)


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _level(error: NapariSam2Error) -> int:
    return logging.INFO if isinstance(error, _OF_THE_USER) else logging.ERROR
