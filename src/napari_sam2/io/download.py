"""Download one file of known size and SHA-256: resumable, checked, never visible under its name half done."""

from __future__ import annotations

import errno
import hashlib
import http.client
import shutil
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from napari_sam2.core.errors import (
    DownloadCancelledError,
    DownloadError,
    HashMismatchError,
    NapariSam2Error,
)
from napari_sam2.io.locks import locked
from napari_sam2.io.partfile import PartFile

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in total)."""

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to put up with a bad connection.

    `timeout`: seconds without a byte; `attempts`: connections in a row that bring nothing; `backoff`: seconds before
    the second of them, doubled for each further one.
    """

    timeout: float = 20.0
    attempts: int = 4
    backoff: float = 0.5


DEFAULT_PATIENCE = Patience()


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as it was published. `size`: bytes; `sha256`: hexadecimal, lower case."""

    url: str
    size: int
    sha256: str


def download(
    remote: RemoteFile,
    target: Path,
    *,
    progress: Progress | None = None,
    is_cancelled: Callable[[], bool] = lambda: False,
    patience: Patience = DEFAULT_PATIENCE,
) -> Path:
    """Bring `remote` to `target`, unless it is there already, and return `target`.

    What an earlier attempt fetched is continued. `target` appears only when size and hash are right; a file of
    another content that stood there is replaced. Several processes may ask for the same file at the same time.

    Raises
    ------
    DownloadError
        The server, the connection or the disk failed; what arrived is kept for the next attempt.
    DownloadCancelledError
        `is_cancelled` returned True; what arrived is kept as well.
    HashMismatchError
        The server's file is another one; nothing is kept.
    """
    _require_safe_address(remote.url)
    watch = _Watch(remote, target, progress or (lambda done, total: None), is_cancelled, patience)
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(target.with_name(f"{target.name}.lock"), watch.stop_if_cancelled):
            if not _is_there(remote, target):
                _fetch(watch)
    except NapariSam2Error:
        raise
    except OSError as error:
        raise _disk_error(watch, error) from error
    return target


def sha256_of(file: IO[bytes]) -> str:
    """Return the SHA-256 of what `file` holds from here on, hexadecimal."""
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class _Watch:
    """What a transfer reports to and is stopped by."""

    remote: RemoteFile
    target: Path
    progress: Progress
    is_cancelled: Callable[[], bool]
    patience: Patience

    def stop_if_cancelled(self) -> None:
        if self.is_cancelled():
            raise DownloadCancelledError(
                f"the download of {self.target.name} was cancelled",
                kept="what has arrived is kept and will be continued",
            )

    def advice(self) -> str:
        return (
            f"without a network, place the file at {self.target} yourself; "
            f"its SHA-256 is {self.remote.sha256}"
        )


def _is_there(remote: RemoteFile, target: Path) -> bool:
    try:
        with target.open("rb") as file:
            if sha256_of(file) == remote.sha256:
                return True
    except FileNotFoundError:
        return False
    target.unlink()  # another content under the final name helps nobody
    return False


def _fetch(watch: _Watch) -> None:
    with PartFile(watch.target) as part:
        _require_space(watch, part.size)
        was_resumed = part.size > 0
        _transfer(watch, part)
        if was_resumed and part.sha256 != watch.remote.sha256:
            part.restart()  # the earlier part was of another file: only a whole download can tell
            _transfer(watch, part)
        if part.sha256 != watch.remote.sha256:
            found = part.sha256
            part.restart()
            raise HashMismatchError(
                f"{watch.remote.url} has SHA-256 {found}, expected {watch.remote.sha256}",
                remedy="the server's file is not the published one; do not use it, try another network",
                kept="nothing of it was kept",
            )
        part.move_to(watch.target)


def _transfer(watch: _Watch, part: PartFile) -> None:
    """Connect as often as patience allows until `part` has the full size."""
    in_vain = 0
    while part.size != watch.remote.size:
        before = part.size
        cause = _attempt(watch, part)
        if part.size == watch.remote.size:
            return
        in_vain = in_vain + 1 if part.size <= before else 0
        if in_vain >= watch.patience.attempts or _is_hopeless(cause):
            raise _connection_error(watch, part, cause) from cause
        _pause(watch, watch.patience.backoff * 2**in_vain)


def _attempt(watch: _Watch, part: PartFile) -> Exception | None:
    """Connect once and return what went wrong on the way; None also if the server just stopped sending."""
    try:
        _connect_once(watch, part)
    except NapariSam2Error:
        raise
    except HTTPError as error:
        error.close()
        if error.code == 416:  # it has less than we have: ours is of another file
            part.restart()
        return error
    except (OSError, http.client.HTTPException) as error:
        return error
    return None


def _pause(watch: _Watch, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        watch.stop_if_cancelled()
        time.sleep(min(left, 0.1))


def _connect_once(watch: _Watch, part: PartFile) -> None:
    """Ask for what is missing and append it, until the server ends or the file is complete."""
    watch.stop_if_cancelled()
    if part.size > watch.remote.size:
        part.restart()
    headers = {"User-Agent": "napari-sam2", "Accept-Encoding": "identity"}
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
    request = Request(watch.remote.url, headers=headers)
    opener = build_opener(_NoDowngrade())
    with opener.open(request, timeout=watch.patience.timeout) as response:
        if part.size and not _continues_at(response, part.size):
            part.restart()
            if response.status == 206:  # another range than the one asked for
                return
        _refuse_other_content(watch, response, part.size)
        while chunk := response.read1(_CHUNK):
            if part.size + len(chunk) > watch.remote.size:
                part.restart()
                raise _unexpected(watch, f"sends more than the {watch.remote.size} bytes expected")
            _keep(watch, part, chunk)
            watch.progress(part.size, watch.remote.size)
            watch.stop_if_cancelled()


def _keep(watch: _Watch, part: PartFile, chunk: bytes) -> None:
    """Write a chunk; what the disk says must not be taken for a bad connection."""
    try:
        part.append(chunk)
    except OSError as error:
        raise _disk_error(watch, error) from error


def _continues_at(response: http.client.HTTPResponse, offset: int) -> bool:
    given = response.headers.get("Content-Range", "")
    return response.status == 206 and given.startswith(f"bytes {offset}-")


def _refuse_other_content(watch: _Watch, response: http.client.HTTPResponse, offset: int) -> None:
    """Tell a login page of the network, or another file, before anything of it is kept."""
    if response.headers.get_content_type() == "text/html":
        raise _unexpected(
            watch, "answers with a web page; the network may want you to log in first"
        )
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced) != watch.remote.size - offset:
        expected = watch.remote.size - offset
        raise _unexpected(watch, f"announces {announced} bytes, expected {expected}")


class _NoDowngrade(HTTPRedirectHandler):
    """Follow redirects, but never from https to http."""

    def redirect_request(
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> Request | None:
        _require_safe_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_safe_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise DownloadError(
            f"refused to download from {url}: only https is allowed",
            remedy="if the network redirected the request, try another network",
        )


def _require_space(watch: _Watch, have: int) -> None:
    free, need = shutil.disk_usage(watch.target.parent).free, watch.remote.size - have
    if free < need:
        raise DownloadError(
            f"no space for {watch.target.name} in {watch.target.parent}: "
            f"needs {need / 1e6:.0f} MB, {free / 1e6:.0f} MB are free",
            remedy="free some space or set NAPARI_SAM2_HOME to another folder",
        )


def _is_hopeless(cause: Exception | None) -> bool:
    """Whether asking again cannot help: the server said no, or is not who it says it is."""
    if isinstance(cause, HTTPError):
        return cause.code < 500 and cause.code not in (408, 416, 429)
    reason = cause.reason if isinstance(cause, URLError) else cause
    return isinstance(reason, ssl.SSLCertVerificationError)


def _connection_error(watch: _Watch, part: PartFile, cause: Exception | None) -> DownloadError:
    if isinstance(cause, HTTPError):
        reason = f"the server answered {cause.code} {cause.reason}"
    elif isinstance(cause, URLError):
        reason = f"no connection ({cause.reason})"
    else:
        why = f" ({cause})" if str(cause or "") else ""
        reason = f"the connection broke after {part.size} of {watch.remote.size} bytes{why}"
    return DownloadError(
        f"{watch.target.name} could not be downloaded from {watch.remote.url}: {reason}",
        remedy=f"try again later; {watch.advice()}",
        kept=f"{part.size} bytes are kept and will be continued"
        if part.size
        else "nothing changed",
    )


def _unexpected(watch: _Watch, what: str) -> DownloadError:
    return DownloadError(
        f"{watch.target.name}: {watch.remote.url} {what}",
        remedy=f"try again on another network; {watch.advice()}",
        kept="nothing of this answer was kept",
    )


def _disk_error(watch: _Watch, error: OSError) -> DownloadError:
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    remedy = "free some space" if is_full else "check that the folder can be written"
    return DownloadError(
        f"{watch.target.name} could not be written in {watch.target.parent}: {error.strerror or error}",
        remedy=f"{remedy}, or set NAPARI_SAM2_HOME to another folder",
        kept="what has arrived is kept where possible",
    )
