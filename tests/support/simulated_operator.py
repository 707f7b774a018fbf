"""An operator on a simulated API, driven request by request: the real controller, executor and cache,
with watches that deliver as much as a test wants. And the user, the node and the garbage collector beside it.
"""

import logging
from collections.abc import Coroutine
from datetime import datetime
from typing import Any, cast

from darkroom_contract import names
from darkroom_contract.jobs import read_job
from darkroom_contract.names import Kind
from darkroom_contract.outcome import Outcome, Reason
from darkroom_operator.cache.cache import Cache
from darkroom_operator.errors import UnreachableError
from darkroom_operator.kube.client import KubeClient
from darkroom_operator.kube.objects import LEASES, PODS
from darkroom_operator.pods.runner_pod import GATE
from darkroom_operator.reconcile.controller import Reconciler
from darkroom_operator.reconcile.executor import ActionExecutor
from darkroom_operator.scheduling.policy import QueuePolicy
from darkroom_operator.scheduling.preflight import ModelRoot, preflight_failure
from darkroom_operator.settings import Settings
from darkroom_operator.telemetry.metrics import Metrics
from support.operator_snapshots import failure, success
from support.simulated_api import PLURALS, SimulatedApi, SimulatedKubeClient, is_over

Json = dict[str, Any]
KINDS = {kind.plural: kind for kind in Kind}
GENERATE, TRAIN = Kind.GENERATE.plural, Kind.TRAIN.plural
JOBS = (GENERATE, TRAIN)

logging.getLogger("darkroom_operator").setLevel(logging.CRITICAL)


class SimulatedOperator:
    """One process; `crash` begins a new one."""

    def __init__(
        self,
        api: SimulatedApi,
        slots: int = 1,
        metrics: Metrics | None = None,
        policy: QueuePolicy | None = None,
        **settings: Any,
    ) -> None:
        self.api = api
        self._policy = policy
        self.is_leader = True
        self.look_cpu_seconds = 0.0
        """What a look at all waiting jobs costs."""
        self._cpu = 0.0
        self._metrics = metrics or Metrics()
        self._settings = Settings(runner_image="x", slots=slots, retry_base_seconds=2.0, **settings)
        self.crash()

    def crash(self) -> None:
        """All that it knew is lost; the new one begins with a list of everything."""
        model_root = ModelRoot(self._settings.model_root)
        self.cache = Cache(lambda job: preflight_failure(job, self._settings, model_root), self._policy)
        self.kube = SimulatedKubeClient(self.api)
        self.executor = ActionExecutor(
            cast(KubeClient, self.kube), self.cache, self._settings, self._now, self._metrics
        )
        self._reconciler = Reconciler(
            self.cache,
            self.executor,
            self._settings,
            clock=self._now,
            monotonic=self._monotonic,
            cpu_seconds=self._cpu_seconds,
            is_leader=lambda: self.is_leader,
            metrics=self._metrics,
        )
        self._work: Coroutine[Any, Any, float] | None = None
        self._seen = {plural: len(self.api.history[plural]) for plural in PLURALS}
        for plural in PLURALS:
            for document in self.api.all(plural):
                self._show(plural, "ADDED", document)

    def _now(self) -> datetime:
        return self.api.now

    def _monotonic(self) -> float:
        return self.api.now.timestamp()

    def _cpu_seconds(self) -> float:
        """Asked before and after a look."""
        self._cpu += self.look_cpu_seconds
        return self._cpu

    def liveness_error(self) -> str | None:
        return self._reconciler.liveness_error()

    def see(self, plural: str, events: int | None = None) -> None:
        """The watch brings the next events, or all."""
        history, begin = self.api.history[plural], self._seen[plural]
        end = len(history) if events is None else min(len(history), begin + events)
        for event in history[begin:end]:
            self._show(plural, event.kind, event.document)
        self._seen[plural] = end

    def list_anew(self, plural: str) -> None:
        """The watch broke, what it would have shown is lost, and everything is listed, as resync.py does."""
        self._seen[plural] = len(self.api.history[plural])
        documents, version = self.api.all(plural), self.api.revision
        for document in documents:
            self._show(plural, "ADDED", document)
        uids = {document["metadata"]["uid"] for document in documents}
        if plural == PODS:
            self.cache.pods.forget_others(uids, version)
        elif plural == LEASES:
            self.cache.leases.forget_others(uids, version)
        else:
            self.cache.keep_only_jobs(KINDS[plural], uids, version)
        self._reconciler.wake()

    def see_all(self) -> None:
        for plural in PLURALS:
            self.see(plural)

    def _show(self, plural: str, event: str, document: Json) -> None:
        """As handlers.py does."""
        if event == "DELETED":
            self.cache.delete(plural, document)
        elif not self.cache.see(plural, document):
            return
        self._reconciler.wake()

    def step(self, pauses: int) -> None:
        """Continue or start a pass of the reconcile loop, for this number of pauses at requests."""
        for _ in range(pauses):
            self._work = self._work or self._reconciler.once()
            try:
                self._work.send(None)
            except (StopIteration, UnreachableError):
                self._work = None
                return

    def rest(self) -> None:
        """Pass after pass, with up-to-date watches, until one sends nothing."""
        for _ in range(200):
            self.see_all()
            sent, begun = self.kube.sent, self._work is None
            while self._work is not None or begun:
                begun = False
                self.step(1)
            if self.kube.sent == sent:
                return
        raise AssertionError("the operator does not come to rest")

    def seconds_until_the_next_look(self) -> float:
        """How long an operator at rest sleeps when nothing wakes it."""
        try:
            self._reconciler.once().send(None)
        except StopIteration as done:
            seconds: float = done.value
            return seconds
        raise AssertionError("the operator has something to send")


