"""Downloads against a server that misbehaves as scripted; every connection stays on this machine."""

from __future__ import annotations

import hashlib
import http.server
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest

from napari_sam2.core.errors import DownloadCancelledError, DownloadError, HashMismatchError
from napari_sam2.io import download as downloading
from napari_sam2.io.download import Patience, RemoteFile, download
from napari_sam2.io.partfile import STALE_AFTER

CONTENT = np.random.default_rng(0).integers(0, 256, 3_000_000, np.uint8).tobytes()
QUICK = Patience(timeout=2.0, attempts=3, backoff=0.01)


class Server:
    """Answers requests with the given acts in turn; the last one answers all further requests."""

    def __init__(self, *acts: Callable):
        self.acts, self.ranges = list(acts), []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.ranges.append(self.headers.get("Range"))
                act = outer.acts.pop(0) if len(outer.acts) > 1 else outer.acts[0]
                act(self)

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/weights.pt"

    def remote(self, content=CONTENT):
        return RemoteFile(self.url, len(content), hashlib.sha256(content).hexdigest())


@contextmanager
def serving(*acts):
    server = Server(*acts)
    thread = threading.Thread(target=server.http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
        thread.join()


def send(
    handler, body, status=200, announce=None, content_type="application/octet-stream", **extra
):
    handler.send_response(status)
    handler.send_header("Content-Type", content_type)
    if announce != "nothing":
        handler.send_header("Content-Length", str(len(body) if announce is None else announce))
    for name, value in extra.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def offset_of(handler):
    wanted = handler.headers.get("Range")
    return int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0


def good(handler):
    start = offset_of(handler)
    if start:
        where = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        send(handler, CONTENT[start:], 206, Content_Range=where)
    else:
        send(handler, CONTENT)


def cut_after(num_bytes):
    """Announce everything that is missing, send so much of it, and hang up."""

    def act(handler):
        start = offset_of(handler)
        where = (
            {"Content_Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"} if start else {}
        )
        body = CONTENT[start : start + num_bytes]
        send(handler, body, 206 if start else 200, announce=len(CONTENT) - start, **where)

    return act


def answer(status):
    return lambda handler: send(handler, b"no", status)


def hang(handler):
    send(handler, CONTENT[:1000], announce=len(CONTENT))
    handler.wfile.flush()
    time.sleep(3)


def left_in(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_a_download_arrives_whole_and_reports_its_progress(tmp_path):
    seen = []
    with serving(good) as server:
        target = download(
            server.remote(),
            tmp_path / "new" / "w.pt",
            progress=lambda done, total: seen.append((done, total)),
            patience=QUICK,
        )
    assert target.read_bytes() == CONTENT
    assert left_in(target.parent) == ["w.pt"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)


def test_what_is_there_already_is_not_fetched_again(tmp_path):
    (tmp_path / "w.pt").write_bytes(CONTENT)
    with serving(good) as server:
        download(server.remote(), tmp_path / "w.pt", patience=QUICK)
        assert server.ranges == []


def test_a_damaged_file_under_the_final_name_is_replaced(tmp_path):
    (tmp_path / "w.pt").write_bytes(CONTENT[:-1] + b"?")
    with serving(good) as server:
        download(server.remote(), tmp_path / "w.pt", patience=QUICK)
    assert (tmp_path / "w.pt").read_bytes() == CONTENT


def test_a_cut_connection_is_continued_where_it_broke(tmp_path):
    with serving(cut_after(1_000_000), cut_after(500_000), good) as server:
        download(server.remote(), tmp_path / "w.pt", patience=QUICK)
    assert server.ranges == [None, "bytes=1000000-", "bytes=1500000-"]
    assert (tmp_path / "w.pt").read_bytes() == CONTENT


def test_a_file_that_stays_short_is_an_error_and_the_next_call_continues(tmp_path):
    with serving(cut_after(1_000_000), cut_after(0)) as server:
        with pytest.raises(DownloadError, match="broke after 1000000 of 3000000 bytes") as failure:
            download(server.remote(), tmp_path / "w.pt", patience=QUICK)
    assert "1000000 bytes are kept" in str(failure.value)
    assert str(tmp_path / "w.pt") in failure.value.remedy
    assert left_in(tmp_path) == ["w.pt.part"]
    with serving(good) as server:
        download(server.remote(), tmp_path / "w.pt", patience=QUICK)
    assert server.ranges == ["bytes=1000000-"]
    assert left_in(tmp_path) == ["w.pt"]


def test_a_server_without_ranges_is_read_from_the_start_again(tmp_path):
    with serving(cut_after(1_000_000), lambda handler: send(handler, CONTENT)) as server:
        download(server.remote(), tmp_path / "w.pt", patience=QUICK)
    assert (tmp_path / "w.pt").read_bytes() == CONTENT


def test_another_range_than_the_one_asked_for_is_not_appended(tmp_path):
    def wrong_range(handler):
        send(handler, CONTENT[5:], 206, Content_Range=f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}")

    with serving(cut_after(1_000_000), wrong_range, good) as server:
        download(server.remote(), tmp_path / "w.pt", patience=QUICK)
    assert server.ranges == [None, "bytes=1000000-", None]


def test_a_part_of_another_file_costs_one_restart(tmp_path):
    (tmp_path / "w.pt.part").write_bytes(b"x" * 1_000_000)
    with serving(good) as server:
        download(server.remote(), tmp_path / "w.pt", patience=QUICK)
    assert server.ranges == ["bytes=1000000-", None]
    assert (tmp_path / "w.pt").read_bytes() == CONTENT


@pytest.mark.parametrize("size", [len(CONTENT), len(CONTENT) + 1])
def test_a_part_as_long_as_the_file_or_longer_costs_one_restart(tmp_path, size):
    (tmp_path / "w.pt.part").write_bytes(b"x" * size)
    with serving(good) as server:
        download(server.remote(), tmp_path / "w.pt", patience=QUICK)
    assert (tmp_path / "w.pt").read_bytes() == CONTENT


def test_a_range_that_the_server_cannot_satisfy_costs_one_restart(tmp_path):
    (tmp_path / "w.pt.part").write_bytes(b"x" * 1000)
    with serving(answer(416), good) as server:
        download(server.remote(), tmp_path / "w.pt", patience=QUICK)
    assert (tmp_path / "w.pt").read_bytes() == CONTENT


@pytest.mark.parametrize("act", [lambda handler: send(handler, CONTENT[::-1])], ids=["reversed"])
def test_another_content_is_refused_with_both_hashes_and_not_kept(tmp_path, act):
    with serving(act) as server:
        with pytest.raises(HashMismatchError) as failure:
            download(server.remote(), tmp_path / "w.pt", patience=QUICK)
    assert hashlib.sha256(CONTENT).hexdigest() in str(failure.value)
    assert hashlib.sha256(CONTENT[::-1]).hexdigest() in str(failure.value)
    assert left_in(tmp_path) == []


def test_a_missing_file_is_told_at_once(tmp_path):
    with serving(answer(404)) as server:
        with pytest.raises(DownloadError, match="answered 404 Not Found"):
            download(server.remote(), tmp_path / "w.pt", patience=QUICK)
        assert len(server.ranges) == 1
    assert left_in(tmp_path) == []


def test_a_server_in_trouble_is_asked_again(tmp_path):
    with serving(answer(503), answer(500), good) as server:
        download(server.remote(), tmp_path / "w.pt", patience=QUICK)
        assert len(server.ranges) == 3


def test_a_login_page_of_the_network_is_recognised_and_not_kept(tmp_path):
    page = b"<html>" + b"x" * (len(CONTENT) - 6)

    with serving(lambda handler: send(handler, page, content_type="text/html")) as server:
        with pytest.raises(DownloadError, match="web page; the network may want you to log in"):
            download(server.remote(), tmp_path / "w.pt", patience=QUICK)
    assert left_in(tmp_path) == []


def test_another_announced_size_is_refused_before_reading(tmp_path):
    with serving(lambda handler: send(handler, CONTENT + b"more")) as server:
        with pytest.raises(DownloadError, match="announces 3000004 bytes, expected 3000000"):
            download(server.remote(), tmp_path / "w.pt", patience=QUICK)
    assert left_in(tmp_path) == []


def test_more_bytes_than_the_file_has_are_cut_off_and_refused(tmp_path):
    with serving(lambda handler: send(handler, CONTENT * 2, announce="nothing")) as server:
        with pytest.raises(DownloadError, match="sends more than the 3000000 bytes"):
            download(server.remote(), tmp_path / "w.pt", patience=QUICK)
    assert left_in(tmp_path) == []


def test_a_silent_server_is_given_up_and_what_it_sent_is_kept(tmp_path):
    impatient = Patience(timeout=0.2, attempts=1, backoff=0.0)
    with serving(hang, answer(503)) as server:
        with pytest.raises(DownloadError):
            download(server.remote(), tmp_path / "w.pt", patience=impatient)
    assert (tmp_path / "w.pt.part").read_bytes() == CONTENT[:1000]


def test_no_connection_says_where_to_place_the_file(tmp_path):
    with serving(good) as server:
        remote = server.remote()
    with pytest.raises(DownloadError, match="no connection") as failure:
        download(remote, tmp_path / "w.pt", patience=QUICK)
    assert f"place the file at {tmp_path / 'w.pt'}" in failure.value.remedy


@pytest.mark.parametrize(
    "url", ["http://example.org/w.pt", "ftp://127.0.0.1/w.pt", "file:///etc/hostname"]
)
def test_only_https_is_allowed(tmp_path, url):
    with pytest.raises(DownloadError, match="only https"):
        download(RemoteFile(url, 1, "0" * 64), tmp_path / "w.pt")


def test_a_redirect_to_plain_http_is_refused(tmp_path):
    def away(handler):
        send(handler, b"", 302, Location="http://example.org/w.pt")

    with serving(away) as server, pytest.raises(DownloadError, match="only https"):
        download(server.remote(), tmp_path / "w.pt", patience=QUICK)


def test_a_redirect_on_allowed_ground_is_followed(tmp_path):
    with serving(good) as there:
        with serving(lambda handler: send(handler, b"", 302, Location=there.url)) as here:
            download(here.remote(), tmp_path / "w.pt", patience=QUICK)
    assert (tmp_path / "w.pt").read_bytes() == CONTENT


def test_cancelling_keeps_what_arrived_and_the_next_call_continues(tmp_path):
    done = []
    with serving(good) as server:
        with pytest.raises(DownloadCancelledError, match="was cancelled"):
            download(
                server.remote(),
                tmp_path / "w.pt",
                progress=lambda n, total: done.append(n),
                is_cancelled=lambda: bool(done) and done[-1] > 500_000,
                patience=QUICK,
            )
        assert left_in(tmp_path) == ["w.pt.part"]
        download(server.remote(), tmp_path / "w.pt", patience=QUICK)
        assert server.ranges[-1] == f"bytes={done[-1]}-"
    assert (tmp_path / "w.pt").read_bytes() == CONTENT


def test_an_error_of_the_listener_leaves_a_part_that_can_be_continued(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with serving(good) as server, pytest.raises(KeyboardInterrupt):
        download(server.remote(), tmp_path / "w.pt", progress=stop, patience=QUICK)
    assert left_in(tmp_path) == ["w.pt.part"]


def test_no_space_is_told_before_anything_is_fetched(tmp_path, monkeypatch):
    usage = downloading.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda path: usage)
    with serving(good) as server:
        with pytest.raises(DownloadError, match="no space"):
            download(server.remote(), tmp_path / "w.pt", patience=QUICK)
        assert server.ranges == []


def test_a_disk_that_fills_up_is_told_from_a_bad_connection(tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with serving(good) as server:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
        try:
            with pytest.raises(DownloadError, match="could not be written") as failure:
                download(server.remote(), tmp_path / "w.pt", patience=QUICK)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "free some space" in failure.value.remedy
        assert not (tmp_path / "w.pt").exists()
        download(server.remote(), tmp_path / "w.pt", patience=QUICK)
    assert (tmp_path / "w.pt").read_bytes() == CONTENT


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with serving(good) as server, pytest.raises(DownloadError, match="could not be written"):
        download(server.remote(), tmp_path / "file" / "w.pt", patience=QUICK)


def test_a_part_that_a_dead_process_left_is_continued_and_a_living_one_is_left_alone(tmp_path):
    dead, alive = tmp_path / "w.pt.0badcafe.part", tmp_path / "w.pt.0000beef.part"
    dead.write_bytes(CONTENT[:2_000_000])
    alive.write_bytes(CONTENT[:2_500_000])
    long_ago = time.time() - 2 * STALE_AFTER
    os.utime(dead, (long_ago, long_ago))
    with serving(good) as server:
        download(server.remote(), tmp_path / "w.pt", patience=QUICK)
        assert server.ranges == ["bytes=2000000-"]
    assert left_in(tmp_path) == ["w.pt", alive.name]


def _download_in_a_process(remote, target, with_locks, barrier):
    if not with_locks:
        downloading.locked = lambda *args: nullcontext()
    barrier.wait()
    download(remote, target, patience=QUICK)


@pytest.mark.parametrize("with_locks", [True, False], ids=["locks", "locks-ignored"])
def test_four_processes_give_one_valid_file(tmp_path, with_locks):
    spawn = multiprocessing.get_context("fork" if os.name == "posix" else "spawn")
    with serving(good) as server:
        barrier = spawn.Barrier(4)
        job = (server.remote(), tmp_path / "w.pt", with_locks, barrier)
        processes = [spawn.Process(target=_download_in_a_process, args=job) for _ in range(4)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes] == [0] * 4
        if with_locks:
            assert len(server.ranges) == 1
    assert (tmp_path / "w.pt").read_bytes() == CONTENT
    assert left_in(tmp_path) == ["w.pt"]


def test_waiting_for_another_process_can_be_cancelled(tmp_path):
    from napari_sam2.io.locks import locked

    def never():
        raise AssertionError("nobody else holds it")

    with serving(good) as server, locked(tmp_path / "w.pt.lock", never):
        with pytest.raises(DownloadCancelledError):
            download(server.remote(), tmp_path / "w.pt", is_cancelled=lambda: True, patience=QUICK)
