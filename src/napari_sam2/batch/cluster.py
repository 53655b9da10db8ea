"""A crew of processes: dask.distributed on this computer, or somebody's own cluster.

Only texts and numbers are sent, and come back. On this computer everything listens on 127.0.0.1 and there is no
dashboard; elsewhere the scheduler must speak TLS, because whoever reaches a scheduler without it can run any code.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from napari_sam2.batch.driving import Work
from napari_sam2.batch.tasks import Outcome, Task, run_task
from napari_sam2.core.errors import NapariSam2Error, OptionError

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

MAX_LOCAL_WORKERS = 8
"""By default; every one holds a model."""

_CONNECT_SECONDS = 30
_POLL_SECONDS = 0.05
_LONELY_SECONDS = 60.0

_LOCAL_CONFIG = {
    # A worker has one task and no queue: who waits behind a crash is not blamed for it.
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.allowed-failures": 2,
    # A process that holds a model never gets back below the mark at which dask would let it pause for ever; one that
    # takes all memory is still ended, and its task tried elsewhere.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    # Without a dashboard, dask's processes still answer HTTP; there is nothing to be had from them.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}


_NOT_STARTED = (OSError, RuntimeError, AssertionError)
"""What dask raises when something does not start in time; the last one if its own thread does not."""


class MissingExtraError(NapariSam2Error, ImportError):
    """A library of an extra is needed and not installed."""

    code = "missing-extra"


class LostClusterError(NapariSam2Error, ConnectionError):
    """The scheduler is gone, or cannot be reached."""

    code = "lost-cluster"


def is_available() -> bool:
    """Say whether dask.distributed is installed."""
    return find_spec("distributed") is not None


def default_workers(num_tasks: int) -> int:
    """Return how many processes are started unless a person says so: half the cores, and no more than tasks."""
    if not is_available():
        return 0
    return max(1, min(num_cores() // 2, num_tasks, MAX_LOCAL_WORKERS))


def threads_of(num_workers: int) -> int:
    """Return on how many threads torch computes in each of so many processes."""
    return max(1, num_cores() // max(1, num_workers))


def num_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_scheduler(address: str, *, is_insecure_allowed: bool = False) -> None:
    """Refuse the address of a scheduler that does not speak TLS, unless a person allows it."""
    if address.startswith("tls://") or is_insecure_allowed:
        return
    raise OptionError(
        f"the scheduler {address} does not speak TLS: whoever reaches it can read, change and run everything",
        remedy="give a tls:// address, or --insecure-cluster on a network that you trust entirely",
        kept="nothing was sent",
    )


@contextmanager
def local_client(num_workers: int) -> Iterator[Client]:
    """Start processes on this computer; they and all that they listen on are gone in the end."""
    _check_available()
    import dask
    from distributed import Client, LocalCluster
    from distributed.system import MEMORY_LIMIT

    with ExitStack() as stack:
        folder = tempfile.TemporaryDirectory(prefix="napari-sam2-", ignore_cleanup_errors=True)
        stack.enter_context(folder)
        stack.enter_context(dask.config.set(_LOCAL_CONFIG))
        try:
            cluster = LocalCluster(
                n_workers=num_workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                protocol="tcp://",
                dashboard_address=None,
                scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
                silence_logs=logging.CRITICAL,
                memory_limit=MEMORY_LIMIT // num_workers,
                local_directory=folder.name,
            )
            stack.enter_context(cluster)
            client = stack.enter_context(Client(cluster, set_as_default=False))
        except _NOT_STARTED as error:
            raise LostClusterError(
                f"{num_workers} processes cannot be started: {type(error).__name__}: {error}",
                remedy="try fewer, or --workers 0",
            ) from error
        yield client


@contextmanager
def remote_client(address: str, *, is_insecure_allowed: bool = False) -> Iterator[Client]:
    """Connect to a scheduler; certificates are those of dask's configuration (``distributed.comm.tls``).

    Raises
    ------
    OptionError
        It does not speak TLS and `is_insecure_allowed` is false, or there are no certificates.
    LostClusterError
        It cannot be reached.
    """
    check_scheduler(address, is_insecure_allowed=is_insecure_allowed)
    _check_available()
    from distributed import Client

    try:
        client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (TypeError, ValueError) as error:  # no certificates, or no such protocol
        raise OptionError(
            f"cannot connect to {address}: {error}",
            remedy="set distributed.comm.tls.ca-file, .client.cert and .client.key in dask's configuration",
        ) from error
    except _NOT_STARTED as error:
        raise LostClusterError(
            f"the scheduler {address} cannot be reached: {error}",
            remedy="check that it runs, and that its certificates and yours have one authority",
        ) from error
    with client:
        yield client


class DaskCrew:
    """A crew of the workers that a client knows.

    Parameters
    ----------
    client : distributed.Client
        Connected.
    work : callable
        What a worker is to do; it must be importable there.
    """

    def __init__(self, client: Client, work: Work = run_task) -> None:
        from distributed import as_completed

        self._client, self._work = client, work
        self._tasks: dict[str, Task] = {}
        self._futures: Any = as_completed(loop=client.loop)
        self._count = 0
        self._next_look = time.monotonic() + _LONELY_SECONDS

    def submit(self, task: Task) -> None:
        """Send a task; an earlier one of the same name is another one."""
        self._count += 1
        key = f"napari-sam2-{task.attempt}-{self._count}"
        self._tasks[key] = task
        self._check_alive()
        self._futures.add(self._client.submit(self._work, task.to_payload(), key=key, pure=False))

    def next_done(self) -> tuple[Task, Outcome | None]:
        """Wait for the next task that ended; workers that die are replaced by dask, which runs their tasks again.

        Raises
        ------
        LostClusterError
            The scheduler is gone.
        """
        while not self._futures.has_ready():
            self._check_alive()
            self._look_for_workers()
            time.sleep(_POLL_SECONDS)
        future: Any = next(self._futures)
        task = self._tasks.pop(future.key)
        return task, self._outcome(future)

    def _outcome(self, future: Any) -> Outcome | None:
        from concurrent.futures import CancelledError

        from distributed import KilledWorker

        try:
            return Outcome(**future.result())
        except KilledWorker:
            return None
        except (CancelledError, OSError, TimeoutError) as error:
            self._check_alive()
            raise _lost(str(error)) from error
        except Exception as error:  # noqa: BLE001  for example, the package is missing on a worker
            return Outcome("failed", error="unexpected", cause=f"{type(error).__name__}: {error}")
        finally:
            future.release()

    def _look_for_workers(self) -> None:
        """Say so if nobody is there to work: in a queue that may be right, and a person should know."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LONELY_SECONDS
        if not self._client.nthreads():
            logger.warning("the cluster has no workers; waiting for some")

    def _check_alive(self) -> None:
        if self._client.status != "running":
            raise _lost(f"its client is {self._client.status}")


def _lost(why: str) -> LostClusterError:
    return LostClusterError(
        f"the scheduler was lost ({why})",
        kept="results that were written are kept",
        remedy="start it again, and run the same command with --resume",
    )


def _check_available() -> None:
    if not is_available():
        raise MissingExtraError(
            "several processes need dask.distributed, which is not installed",
            remedy='pip install "napari-sam2[dask]", or give --workers 0',
        )
