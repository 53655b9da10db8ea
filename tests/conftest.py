"""What every test gets: no network, a display or a stand-in for it, an audit of skipped tests and of leaks."""

from __future__ import annotations

import atexit
import fnmatch
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import settings

ALLOWED_SKIPS = Path(__file__).with_name("allowed_skips.txt")
GUI_FIXTURES = {"make_napari_viewer", "make_napari_viewer_proxy", "qtbot"}
NO_CANVAS = "needs Xvfb, which is not installed"

settings.register_profile("napari-sam2", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("napari-sam2")


def pytest_addoption(parser):
    parser.addoption(
        "--audit-skips",
        action="store_true",
        help="fail when a test is skipped that tests/allowed_skips.txt does not list",
    )


# A shell that starts us in the background ignores Ctrl+C for us and for all processes that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config):
    """Choose the display before anything of Qt is imported: one process has one platform."""
    if sys.platform.startswith("linux"):
        if config.getoption("markexpr") == "canvas":
            _have_an_x_server()
        else:
            os.environ["QT_QPA_PLATFORM"] = "offscreen"
            os.environ.pop("DISPLAY", None)
    os.environ.setdefault("NAPARI_ASYNC", "0")
    _block_the_network()
    if config.getoption("--audit-skips"):
        config.pluginmanager.register(_SkipAudit(), "skip-audit")


def pytest_runtest_setup(item):
    if (
        item.get_closest_marker("canvas")
        and sys.platform.startswith("linux")
        and not os.environ.get("DISPLAY")
    ):
        pytest.skip(NO_CANVAS)


def _have_an_x_server():
    """Use the X server at hand, or start a virtual one for this process."""
    os.environ["QT_QPA_PLATFORM"] = "xcb"
    if os.environ.get("DISPLAY") or not shutil.which("Xvfb"):
        return
    reader, writer = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1600x1200x24", "-nolisten", "tcp"],
        pass_fds=[writer],
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    atexit.register(server.terminate)
    with os.fdopen(reader) as lines:
        number = lines.readline().strip()  # written once the server accepts connections
    if number:
        os.environ["DISPLAY"] = f":{number}"


def _block_the_network():
    """Refuse every connection but those to this machine; tests are offline by construction."""
    real = {name: getattr(socket.socket, name) for name in ("connect", "connect_ex", "sendto")}
    look_up = socket.getaddrinfo

    def is_local(host):
        host = host.decode() if isinstance(host, bytes) else host
        return host in (None, "", "localhost", "::1") or str(host).startswith("127.")

    def guarded(name):
        def call(self, *args):
            inet = self.family in (socket.AF_INET, socket.AF_INET6)
            if inet and not is_local(args[-1][0]):
                raise PermissionError(f"tests have no network; a test tried to reach {args[-1]}")
            return real[name](self, *args)

        return call

    def guarded_look_up(host, *args, **kwargs):
        if not is_local(host):
            raise PermissionError(f"tests have no network; a test looked up {host!r}")
        return look_up(host, *args, **kwargs)

    for name in real:
        setattr(socket.socket, name, guarded(name))
    socket.getaddrinfo = guarded_look_up


class _SkipAudit:
    """Collects what was skipped and fails the run when the list does not know it."""

    def __init__(self):
        self.skipped = {}
        self.allowed = read_allowed_skips(ALLOWED_SKIPS.read_text(encoding="utf-8"))

    def _note(self, report):
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            self.skipped[report.nodeid] = str(reason)

    pytest_runtest_logreport = _note
    pytest_collectreport = _note

    def unlisted(self):
        return {
            test: reason
            for test, reason in self.skipped.items()
            if not any(fnmatch.fnmatchcase(test, pattern) for pattern in self.allowed)
        }

    def pytest_sessionfinish(self, session):
        if self.unlisted() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        for test, reason in self.unlisted().items():
            terminalreporter.write_line(
                f"not in tests/{ALLOWED_SKIPS.name}: {test} was skipped ({reason})", red=True
            )


def read_allowed_skips(text):
    """Return pattern -> reason; a pattern without a reason is an error."""
    allowed = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        pattern, _, reason = line.partition("  ")
        if not reason.strip():
            raise pytest.UsageError(f"{ALLOWED_SKIPS.name}: no reason given in line {line!r}")
        allowed[pattern.replace("[", "[[]")] = reason.strip()
    return allowed


@pytest.fixture(autouse=True)
def _gl_without_a_display(request, monkeypatch):
    """Answer the two questions that napari asks of OpenGL, where there is no OpenGL to answer them."""
    is_gui = request.node.get_closest_marker("gui") or GUI_FIXTURES & set(request.fixturenames)
    if not is_gui or os.environ.get("QT_QPA_PLATFORM") != "offscreen":
        return
    import napari._qt.qt_main_window
    import napari._vispy.utils.gl  # noqa: F401

    for name, module in list(sys.modules.items()):
        if name.startswith("napari."):
            if "get_gl_extensions" in vars(module):
                monkeypatch.setattr(module, "get_gl_extensions", lambda: "texture_float")
            if "get_max_texture_sizes" in vars(module):
                monkeypatch.setattr(module, "get_max_texture_sizes", lambda: (16384, 2048))


@pytest.fixture(autouse=True)
def _nothing_is_left_running():
    """Fail a test that leaves a thread behind which would keep the program from ending."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 2.0
    while left := _own_threads() - before:
        if time.monotonic() > deadline:
            pytest.fail(f"threads left running: {sorted(thread.name for thread in left)}")
        time.sleep(0.01)


def _own_threads():
    return {thread for thread in threading.enumerate() if not thread.daemon and thread.is_alive()}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Give each test its own cache folder, so that no test sees or fills the user's."""
    folder = tmp_path / "napari-sam2-home"
    monkeypatch.setenv("NAPARI_SAM2_HOME", str(folder))
    return folder


@pytest.fixture
def contract():
    """The global contract of the fault matrix, to be asserted of every fault."""
    from tests.fault_contract import FaultContract

    return FaultContract()