class SimulatedUser:
    """What people do to jobs."""

    def __init__(self, api: SimulatedApi) -> None:
        self.api = api

    def create(self, name: str, **spec: Any) -> None:
        document = {"metadata": {"name": name, "generation": 1}, "spec": {"prompt": "a red circle", **spec}}
        self.api.create(GENERATE, document)

    def train(self, name: str, model_id: str, **spec: Any) -> None:
        dataset = {"uri": "s3://darkroom/datasets/x/"}
        document = {"prompt": "a sks star", "modelId": model_id, "dataset": dataset, **spec}
        self.api.create(TRAIN, {"metadata": {"name": name, "generation": 1}, "spec": document})

    def keep_until_its_files_are_gone(self, plural: str, name: str) -> None:
        if "deletionTimestamp" not in self.api.get(plural, name)["metadata"]:
            self.api.patch(plural, name, {"metadata": {"finalizers": [names.FINALIZER_FILES]}})

    def suspend(self, plural: str, name: str, yes: bool) -> None:
        """The API server counts the generation up, whatever phase the job is in."""
        generation = self.api.get(plural, name)["metadata"]["generation"] + 1
        self.api.patch(plural, name, {"metadata": {"generation": generation}, "spec": {"suspend": yes}})

    def jobs(self) -> list[Json]:
        return [job for plural in JOBS for job in self.api.all(plural)]

    def phases(self) -> dict[str, str]:
        """By uid."""
        return {job["metadata"]["uid"]: job.get("status", {}).get("phase", "") for job in self.jobs()}


