"""A local cluster with two operators that reach the API server only through a fault-injecting proxy.

Plays a chaos schedule. The test itself reads the API server and the node's record past the proxy.
"""

import contextlib
import hashlib
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from darkroom_contract import environment
from darkroom_contract.names import (
    API_VERSION,
    GROUP,
    LABEL_COMPONENT,
    RUNNER_COMPONENT,
    VERSION,
    Kind,
    slot_lease_name,
)
from darkroom_local.cluster.components import operator_program
from darkroom_local.cluster.local_cluster import ClusterOptions, LocalCluster
from darkroom_local.example_photos import example_photos
from darkroom_local.node.journal import RunRecord, read_journal
from darkroom_local.processes.ports import free_ports
from darkroom_local.processes.probes import HttpProbe
from darkroom_local.processes.supervisor import Program
from darkroom_local.s3.storage import BUCKET
from support.chaos_schedule import Action, Event, Schedule, Victim, Work
from support.fault_proxy import FaultProxy
from support.kube_api import MERGE, Api, ApiServer, Json
from support.waiting import waiter
from support.warm_parent.installation import WarmParent

FINAL = ("Succeeded", "Failed")
MANY_TRIES = 10
"""The highest backoff limit of a job: killed runs must be retried."""
SOON = {"DARKROOM_RETRY_BASE_SECONDS": "1", "DARKROOM_RETRY_CAP_SECONDS": "5", environment.WARM_SECONDS: "1"}
"""Settings of the operators. Idle runners leave so early that some do when they are handed over."""
BEGUN = re.compile(r"run (\d+) of (?:Train|Generate)Job \S+ \(([0-9a-f-]{36})\)")
"""In a runner's log: attempt and job of each run that it carries out."""
KINDS = {Kind.TRAIN: f"trainjobs.{GROUP}/{VERSION}", Kind.GENERATE: f"generatejobs.{GROUP}/{VERSION}"}
TRAININGS = (Work.TRAINING, Work.NO_DATASET)
ACCEPTED_SECONDS = 180.0

wait_for = waiter(ACCEPTED_SECONDS)


