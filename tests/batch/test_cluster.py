"""Real worker processes: what happens to those that die, to what kills them, and who can hear them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest
from tests.batch.fake_work import contents, fake_work, refusing_work, troubled_work

from napari_sam2.batch import cluster
from napari_sam2.batch.driving import Drive, ThisProcess
from napari_sam2.batch.plan import find_jobs, make_plan
from napari_sam2.batch.tasks import num_tries
from napari_sam2.core.errors import OptionError

pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def client():
    """Two processes for all tests here; those that are killed are replaced."""
    with cluster.local_client(2) as connected:
        yield connected


@pytest.fixture(autouse=True)
def two_workers(client):
    client.wait_for_workers(2, timeout=60)


def on(client, jobs, out, work=fake_work, existing="refuse"):
    return Drive(make_plan(jobs, out, existing), cluster.DaskCrew(client, work)).run()


def in_one_process(jobs, out):
    assert Drive(make_plan(jobs, out), ThisProcess(fake_work)).run().is_complete
    return contents(out)


@pytest.mark.parametrize("names", [("a", "b", "killed", "c"), ("torn", "slow-1", "slow-2")])
def test_a_worker_killed_in_the_middle_changes_no_byte_of_the_output(
    client, add_stack, inputs, tmp_path, names
):
    for seed, name in enumerate(names):
        add_stack(name, seed)
    jobs = find_jobs(inputs)
    summary = on(client, jobs, tmp_path / "out", troubled_work)
    assert summary.is_complete, summary.failures
    assert list((tmp_path / "out").glob("*.marker")), "nobody was killed"
    assert [path.name for path in (tmp_path / "out").glob(".*")] == [".batch"]
    assert contents(tmp_path / "out") == in_one_process(jobs, tmp_path / "one")


def test_a_poison_item_is_set_aside_after_two_tries_and_all_others_finish(
    client, add_stack, inputs, tmp_path
):
    names = ("a", "abort", "b", "c", "d")
    for seed, name in enumerate(names):
        add_stack(name, seed)
    plan = make_plan(find_jobs(inputs), tmp_path / "out")
    summary = Drive(plan, cluster.DaskCrew(client, troubled_work)).run()
    assert summary.states == {name: "failed" if name == "abort" else "done" for name in names}
    (item,) = (item for item in summary.to_json()["items"] if item["state"] == "failed")
    assert (item["error"], item["tries"]) == ("worker-lost", 2)
    assert "ended 2 times without a word" in item["cause"]
    (task,) = (job.task for job in plan.jobs if job.task.spec.name == "abort")
    assert num_tries(task) == 2


def test_a_stack_split_over_workers_has_the_labels_of_the_unsplit_one(
    client, add_stack, inputs, tmp_path
):
    add_stack("killed", num_objects=4)
    (job,) = find_jobs(inputs)
    summary = on(client, [replace(job, split_objects=1)], tmp_path / "out", troubled_work)
    assert summary.is_complete, summary.failures
    assert contents(tmp_path / "out") == in_one_process([job], tmp_path / "one")


def test_the_same_tasks_submitted_twice_have_one_winner(client, add_stack, inputs, tmp_path):
    add_stack("slow-1")
    add_stack("slow-2", seed=1)
    plan = make_plan(find_jobs(inputs), tmp_path / "out")
    crew = cluster.DaskCrew(client, troubled_work)
    for job in plan.jobs * 2:
        crew.submit(job.task)
    ends = [crew.next_done() for _ in range(4)]
    states = sorted((task.spec.name, outcome.state) for task, outcome in ends)
    assert states == [
        (name, state) for name in ("slow-1", "slow-2") for state in ("already", "done")
    ]
    assert all(job.task.is_done() for job in plan.jobs)


def test_a_worker_that_cannot_do_the_work_says_why(client, add_stack, inputs, tmp_path):
    add_stack("a")
    summary = on(client, find_jobs(inputs), tmp_path / "out", refusing_work)
    assert "ModuleNotFoundError" in summary.failures["a"][1].cause


def test_a_local_cluster_listens_on_loopback_only(client):
    own = psutil.Process()
    workers = [psutil.Process(pid) for pid in client.run(_pid).values()]
    assert len(workers) == 2
    listening = [
        connection.laddr
        for process in {own, *workers, *own.children(recursive=True)}
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 3
    assert {address.ip for address in listening} == {"127.0.0.1"}


def test_the_http_servers_of_dask_have_nothing_to_tell(client):
    info = client.scheduler_info(n_workers=-1)
    ports = [info["services"]["dashboard"]]
    ports += [worker["services"]["dashboard"] for worker in info["workers"].values()]
    assert len(ports) == 3
    for port in ports:
        for page in (
            "",
            "status",
            "health",
            "info/main/workers.html",
            "metrics",
            "json/counts.json",
        ):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=10)


def _pid():
    return os.getpid()


def test_workers_have_one_thread_of_dask_each_and_do_not_pause_when_memory_is_scarce(client):
    assert set(client.nthreads().values()) == {1}
    settings = client.run(_memory_settings).values()
    assert list(settings) == [(False, False, False, 0.95)] * 2


def _memory_settings():
    import dask

    names = ("target", "spill", "pause", "terminate")
    return tuple(dask.config.get(f"distributed.worker.memory.{name}") for name in names)


def test_a_cluster_without_workers_is_spoken_of(caplog, add_stack, inputs, tmp_path, monkeypatch):
    from distributed import Client, LocalCluster

    monkeypatch.setattr(cluster, "_LONELY_SECONDS", 0.1)
    add_stack("a")
    plan = make_plan(find_jobs(inputs), tmp_path / "out")
    with (
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as empty,
        Client(empty, set_as_default=False) as connected,
    ):
        crew = cluster.DaskCrew(connected, fake_work)
        crew.submit(plan.jobs[0].task)
        ours = SimpleNamespace(monotonic=time.monotonic, sleep=_stop_after(20))
        monkeypatch.setattr(cluster, "time", ours)
        with pytest.raises(KeyboardInterrupt):
            crew.next_done()
    assert "no workers" in caplog.text


def _stop_after(number):
    calls = []

    def sleep_or_stop(seconds):
        calls.append(seconds)
        if len(calls) > number:
            raise KeyboardInterrupt
        time.sleep(seconds)

    return sleep_or_stop


def test_a_scheduler_that_dies_ends_the_batch_with_a_hint(add_stack, inputs, tmp_path):
    code = (
        "import sys, asyncio\n"
        "from distributed import Scheduler\n"
        "async def main():\n"
        "    async with Scheduler(host='127.0.0.1', dashboard=False) as s:\n"
        "        print(s.address, flush=True)\n"
        "        await s.finished()\n"
        "asyncio.run(main())\n"
    )
    scheduler = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        address = scheduler.stdout.readline().strip()
        add_stack("a")
        plan = make_plan(find_jobs(inputs), tmp_path / "out")
        with cluster.remote_client(address, is_insecure_allowed=True) as client:
            crew = cluster.DaskCrew(client, fake_work)
            crew.submit(plan.jobs[0].task)
            time.sleep(0.2)
            scheduler.kill()
            with pytest.raises(cluster.LostClusterError, match="--resume"):
                crew.next_done()
    finally:
        scheduler.kill()
        scheduler.wait()
        scheduler.stdout.close()


TLS_CLUSTER = """
import sys
from distributed import LocalCluster, Security

