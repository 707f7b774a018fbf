"""The local cluster, with a small program in place of the runner: start, recovery, and stop without leftovers."""

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import httpx
import pytest
import redis
from rich.console import Console
from support.warm_parent.forks import fork_of

from darkroom_contract.names import RUNNER_CONTAINER
from darkroom_local.cluster.local_cluster import ClusterOptions, LocalCluster
from darkroom_local.demo.demo import perform
from darkroom_local.errors import DemoFailedError, LocalError, StateInUseError
from darkroom_local.kube.kubectl import run_kubectl
from darkroom_local.node.journal import overlapping_runs, read_journal
from darkroom_local.node.pod_dirs import PodDirs
from darkroom_local.processes.ports import is_free

PYTHON = sys.executable
"""A new interpreter."""
COMPONENTS = {"apiserver", "redis", "s3", "node", "operator", "gateway"}

RUNNER = """
import hashlib, os, pathlib, sys, time
from datetime import UTC, datetime
import redis
from darkroom_contract.outcome import Outcome, OutcomeFile, Reason
from darkroom_contract.progress import STREAM_FIELD, ProgressEvent, Stage, stream_name
from darkroom_contract.runs import RunDocument
from darkroom_contract.storage.keys import run_prefix
from darkroom_contract.storage.s3_client import open_client

def finish(outcome):
    pathlib.Path(os.environ["DARKROOM_TERMINATION_MESSAGE_PATH"]).write_text(outcome.to_message())
    sys.exit(0 if outcome.succeeded else 1)

run = RunDocument.from_json(os.environ["DARKROOM_RUN"])
prompt = (run.train or run.generate).prompt
if "fails" in prompt:
    finish(Outcome(succeeded=False, reason=Reason.DATASET_INVALID, message="photo-1.png is not a photo."))
event = ProgressEvent(attempt=run.attempt, stage=Stage.TRAINING, step=1, total=2, time=datetime.now(UTC))
entry = {STREAM_FIELD: event.model_dump_json(by_alias=True, exclude_none=True)}
redis.Redis.from_url(os.environ["DARKROOM_REDIS_URL"]).xadd(stream_name(run.uid), entry)
if "waits" in prompt and run.attempt == 1:
    print("waiting", flush=True)
    time.sleep(600)
s3 = open_client(os.environ["DARKROOM_S3_ENDPOINT_URL"], "us-east-1")
files = []
for name, kind in (("picture-0.png", "image/png"), ("video.mp4", "video/mp4")) if run.generate else ():
    body = f"{name} of {prompt}".encode()
    s3.put_object(Bucket=os.environ["DARKROOM_S3_BUCKET"], Key=run_prefix(run.uid) + name, Body=body, ContentType=kind)
    digest = hashlib.sha256(body).hexdigest()
    files.append(OutcomeFile(name=name, content_type=kind, bytes=len(body), sha256=digest))
finish(Outcome(succeeded=True, prefix=run_prefix(run.uid), files=tuple(files)))
"""


@pytest.fixture(scope="module")
def options(tmp_path_factory, warm_cluster):
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "bin").mkdir()
    (folder / "models").mkdir()
    runner = folder / "bin" / "darkroom-runner"
    (folder / "small_runner.py").write_text(RUNNER)
    runner.write_text(f"#!/bin/sh\ncd {folder} && exec {warm_cluster.forking_python} -m small_runner\n")
    runner.chmod(0o755)
    return ClusterOptions(
        state_dir=folder / "state",
        bin_dir=folder / "bin",
        model_root=folder / "models",
        operator_environment={"DARKROOM_RETRY_BASE_SECONDS": "0.1"},
    )


