"""Operators as processes on a real API server, and what users and nodes do there over HTTP."""

import json
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx

from darkroom_contract import names
from darkroom_contract.names import GROUP, VERSION, Kind
from darkroom_contract.outcome import Outcome, OutcomeFile, Reason
from darkroom_contract.remarks import Remark
from darkroom_operator.leader_election import LEASE
from support.kube_api import ApiServer
from support.server_process import Process
from support.waiting import waiter

Json = dict[str, Any]
SECONDS = 60.0
"""Much longer than anything takes on a machine that has little else to do."""
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}

wait_until = waiter(SECONDS)


@dataclass(frozen=True)
class Namespace:
    """One namespace, as users and nodes see it."""

    server: ApiServer
    name: str

    @classmethod
    def create(cls, server: ApiServer, name: str) -> Self:
        document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        _checked(server.http.post("/api/v1/namespaces", json=document))
        return cls(server, name)

    def path(self, plural: str, name: str = "") -> str:
        core, ours = "/api/v1", f"/apis/{GROUP}/{VERSION}"
        known = {"pods": core, "resourcequotas": core, "leases": "/apis/coordination.k8s.io/v1"}
        group = known.get(plural, ours)
        return f"{group}/namespaces/{self.name}/{plural}" + (f"/{name}" if name else "")

    def create_object(self, plural: str, document: Json) -> None:
        _checked(self.server.http.post(self.path(plural), json=document))

    def create_job(self, name: str, kind: Kind = Kind.GENERATE, **spec: Any) -> Json:
        given = {"prompt": "a red circle", **spec}
        if kind is Kind.TRAIN:
            given |= {"modelId": "m", "dataset": {"uri": "s3://darkroom/datasets/x/"}}
        metadata = {"name": name, "namespace": self.name}
        document = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind.value, "metadata": metadata, "spec": given}
        return _checked(self.server.http.post(self.path(kind.plural), json=document))

    def job(self, name: str, kind: Kind = Kind.GENERATE) -> Json:
        return _checked(self.server.http.get(self.path(kind.plural, name)))

    def status(self, name: str, kind: Kind = Kind.GENERATE) -> Json:
        status: Json = self.job(name, kind).get("status") or {}
        return status

    def condition(self, name: str, kind: str) -> Json:
        found = (each for each in self.status(name).get("conditions", []) if each["type"] == kind)
        return next(found, {})

    def jobs(self) -> list[Json]:
        return [job for kind in Kind for job in _checked(self.server.http.get(self.path(kind.plural)))["items"]]

    def count(self, phase: str) -> int:
        return sum((job.get("status") or {}).get("phase") == phase for job in self.jobs())

    def all_succeeded(self) -> bool:
        return self.count("Succeeded") == len(self.jobs())

    def create_foreign_pod(self, name: str, labels: dict[str, str] | None = None) -> None:
        """A pod that was not created by our operator."""
        metadata = {"name": name, "namespace": self.name, "labels": labels or {}}
        spec = {"containers": [{"name": "x", "image": "x"}]}
        self.create_object("pods", {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    def create_lease(self, name: str) -> None:
        """One with a slot's labels."""
        labels = {names.LABEL_COMPONENT: "slot", names.LABEL_PART_OF: names.PART_OF}
        metadata = {"name": name, "namespace": self.name, "labels": labels}
        document = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": {}}
        _checked(self.server.http.post(self.path("leases"), json=document))

    def set_job_status(self, name: str, **status: Any) -> None:
        self.patch(Kind.GENERATE.plural, f"{name}/status", {"status": status})

    def patch(self, plural: str, name: str, patch: Json) -> Json:
        content = json.dumps(patch)
        return _checked(self.server.http.patch(self.path(plural, name), content=content, headers=MERGE_PATCH))

    def patch_job(self, name: str, **spec: Any) -> None:
        self.patch(Kind.GENERATE.plural, name, {"spec": spec})

    def delete(self, plural: str, name: str) -> None:
        _checked(self.server.http.delete(self.path(plural, name)))

    def exists(self, plural: str, name: str) -> bool:
        return self.server.http.get(self.path(plural, name)).status_code == 200

    def pods(self) -> list[Json]:
        found: list[Json] = _checked(self.server.http.get(self.path("pods")))["items"]
        return found

    def active_pods(self) -> list[Json]:
        """Pods of jobs that were admitted and have not ended."""
        return [
            pod for pod in self.pods() if names.LABEL_JOB_NAME in pod["metadata"].get("labels", {}) and is_live(pod)
        ]

    def wait_for_pod(self, job: str) -> Json:
        """Wait for a live pod of the job."""

        def found() -> Json | None:
            return next(
                (pod for pod in self.active_pods() if pod["metadata"]["labels"][names.LABEL_JOB_NAME] == job), None
            )

        pod: Json = wait_until(found, f"a pod of {job} is admitted")
        return pod

    def wait_for_phase(self, job: str, phase: str, kind: Kind = Kind.GENERATE) -> Json:
        def reached() -> Json | None:
            status = self.status(job, kind)
            return status if status.get("phase") == phase else None

        status: Json = wait_until(reached, f"{job} is {phase}")
        return status

    def lease(self) -> Json:
        return _checked(self.server.http.get(self.path("leases", names.slot_lease_name(0))))

    def leadership(self) -> Json:
        """The spec of the leader's Lease; empty before the first leader."""
        answer = self.server.http.get(self.path("leases", LEASE))
        return {} if answer.status_code == 404 else _checked(answer)["spec"]

    def leader(self) -> str | None:
        """The identity of the leading operator."""
        return self.leadership().get("holderIdentity")

    def slot_is_free(self) -> bool:
        return not self.lease()["spec"].get("holderIdentity")

    # Actions of a node.

    def bind(self, pod: Json) -> None:
        """A pod that is on a node does not vanish at once when it is deleted.

        The node exists: pods of a missing one are removed after 40 s, and their jobs run again.
        """
        node = self.server.http.post("/api/v1/nodes", json={"metadata": {"name": "here"}})
        assert node.status_code in (201, 409), node.text
        metadata = {"name": pod["metadata"]["name"], "namespace": self.name}
        target = {"apiVersion": "v1", "kind": "Node", "name": "here"}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target}
        _checked(self.server.http.post(self.path("pods", pod["metadata"]["name"]) + "/binding", json=binding))

    def set_pod_status(self, pod: Json, **status: Any) -> None:
        path = self.path("pods", pod["metadata"]["name"]) + "/status"
        content = json.dumps({"status": status})
        _checked(self.server.http.patch(path, content=content, headers=MERGE_PATCH))

    def run_pod(self, pod: Json) -> None:
        self.bind(pod)
        state = {"running": {"startedAt": now()}}
        ready = [{"type": "Ready", "status": "True"}]
        self.set_pod_status(pod, phase="Running", conditions=ready, containerStatuses=[container(state)])

    def end_pod(self, pod: Json, outcome: Outcome | None, exit_code: int = 0) -> None:
        ended = {"exitCode": exit_code, "startedAt": now(), "finishedAt": now()}
        ended["message"] = "" if outcome is None else outcome.to_message()
        phase = "Failed" if exit_code else "Succeeded"
        self.set_pod_status(pod, phase=phase, containerStatuses=[container({"terminated": ended})])

    def finish_pod(self, pod: Json, *remarks: Remark) -> None:
        self.end_pod(pod, success(*remarks))

    def remove_pod(self, pod: Json) -> None:
        """As a node removes a deleted pod once its containers have ended."""
        path = self.path("pods", pod["metadata"]["name"])
        self.server.http.request("DELETE", path, json={"gracePeriodSeconds": 0})


class Node:
    """Runs pods to success, and records how many were live at once."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self.started: list[str] = []
        self.most_at_once = 0

    def turn(self) -> None:
        live = self._namespace.active_pods()
        self.most_at_once = max(self.most_at_once, len(live))
        for pod in live:
            if pod["metadata"]["name"] not in self.started:
                self.started.append(pod["metadata"]["name"])
                self._namespace.run_pod(pod)
            else:
                self._namespace.finish_pod(pod)

    def run_until(self, condition: Callable[[], bool], what: str, seconds: float = 2 * SECONDS) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"{what}: not within {seconds} s"
            self.turn()
            time.sleep(0.02)


def is_live(pod: Json) -> bool:
    return not pod["spec"].get("schedulingGates") and pod["status"].get("phase") not in ("Succeeded", "Failed")


def container(state: Json) -> Json:
    return {
        "name": names.RUNNER_CONTAINER,
        "state": state,
        "image": "x",
        "imageID": "",
        "ready": True,
        "restartCount": 0,
    }


def success(*remarks: Remark) -> Outcome:
    file = OutcomeFile(name="image-1.png", content_type="image/png", bytes=3, sha256="0" * 64)
    return Outcome(succeeded=True, prefix="runs/x/", files=(file,), metrics={"seconds": 3.0}, remarks=remarks)


def failure(reason: Reason) -> Outcome:
    return Outcome(succeeded=False, reason=reason, message="it broke")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def operator_process(
    namespace: Namespace, folder: Path, python: str | Path = sys.executable, **settings: str
) -> Process:
    """Started again after a kill it leads at once, under its old name. `python` runs it."""
    identity = f"operator-{secrets.token_hex(4)}"
    environment = {
        "KUBECONFIG": str(namespace.server.kubeconfig),
        "DARKROOM_NAMESPACE": namespace.name,
        "DARKROOM_RUNNER_IMAGE": "darkroom/runner:test",
        "DARKROOM_GPU_COUNT": "0",
        "DARKROOM_RETRY_BASE_SECONDS": "0.5",
        "DARKROOM_OPERATOR_IDENTITY": identity,
        "HOME": str(folder),
        **settings,
    }
    return Process([python, "-m", "darkroom_operator.main"], folder / f"{identity}.log", environment)


def _checked(response: httpx.Response) -> Json:
    assert response.is_success, response.text
    document: Json = response.json()
    return document