def main():
    cert, key = sys.argv[1:]
    files = {f"tls_{who}_{what}": file for who in ("scheduler", "worker", "client")
             for what, file in (("cert", cert), ("key", key))}
    security = Security(tls_ca_file=cert, require_encryption=True, **files)
    with LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", protocol="tls://",
                      dashboard_address=None, security=security) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()

if __name__ == "__main__":
    main()
"""


@pytest.fixture
def tls(tmp_path):
    """Somebody's own cluster, which speaks TLS only; its address, certificate and key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    script = tmp_path / "own_cluster.py"
    script.write_text(TLS_CLUSTER)
    process = subprocess.Popen(
        [sys.executable, str(script), str(cert), str(key)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    with process:
        yield process.stdout.readline().strip(), str(cert), str(key)
        process.stdin.close()  # it ends by itself
        process.wait(timeout=60)


def test_a_cluster_with_tls_does_the_work_and_nobody_without_a_certificate_gets_in(
    tls, add_stack, inputs, tmp_path, monkeypatch
):
    import dask

    address, cert, key = tls
    assert address.startswith("tls://")
    add_stack("a")
    jobs = find_jobs(inputs)
    settings = {"distributed.comm.tls.ca-file": cert}
    own = {"distributed.comm.tls.client.cert": cert, "distributed.comm.tls.client.key": key}
    with dask.config.set(settings | own), cluster.remote_client(address) as client:
        assert on(client, jobs, tmp_path / "out").is_complete
    assert contents(tmp_path / "out") == in_one_process(jobs, tmp_path / "one")
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 2)
    with dask.config.set(settings), pytest.raises((cluster.LostClusterError, OptionError)):
        with cluster.remote_client(address):
            pass
    plain = address.replace("tls://", "tcp://")
    with pytest.raises(cluster.LostClusterError):
        with cluster.remote_client(plain, is_insecure_allowed=True):
            pass


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:8786", "127.0.0.1:8786", "http://x", ""])
def test_a_scheduler_without_tls_is_refused_before_anything_is_sent(address):
    with pytest.raises(OptionError, match="does not speak TLS"):
        with cluster.remote_client(address):
            pass
    cluster.check_scheduler(address, is_insecure_allowed=True)


def test_certificates_that_are_missing_are_named():
    with pytest.raises(OptionError, match="ca-file"):
        with cluster.remote_client("tls://127.0.0.1:9"):
            pass


def test_a_scheduler_that_is_not_there_is_a_clear_error(monkeypatch):
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 1)
    with pytest.raises(cluster.LostClusterError, match="cannot be reached"):
        with cluster.remote_client("tcp://127.0.0.1:9", is_insecure_allowed=True):
            pass


def test_without_dask_several_processes_are_refused_and_none_are_started_by_default(monkeypatch):
    monkeypatch.setattr(cluster, "is_available", lambda: False)
    assert cluster.default_workers(5) == 0
    with pytest.raises(cluster.MissingExtraError, match=r'pip install "napari-sam2\[dask\]"'):
        with cluster.local_client(2):
            pass


@pytest.mark.parametrize("error", [OSError("no memory"), AssertionError(), TimeoutError("60 s")])
def test_processes_that_do_not_start_are_a_clear_error(monkeypatch, error):
    def failing(**options):
        raise error

    monkeypatch.setattr("distributed.LocalCluster", failing)
    with pytest.raises(cluster.LostClusterError, match="2 processes cannot be started"):
        with cluster.local_client(2):
            pass


def test_cores_are_shared_out(monkeypatch):
    monkeypatch.setattr(cluster, "num_cores", lambda: 12)
    assert [cluster.default_workers(n) for n in (1, 5, 100)] == [1, 5, 6]
    assert [cluster.threads_of(n) for n in (0, 1, 5, 100)] == [12, 12, 2, 1]
