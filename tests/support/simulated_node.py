"""The nodes and the garbage collector of a simulated API."""

from typing import Any

from darkroom_contract import names
from darkroom_contract.jobs import read_job
from darkroom_contract.names import Kind
from darkroom_contract.outcome import Outcome, Reason
from darkroom_operator.pods.runner_pod import GATE
from support.operator_snapshots import failure, success
from support.simulated_api import SimulatedApi, is_over
from support.simulated_user import GENERATE, KINDS, TRAIN, phase_of

Json = dict[str, Any]


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


def _is_live(pod: Json) -> bool:
    """Whatever gates others have added: they may remove them at any moment."""
    return {"name": GATE} not in pod["spec"].get("schedulingGates", []) and not is_over(pod)