@pytest.fixture(scope="module")
def cluster(options, warm_cluster):
    """Its parts are forks; so are those that the tests start beside it."""
    with warm_cluster.as_interpreter(), LocalCluster(options) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def gateway(cluster):
    with httpx.Client(base_url=cluster.gateway_url, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
def generate(gateway):
    def submit(prompt):
        return gateway.post("/generate/sdxl", params={"prompt": prompt}).json()["task_id"]

    return submit


@pytest.fixture
def phase(gateway):
    """The phase of a job, or None while the gateway is unavailable. Fails when the job failed."""

    def read(task_id):
        with contextlib.suppress(httpx.TransportError):
            job = gateway.get(f"/jobs/{task_id}").json()
            assert job.get("phase") != "Failed", job
            return job.get("phase")

    return read


@pytest.fixture
def run_log(cluster):
    """The logs of a job's runs."""

    def read(task_id):
        runs = [run for run in read_journal(cluster.journal_path) if run.pod_name.startswith(task_id)]
        folders = PodDirs(cluster.journal_path.parent)
        logs = [folders.of(run.pod_uid).container(RUNNER_CONTAINER).log for run in runs]
        return "".join(log.read_text() for log in logs if log.exists())

    return read


def test_all_components_are_ready(cluster, gateway):
    assert set(cluster.pids()) == COMPONENTS
    assert gateway.get("/readyz").json()["status"] == "ready"
    assert "darkroom-local" in run_kubectl(cluster.kubeconfig, "get", "nodes")


def test_a_second_cluster_on_the_state_directory_is_rejected(cluster, options, gateway):
    with pytest.raises(StateInUseError, match="is used by process"):
        LocalCluster(options).start()

    assert gateway.get("/readyz").status_code == 200


@pytest.mark.parametrize("prompt", ["a red circle", "a star for $$5, $(HOME) and ${PATH}"])
def test_a_job_succeeds_and_its_files_can_be_downloaded(generate, gateway, phase, wait, prompt):
    task_id = generate(prompt)
    wait(lambda: phase(task_id) == "Succeeded", "the job succeeds")

    (image,) = gateway.get("/images", params={"task_id": task_id}).json()["images"]

    assert httpx.get(image["url"], trust_env=False).text == f"picture-0.png of {prompt}"


def test_a_killed_component_is_restarted(cluster, generate, phase, wait):
    before = cluster.pids()["operator"]

    os.kill(before, signal.SIGKILL)

    task_id = generate("a blue square")
    wait(lambda: phase(task_id) == "Succeeded", "the job succeeds")
    assert cluster.pids()["operator"] != before


def test_the_demo_downloads_picture_and_video_and_shows_the_resources(cluster, tmp_path):
    screen = StringIO()

    paths = perform(cluster, tmp_path / "output", Console(file=screen), max_steps=5)

    assert [path.name for path in paths] == ["picture-0.png", "video.mp4"]
    assert paths[1].read_text() == "video.mp4 of a photo of sks star, olive background"
    output = screen.getvalue()
    assert "Learn the subject" in output
    assert "Draw and animate it" in output
    assert "trainjob.darkroom.dev/train-" in output
    assert "generatejob.darkroom.dev/generate-" in output


def test_the_demo_fails_with_the_reason_of_the_job(cluster, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules["darkroom_local.demo.script"].TRAIN, "prompt", "a photo that fails")

    with pytest.raises(DemoFailedError, match=r"TrainJob train-.* failed: DatasetInvalid: photo-1\.png is not a photo"):
        perform(cluster, tmp_path / "output", Console(file=StringIO()))


def test_after_a_power_failure_all_data_is_there_and_the_run_is_retried(
    cluster, generate, gateway, phase, wait, alive, run_log
):
    """Resources, artifacts and Redis data survive SIGKILL of every process at once."""
    done = generate("a green star")
    wait(lambda: phase(done) == "Succeeded", "the first job succeeds")
    waiting = generate("a star that waits")
    wait(lambda: "waiting" in run_log(waiting), "the second job runs")
    pids = [fork_of(pid) or pid for pid in cluster.pids().values()]
    (running,) = [run.pid for run in read_journal(cluster.journal_path) if run.ended is None]

    cluster.kill_all()
    wait(lambda: not any(alive(pid) for pid in [*pids, running]), "everything is dead")
    # Its own processes follow it.
    wait(lambda: is_free(gateway.base_url.port), "the gateway's port is free")
    cluster.start()

    assert cluster.gateway_url == str(gateway.base_url).rstrip("/")
    wait(lambda: phase(waiting) == "Succeeded", "the second job succeeds after all")
    assert gateway.get(f"/jobs/{waiting}").json()["attempts"] == 2
    (image,) = gateway.get("/images", params={"task_id": done}).json()["images"]
    assert httpx.get(image["url"], trust_env=False).text == "picture-0.png of a green star"
    with redis.Redis.from_url(cluster.redis_url) as client:
        assert len(client.keys("darkroom:progress:*")) >= 2
    assert overlapping_runs(read_journal(cluster.journal_path)) == []


def test_an_existing_api_server_replaces_the_embedded_one(cluster, options, tmp_path, wait):
    """The second cluster uses the first one's API server, in another namespace."""
    second = ClusterOptions(
        state_dir=tmp_path / "second",
        kubeconfig=cluster.kubeconfig,
        namespace="elsewhere",
        bin_dir=options.bin_dir,
        model_root=options.model_root,
    )
    with LocalCluster(second) as other:
        assert set(other.pids()) == COMPONENTS - {"apiserver"}
        with httpx.Client(base_url=other.gateway_url, trust_env=False, timeout=30) as client:
            task_id = client.post("/generate/sdxl", params={"prompt": "a circle"}).json()["task_id"]
            wait(lambda: client.get(f"/jobs/{task_id}").json()["phase"] == "Succeeded", "the job succeeds")

        assert task_id in run_kubectl(other.kubeconfig, "get", "darkroom")
        assert task_id not in run_kubectl(cluster.kubeconfig, "get", "darkroom")

        # A third cluster would direct the second one's runs to a storage without their photos.
        third = replace(second, state_dir=tmp_path / "third")
        with pytest.raises(LocalError, match="namespace elsewhere is used by another `darkroom up`"):
            LocalCluster(third).start()
    assert other.layout.node_name not in run_kubectl(cluster.kubeconfig, "get", "nodes")
    with LocalCluster(third) as successor:
        assert task_id in run_kubectl(successor.kubeconfig, "get", "darkroom")


def test_up_prints_working_commands_survives_sighup_under_nohup_and_stops_cleanly(tmp_path, alive):
    (tmp_path / "models").mkdir()
    state = tmp_path / 'Jo\'s "dark" room #1 $HOME \\ ä'
    command = ["nohup", PYTHON, "-m", "darkroom_local.cli", "up", "--state-dir", str(state), "--port", "0"]
    command += ["--models", str(tmp_path / "models")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as up, _killed_at_the_end(up):
        printed = ""
        while "Ctrl-C" not in printed:
            line = up.stdout.readline()
            assert line, printed
            printed += line
        url = next(line.split()[1] for line in printed.splitlines() if line.strip().startswith("Gateway"))
        assert httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
        export = next(line[line.index("export") :] for line in printed.splitlines() if "export KUBECONFIG" in line)
        get = next(line.strip() for line in printed.splitlines() if line.endswith("get darkroom"))
        listed = subprocess.run(["bash", "-ec", f"{export}\n{get}"], capture_output=True, text=True, check=False)
        assert "No resources found in default namespace" in listed.stderr
        everything = [path for path in (state, *state.rglob("*")) if path.exists() and not path.is_symlink()]
        assert not [path for path in everything if path.stat().st_mode & 0o077]
        up.send_signal(signal.SIGHUP)
        children = _children(up.pid)
        assert len(children) == len(COMPONENTS)

        up.send_signal(signal.SIGTERM)

        rest = up.stdout.read()
        assert up.wait(timeout=60) == 0
    assert "Stopped. The state is kept in" in rest
    assert not any(alive(pid) for pid in children)


@contextlib.contextmanager
def _killed_at_the_end(process):
    try:
        yield
    finally:
        process.kill()


def _children(pid):
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            if f"PPid:\t{pid}\n" in status.read_text():
                found.append(int(status.parent.name))
    return found
