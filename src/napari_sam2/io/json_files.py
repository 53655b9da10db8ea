"""JSON files, read strictly: a typing error must not become another annotation, and a damaged file no crash."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_sam2.core.errors import FileFormatError
from napari_sam2.io.failures import in_mib
from napari_sam2.io.plain_files import read_plain

_SCALARS = (bool, int, float, str)


class StrictModel(BaseModel):
    """A part of a file in which no key is unknown and no value is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Model = TypeVar("Model", bound=StrictModel)


def read_json(path: Path, max_bytes: int) -> tuple[bytes, Any]:
    """Return the text of a file, and what it says, once it is known to be JSON in which no name occurs twice.

    Raises
    ------
    FileFormatError
        If it is not, cannot be read, or has more than `max_bytes`.
    """
    try:
        text = read_plain(path, max_bytes)
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror}") from error
    if text is None:
        raise FileFormatError(
            f"{path} has more than {in_mib(max_bytes)}; it is no file of this kind"
        )
    try:
        return text, loads(text)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path} is not JSON: {error}") from error


def loads(text: bytes) -> Any:
    """Return what JSON says; `ValueError` or `RecursionError` if it is none, or a name occurs twice in a table."""
    return json.loads(text, object_pairs_hook=_unique)


def parse(
    model: type[Model], path: Path, text: bytes, remedy: Callable[[ValidationError], str]
) -> Model:
    """Return a file's text as a model; `FileFormatError` with one line about the first thing that is wrong."""
    try:
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise FileFormatError(f"{path}: {_first_error(error)}", remedy=remedy(error)) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, value in pairs:
        if name in table:
            raise ValueError(f"{name!r} occurs twice")
        table[name] = value
    return table


def _first_error(error: ValidationError) -> str:
    details = error.errors(include_url=False, include_context=False)
    first = details[0]
    where = ""
    for part in first["loc"]:
        where += f"[{part}]" if isinstance(part, int) else f".{part}"
    message = first["msg"].removeprefix("Value error, ")
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    given = first["input"]
    got = f", got {reprlib.repr(given)}" if given is None or isinstance(given, _SCALARS) else ""
    return f"{where.removeprefix('.') or 'the file'}: {message[:1].lower()}{message[1:]}{got}{more}"
