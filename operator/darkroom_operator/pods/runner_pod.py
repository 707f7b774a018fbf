"""A runner's pod as the API server shows it, reduced to what decisions need. Pure; the other way round is `pods.py`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from darkroom_contract import names
from darkroom_contract.names import Kind
from darkroom_operator.kube.objects import Json, instant

LABEL_SLOT = f"{names.GROUP}/slot"
GATE = f"{names.GROUP}/slot"
"""The scheduling gate that a pod is made with. It is removed when the slot is known to be the job's own."""

TERMINAL_PHASES = frozenset({"Succeeded", "Failed"})

INTERRUPTION_REASONS = frozenset({"Terminated", "NodeShutdown", "Shutdown", "Preempting", "NodeLost", "NodeRestarted"})
"""Reasons of a pod's status, in the kubelet's and the control plane's words, that are no fault of the run. The last is
that of `darkroom up`'s own node."""
STATUS_UNKNOWN = "ContainerStatusUnknown"
"""The kubelet's word for a container that it can't find any more, as after its machine was restarted."""
EVICTED = "Evicted"


@dataclass(frozen=True, slots=True)
class RunnerPod:
    """One run's pod."""

    name: str
    uid: str
    version: str
    job_uid: str
    job_kind: Kind
    job_name: str
    slot: int
    attempt: int
    created: datetime
    gated: bool
    """Made, but not let go: our own scheduling gate keeps it from running."""
    foreign_gates: tuple[str, ...]
    """Scheduling gates of others, such as Kueue's, who remove them when they like: with such a one alone it may run at
    any moment."""
    deleting: bool
    deletion_deadline: datetime | None
    """When its grace period ends, once it was deleted: its node should have ended it by then."""
    terminated: bool
    """Nothing of it can still be running."""
    run_ended: bool
    """The runner's container has ended. Another container of the pod may live on."""
    sidecar_running: bool
    """A container that is not the runner's runs: a sidecar that somebody injected."""
    lost: bool
    """Its node does not answer: it may be running or not."""
    disruption: str
    """Why something outside ended it, as the condition DisruptionTarget or the pod's status has it; empty otherwise."""
    node: str
    """The name of its node; empty before it has one."""
    started: datetime | None
    """When its container began to run."""
    finished: datetime | None
    """When its container ended."""
    ready: bool
    exit_code: int | None
    exit_reason: str
    termination_message: str
    waiting_reason: str
    """Why it has not started, or why it failed as a whole: a word for programs."""
    waiting_message: str
    """The same in the scheduler's or kubelet's own words."""

    @property
    def active(self) -> bool:
        """It was let go, and something of it may be running."""
        return not self.gated and not self.terminated

    @property
    def pending_reason(self) -> str:
        """Why it has not started, as far as anybody says; empty when nobody does."""
        if self.foreign_gates:
            gates = ", ".join(self.foreign_gates)
            return f"SchedulingGated: It waits for the scheduling gate {gates}, which is not Darkroom's to remove."
        return ": ".join(each for each in (self.waiting_reason, self.waiting_message) if each)


def read_pod(document: Json) -> RunnerPod:
    """Raises `KeyError` or `ValueError` when the labels are not those of a runner's pod."""
    metadata, status = document["metadata"], document.get("status") or {}
    labels = metadata.get("labels") or {}
    state = _runner_state(status)
    ended = state.get("terminated") or {}
    reason, message = _waiting_words(status, state)
    gates = [each["name"] for each in (document.get("spec") or {}).get("schedulingGates") or []]
    return RunnerPod(
        name=metadata["name"],
        uid=metadata["uid"],
        version=metadata["resourceVersion"],
        job_uid=labels[names.LABEL_JOB_UID],
        job_kind=Kind(labels[names.LABEL_JOB_KIND]),
        job_name=labels[names.LABEL_JOB_NAME],
        slot=int(labels[LABEL_SLOT]),
        attempt=int(labels[names.LABEL_ATTEMPT]),
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        gated=GATE in gates,
        foreign_gates=tuple(each for each in gates if each != GATE),
        deleting="deletionTimestamp" in metadata,
        deletion_deadline=instant(metadata.get("deletionTimestamp")),
        # A phase may be set from afar (pod garbage collection) while a kubelet still reports a running container.
        terminated=status.get("phase") in TERMINAL_PHASES and not state.get("running"),
        run_ended=bool(ended),
        sidecar_running=_others_are_alive(status),
        lost=_is_lost(status, state),
        disruption=_disruption(status, ended),
        node=(document.get("spec") or {}).get("nodeName") or "",
        started=instant((state.get("running") or ended).get("startedAt")),
        finished=instant(ended.get("finishedAt")),
        ready=_condition(status, "Ready").get("status") == "True",
        exit_code=ended.get("exitCode"),
        exit_reason=ended.get("reason") or "",
        termination_message=ended.get("message") or "",
        waiting_reason=reason,
        waiting_message=message,
    )


def _runner_state(status: Json) -> Mapping[str, Any]:
    for each in status.get("containerStatuses") or []:
        if each.get("name") == names.RUNNER_CONTAINER:
            return each.get("state") or {}
    return {}


def _others_are_alive(status: Json) -> bool:
    """Native sidecars are init containers, and live on as well."""
    every = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    return any(each.get("name") != names.RUNNER_CONTAINER and "running" in (each.get("state") or {}) for each in every)


def _condition(status: Json, kind: str) -> Mapping[str, Any]:
    found = (each for each in status.get("conditions") or [] if each.get("type") == kind)
    return next(found, {})


def _is_lost(status: Json, state: Mapping[str, Any]) -> bool:
    """The node lifecycle controller sets Ready to False and gives no reason (measured on Kubernetes 1.36.2; the reason
    NodeStatusUnknown is the Node's). A kubelet always gives one: ContainersNotReady or PodCompleted."""
    ready = _condition(status, "Ready")
    if status.get("phase") == "Unknown" or ready.get("reason") == "NodeStatusUnknown":
        return True
    return "running" in state and ready.get("status") == "False" and not ready.get("reason")


def _disruption(status: Json, ended: Mapping[str, Any]) -> str:
    """The words of the condition DisruptionTarget, else those of a reason that is no fault of the run.

    Source: https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
    """
    target = _condition(status, "DisruptionTarget")
    if target.get("status") == "True":
        return _words(target)
    if status.get("reason") in INTERRUPTION_REASONS:
        return _words(status)
    return STATUS_UNKNOWN if ended.get("reason") == STATUS_UNKNOWN else ""


def _words(source: Mapping[str, Any]) -> str:
    return ": ".join(each for each in (source.get("reason"), source.get("message")) if each)


def _waiting_words(status: Json, state: Mapping[str, Any]) -> tuple[str, str]:
    """The most telling of: what the pod says of itself, what the kubelet waits for, what the scheduler said."""
    if status.get("reason"):
        return status["reason"], status.get("message") or ""
    waiting = state.get("waiting") or {}
    if waiting.get("reason"):
        return waiting["reason"], waiting.get("message") or ""
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        return scheduled.get("reason") or "", scheduled.get("message") or ""
    return "", ""
