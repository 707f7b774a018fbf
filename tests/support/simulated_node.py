"""The nodes and the garbage collector of a simulated API."""

from typing import Any

from darkroom_contract import names
from darkroom_contract.outcome import Outcome, OutcomeFile, Reason
from darkroom_operator.pods.runner_pod import GATE
from support.operator_snapshots import failure
from support.simulated_api import SimulatedApi, is_over
from support.simulated_runner import SimulatedRunner
from support.simulated_user import GENERATE, KINDS, TRAIN, phase_of

Json = dict[str, Any]


class SimulatedNode:
    """What kubelets, the scheduler and the garbage collector do to pods."""

    def __init__(self, api: SimulatedApi) -> None:
        self.api = api
        self.runners: dict[str, SimulatedRunner] = {}
        """By the pod's uid."""
        self.published: dict[str, list[str]] = {}
        """Signed outcomes by the job's uid: the streams in Redis."""

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
        self._started(name)

    def runner(self, name: str) -> SimulatedRunner | None:
        """The process of a pod whose container has started."""
        return self.runners.get(self.api.get("pods", name)["metadata"]["uid"])

    def _started(self, name: str) -> SimulatedRunner:
        """The process of a pod; it starts now unless it has started before."""
        pod = self.api.get("pods", name)
        uid = pod["metadata"]["uid"]
        if uid not in self.runners:
            self.runners[uid] = SimulatedRunner.start(pod)
        return self.runners[uid]

    def end(self, name: str, outcome: Outcome | None, exit_code: int = 0) -> None:
        """The present run of the pod ends, and its process with it."""
        self._report(name, "Failed" if exit_code else "Succeeded", self._ended(name, outcome, exit_code))

    def end_beside_a_sidecar(self, name: str, outcome: Outcome, exit_code: int = 0) -> None:
        """The run ends; a container that somebody injected lives on, and so does the pod. No phase in between says that
        it is over: a kubelet computes it from all containers."""
        sidecar = {"name": "istio-proxy", "state": {"running": {"startedAt": self.api.now.isoformat()}}}
        self._report(name, "Running", self._ended(name, outcome, exit_code), sidecar)

    def _ended(self, name: str, outcome: Outcome | None, exit_code: int) -> Json:
        runner, now = self._started(name), self.api.now.isoformat()
        message = "" if outcome is None else runner.outcome(outcome).to_message()
        runner.is_running = runner.is_idle = False
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
        runner = self.runner(name)
        if runner is not None and not self.has_ended(name):
            runner.poll(self.api.get("pods", name))
        if self.has_ended(name):
            self.end_sidecar(name)
        elif runner is not None and not runner.is_running:
            self.leave(name)
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
        self.end(name, self._success(name))

    def _success(self, name: str) -> Outcome:
        """Its files are named after the run that the process carries out."""
        uid, _ = self._started(name).run
        file = OutcomeFile(name="image-1.png", content_type="image/png", bytes=3, sha256="0" * 64)
        return Outcome(succeeded=True, prefix=f"runs/{uid}/", files=(file,), metrics={"seconds": 3.0})

    # Processes that take over further runs

    def warm(self) -> list[str]:
        """Names of the live pods whose processes can stay after their runs."""
        return [name for name in self.live() if (runner := self.runner(name)) is not None and runner.key is not None]

    def report(self, name: str) -> None:
        """The present run ends well, and its process waits for the next one."""
        runner = self._started(name)
        if runner.is_running and not self._lacks_its_model(name):
            self.published.setdefault(runner.run[0], []).append(runner.report(self._success(name)))

    def poll(self, name: str) -> None:
        self._started(name).poll(self.api.get("pods", name))

    def leave(self, name: str) -> None:
        """A process that waits ends, with its last outcome: nobody acknowledged it, or its idle time is over."""
        runner = self._started(name)
        if not runner.is_running:
            self.end(name, runner.last)

    def live_runs(self) -> set[str]:
        """Uids of the jobs whose runs are carried out, or may be."""
        return {uid for name in self.live() if (uid := self._run_in(name)) is not None}

    def _run_in(self, name: str) -> str | None:
        pod, runner = self.api.get("pods", name), self.runner(name)
        if runner is None:
            uid: str = pod["metadata"]["labels"][names.LABEL_JOB_UID]
            return uid
        run = runner.run if runner.is_running else runner.next_run(pod)
        return None if run is None else run[0]

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


def _is_live(pod: Json) -> bool:
    """Whatever gates others have added: they may remove them at any moment."""
    return {"name": GATE} not in pod["spec"].get("schedulingGates", []) and not is_over(pod)