class ChaosCluster:
    """One cluster, which lives within `with chaos.running()`."""

    def __init__(self, folder: Path, warm: WarmParent, seed: int) -> None:
        """`warm` forks its parts and its runs."""
        self.folder, self._warm = folder, warm
        self.server = ApiServer(folder, python=warm.forking_python)
        self.proxy = FaultProxy(self.server.url, seed)
        kubeconfig = folder / "by-proxy.yaml"
        kubeconfig.write_text(self.server.kubeconfig.read_text().replace(self.server.url, self.proxy.url))
        options = ClusterOptions(
            folder / "state", kubeconfig=kubeconfig, bin_dir=warm.bin_dir, operator_environment=SOON
        )
        self.cluster = LocalCluster(options)
        self.api = Api(self.server.kubeconfig, "default")
        self.names: dict[str, str] = {}
        """Names of the accepted jobs, by their names in the schedule."""
        self.evictions = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._warm.as_interpreter())
            stack.callback(self.api.http.close)
            stack.enter_context(self.server)
            stack.enter_context(self.proxy)
            stack.enter_context(self.cluster)
            self.cluster.supervisor.start(self._other_operator())
            yield

    def _other_operator(self) -> Program:
        [port] = free_ports(1)
        program, health = operator_program(self.cluster.layout), HttpProbe(f"http://127.0.0.1:{port}/healthz")
        own = {"DARKROOM_HEALTH_PORT": str(port), "DARKROOM_OPERATOR_IDENTITY": "the-other"}
        environment = {**program.environment, **own}
        return replace(program, name=Victim.OTHER_OPERATOR, environment=environment, ready=health, alive=health)

    # Disturbances.

    def play(self, schedule: Schedule) -> None:
        """Play every event at its time, or as soon as the events before it are done."""
        self.proxy.begin()
        began = time.monotonic()
        for event in schedule.events:
            time.sleep(max(0.0, began + event.at_seconds - time.monotonic()))
            self._do(event, schedule)
        self.proxy.calm()

    def _do(self, event: Event, schedule: Schedule) -> None:
        match event.action:
            case Action.SUBMIT:
                self.names[event.target] = self._submit(event.target, schedule.jobs[event.target])
            case Action.SUSPEND | Action.RESUME:
                self._patch(event.target, schedule, suspend=event.action is Action.SUSPEND)
            case Action.DELETE:
                answer = self.api.delete(KINDS[kind_of(schedule.jobs[event.target])], self.names[event.target])
                assert answer.status_code in (200, 202), answer.text
            case Action.KILL:
                self._kill(Victim(event.target))
            case Action.EVICT:
                self._evict()

    def _patch(self, name: str, schedule: Schedule, **spec: Any) -> None:
        answer = self.api.patch(KINDS[kind_of(schedule.jobs[name])], self.names[name], {"spec": spec}, MERGE)
        assert answer.status_code == 200, answer.text

    def _evict(self) -> None:
        """Evict every running pod, as `kubectl drain` does. A pod that has just ended may be gone."""
        runners = f"{LABEL_COMPONENT}={RUNNER_COMPONENT}"
        for pod in self.api.get("pods", labelSelector=runners).json()["items"]:
            if pod["status"].get("phase") != "Running":
                continue
            name = pod["metadata"]["name"]
            eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
            answer = self.api.http.post(self.api.path("pods", name, "eviction"), json=eviction)
            assert answer.status_code in (201, 404), answer.text
            self.evictions += answer.status_code == 201

    def _kill(self, victim: Victim) -> None:
        """SIGKILL. A process that has just ended is ignored."""
        match victim:
            case Victim.API_SERVER:
                self.server.kill()
                self.server.start()
            case Victim.RUNNER:
                self._kill_pids(run.pid for run in self.record() if run.ended is None)
            case _:
                self._kill_pids(pid for name, pid in self.cluster.pids().items() if name == victim)

    def _kill_pids(self, pids: Iterator[int]) -> None:
        ours = processes_of(self.folder)
        for pid in pids:
            if pid in ours:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    # Submitting jobs.

    def _submit(self, name: str, work: Work) -> str:
        """The name of the accepted job. Jobs that the gateway would refuse are created past it."""
        if work in (Work.NO_DATASET, Work.NO_MODEL):
            return self._create(name, work)
        accepted: str = wait_for(lambda: self._post(name, work), f"{name} is accepted")
        return accepted

    def _create(self, name: str, work: Work) -> str:
        kind = kind_of(work)
        spec: Json = {"prompt": "a photo of sks star", "modelId": "nobody", "backoffLimit": MANY_TRIES}
        if work is Work.NO_DATASET:
            spec["dataset"] = {"uri": f"s3://{BUCKET}/datasets/examples/star/nowhere/"}
        document = {"apiVersion": API_VERSION, "kind": kind.value, "metadata": {"name": name}, "spec": spec}
        self.api.made(KINDS[kind], document)
        return name

    def _post(self, name: str, work: Work) -> str | None:
        """One attempt; repeating it creates no second job."""
        path = "/train" if work is Work.TRAINING else "/generate/sdxl"
        try:
            response = httpx.post(
                self.cluster.gateway_url + path,
                params=parameters(name, work),
                files=photos(work),
                headers={"Idempotency-Key": name},
                timeout=30,
                trust_env=False,
            )
        except httpx.TransportError:
            return None
        assert response.status_code in (202, 429) or response.status_code >= 500, response.text
        task_id: str | None = response.json()["task_id"] if response.status_code == 202 else None
        return task_id

    # Observing.

    def jobs(self) -> dict[str, Json]:
        listed = [self.api.get(plural).json()["items"] for plural in KINDS.values()]
        return {job["metadata"]["name"]: job for jobs in listed for job in jobs}

    def unfinished(self) -> dict[str, Json]:
        """The statuses of the jobs that have not ended."""
        statuses = {name: job.get("status", {}) for name, job in self.jobs().items()}
        return {name: status for name, status in statuses.items() if status.get("phase") not in FINAL}

    def record(self) -> list[RunRecord]:
        return read_journal(self.cluster.journal_path)

    def begun_runs(self) -> Counter[tuple[str, str]]:
        """How often each run (job uid and attempt) was begun, by the logs of the pods that still exist."""
        logs = self.cluster.layout.node_dir.glob("pods/*/containers/runner/log")
        found = (BEGUN.findall(log.read_text(encoding="utf-8", errors="replace")) for log in logs)
        return Counter((uid, attempt) for runs in found for attempt, uid in runs)

    def slot_is_free(self) -> bool:
        return not self.api.read("leases.coordination.k8s.io/v1", slot_lease_name(0))["spec"].get("holderIdentity")

    def damaged_artifacts(self) -> list[str]:
        """Keys of artifacts that a status names and whose content in the bucket differs or is missing."""
        artifacts = [artifact for job in self.jobs().values() for artifact in job["status"].get("artifacts", [])]
        with contextlib.closing(self.cluster.storage.client()) as bucket:
            return [each["key"] for each in artifacts if digest(bucket, each["key"]) != each["sha256"]]


def kind_of(work: Work) -> Kind:
    return Kind.TRAIN if work in TRAININGS else Kind.GENERATE


def parameters(name: str, work: Work) -> Json:
    """Of a request to the gateway for the smallest possible job."""
    shared = {"prompt": "a red star on a navy background", "backoff_limit": MANY_TRIES}
    match work:
        case Work.TRAINING:
            return shared | {"model_id": name, "max_steps": 3, "rank": 4, "checkpoint_steps": 1}
        case Work.CLIP:
            return shared | {"steps": 1, "allow_motion": True, "frames": 2, "video_steps": 1}
        case _:
            return shared | {"steps": 2}


def photos(work: Work) -> list[tuple[str, tuple[str, bytes, str]]] | None:
    if work is not Work.TRAINING:
        return None
    return [("files", (photo.name, photo.read_bytes(), "image/png")) for photo in example_photos()[:2]]


def digest(bucket: Any, key: str) -> str | None:
    try:
        return hashlib.sha256(bucket.get_object(Bucket=BUCKET, Key=key)["Body"].read()).hexdigest()
    except bucket.exceptions.NoSuchKey:
        return None


def processes_of(folder: Path) -> dict[int, str]:
    """Command lines by process id, of processes that log into the folder or have it in their arguments."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # It has just ended, or belongs to another user.
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(folder) in command or os.readlink(process / "fd" / "2").startswith(str(folder)):
                found[int(process.name)] = command
    return found