class SimulatedNode:
    """What kubelets, the scheduler and the garbage collector do to pods."""

    def __init__(self, api: SimulatedApi) -> None:
        self.api = api

    def live(self) -> list[str]:
        """Names of the pods that were let go and are not over."""
        return [pod["metadata"]["name"] for pod in self.api.all("pods") if _is_live(pod)]

    def start(self, name: str) -> None:
        """The gates that others have added are removed first."""
        for gate in self.api.get("pods", name)["spec"].get("schedulingGates", []):
            self.api.remove_gate(name, gate["name"])
        state = {"running": {"startedAt": self.api.now.isoformat()}}
        self._report(name, "Running", state)
        self.api.patch("pods", name, {"spec": {"nodeName": "here"}})

    def end(self, name: str, outcome: Outcome | None, exit_code: int = 0) -> None:
        self._report(name, "Failed" if exit_code else "Succeeded", self._ended(outcome, exit_code))

    def end_beside_a_sidecar(self, name: str, outcome: Outcome, exit_code: int = 0) -> None:
        """The run ends; a container that somebody injected lives on, and so does the pod. No phase in between says that
        it is over: a kubelet computes it from all containers."""
        sidecar = {"name": "istio-proxy", "state": {"running": {"startedAt": self.api.now.isoformat()}}}
        self._report(name, "Running", self._ended(outcome, exit_code), sidecar)

    def _ended(self, outcome: Outcome | None, exit_code: int) -> Json:
        message, now = "" if outcome is None else outcome.to_message(), self.api.now.isoformat()
        return {"terminated": {"exitCode": exit_code, "message": message, "startedAt": now, "finishedAt": now}}

    def has_ended(self, name: str) -> bool:
        """Whether the run itself has ended, whatever else of its pod lives on."""
        statuses = self.api.get("pods", name).get("status", {}).get("containerStatuses") or [{}]
        return "terminated" in statuses[0].get("state", {})

    def end_sidecar(self, name: str) -> None:
        [runner, *_] = self.api.get("pods", name)["status"]["containerStatuses"]
        phase = "Failed" if runner["state"]["terminated"]["exitCode"] else "Succeeded"
        self.api.patch("pods", name, {"status": {"phase": phase, "containerStatuses": [runner]}})

    def evict(self, name: str) -> None:
        """As a drain does: the pod is marked and deleted; its node ends it when it gets to it."""
        target = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
            "message": "evicting",
        }
        self.api.patch("pods", name, {"status": {"conditions": [target]}})
        self.api.delete("pods", name)

    def finish(self, name: str) -> None:
        """The run does its work; a generation whose model nobody has trained yet fails."""
        if self.has_ended(name):
            self.end_sidecar(name)
        elif self._lacks_its_model(name):
            self.end(name, failure(Reason.MODEL_NOT_FOUND), 1)
        else:
            self.succeed(name)

    def _lacks_its_model(self, name: str) -> bool:
        labels = self.api.get("pods", name)["metadata"]["labels"]
        job = self.api.objects[GENERATE].get(labels[names.LABEL_JOB_NAME])
        model_id = None if job is None else job["spec"].get("modelId")
        trained = [each["spec"]["modelId"] for each in self.api.all(TRAIN) if phase_of(each) == "Succeeded"]
        return model_id is not None and model_id not in trained

    def succeed(self, name: str) -> None:
        pod = self.api.get("pods", name)
        kind = Kind(pod["metadata"]["labels"][names.LABEL_JOB_KIND])
        spec = {"prompt": "x", "modelId": "m", "dataset": {"uri": "s3://darkroom/datasets/x/"}}
        self.end(name, success(read_job({"metadata": pod["metadata"], "kind": kind.value, "spec": spec})))

    def lose(self, name: str) -> None:
        """As the node lifecycle controller does: no reason is given."""
        self.api.patch("pods", name, {"status": {"conditions": [{"type": "Ready", "status": "False"}]}})

    def _report(self, name: str, phase: str, state: Json, *others: Json) -> None:
        containers = [{"name": names.RUNNER_CONTAINER, "state": state}, *others]
        kept = [each for each in self._conditions(name) if each["type"] != "Ready"]
        status = {"phase": phase, "containerStatuses": containers, "conditions": kept or None}
        self.api.patch("pods", name, {"status": status})

    def _conditions(self, name: str) -> list[Json]:
        found: list[Json] = self.api.get("pods", name).get("status", {}).get("conditions") or []
        return found

    def is_evicted(self, name: str) -> bool:
        return any(each["type"] == "DisruptionTarget" for each in self._conditions(name))

    def interrupt(self, name: str) -> None:
        self.end(name, failure(Reason.INTERRUPTED), 143)

    def remove_deleted(self) -> None:
        """Ends what was to be deleted. A run that was evicted says how it ended, in the same moment or not at all."""
        for pod in self.api.all("pods"):
            name = pod["metadata"]["name"]
            if "deletionTimestamp" not in pod["metadata"]:
                continue
            if self.is_evicted(name) and not is_over(pod):
                self.interrupt(name)
            self.api.remove("pods", name)

    def collect_garbage(self) -> None:
        jobs = self.phases()
        for pod in self.api.all("pods"):
            if pod["metadata"]["ownerReferences"][0]["uid"] not in jobs and "deletionTimestamp" not in pod["metadata"]:
                self.api.delete("pods", pod["metadata"]["name"])

    def phases(self) -> set[str]:
        return {job["metadata"]["uid"] for plural in KINDS for job in self.api.all(plural)}


def phase_of(job: Json) -> str:
    phase: str = job.get("status", {}).get("phase", "")
    return phase


def _is_live(pod: Json) -> bool:
    """Whatever gates others have added: they may remove them at any moment."""
    return {"name": GATE} not in pod["spec"].get("schedulingGates", []) and not is_over(pod)
