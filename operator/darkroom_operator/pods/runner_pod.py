"""A runner's pod as read from the API server, reduced to what decisions need. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from darkroom_contract import environment, names
from darkroom_contract.handover import ANNOTATION_ACKNOWLEDGED, ANNOTATION_RUN, ANNOTATION_TEMPLATE, run_key
from darkroom_contract.names import Kind
from darkroom_operator.kube.objects import Json, instant

LABEL_SLOT = f"{names.GROUP}/slot"
GATE = f"{names.GROUP}/slot"
"""The scheduling gate of a new pod. It is removed once the job is known to hold the slot."""

ANNOTATION_FOREIGN_GATES = f"{names.GROUP}/foreign-gates"
"""On a pod that other controllers have gated: their gates. They account for it as one run of one job."""

TERMINAL_PHASES = frozenset({"Succeeded", "Failed"})

INTERRUPTION_REASONS = frozenset({"Terminated", "NodeShutdown", "Shutdown", "Preempting", "NodeLost", "NodeRestarted"})
"""Reasons in a pod's status, by the kubelet and the control plane, that are not the fault of the run. The last one is
set by the node of `darkroom up`."""
STATUS_UNKNOWN = "ContainerStatusUnknown"
"""The kubelet's reason for a container that it can't find, for example after a reboot."""
EVICTED = "Evicted"


@dataclass(frozen=True, slots=True)
class RunnerPod:
    """The pod of one run."""

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
    """Our own scheduling gate keeps it from running."""
    foreign_gates: tuple[str, ...]
    """Scheduling gates of other controllers, such as Kueue, which may remove them at any moment."""
    deleting: bool
    deletion_deadline: datetime | None
    """When the grace period of its deletion ends: by then its node should have stopped it."""
    terminated: bool
    """No container of it can be running."""
    run_ended: bool
    """The runner's container has ended. A sidecar may still run."""
    sidecar_running: bool
    """An injected container is running."""
    node_lost: bool
    """Its node does not answer: it may still be running."""
    disruption: str
    """Why it was ended from outside, from the condition DisruptionTarget or the pod's status; empty otherwise."""
    node: str
    """The name of its node; empty before it is scheduled."""
    started: datetime | None
    """When its container started."""
    finished: datetime | None
    """When its container ended."""
    ready: bool
    exit_code: int | None
    exit_reason: str
    termination_message: str
    waiting_reason: str
    """Why it has not started, or why the whole pod failed: a CamelCase reason."""
    waiting_message: str
    """The message of the scheduler or kubelet for that reason."""
    template: str = ""
    """Hash of the manifest without its job (`builder.template_hash`). Empty for a pod that takes no further runs."""
    outcome_key: str = field(default="", repr=False)
    """Key of the signatures of its outcomes."""
    acknowledged: str = ""
    """`run_key` of its last run whose outcome is in the job's status. Empty before the first one."""
    given_run: str = ""
    """`run_key` of the run document in its annotation."""
    foreign: bool = False
    """Another controller has gated it, or keeps it by a finalizer."""

    @property
    def run_key(self) -> str:
        """The run in its labels."""
        return run_key(self.job_uid, self.attempt)

    @property
    def is_idle(self) -> bool:
        """The run in its labels has ended and its process waits for the next one."""
        return self.acknowledged == self.run_key

    @property
    def is_warm(self) -> bool:
        """The run in its labels is not its first."""
        return bool(self.acknowledged) and not self.is_idle

    @property
    def has_run(self) -> bool:
        """Its process has the document of the run in its labels. Otherwise it was relabelled for a run that it does not
        have yet."""
        return not self.is_warm or self.given_run == self.run_key

    @property
    def active(self) -> bool:
        """Ungated and not terminated: a container of it may be running."""
        return not self.gated and not self.terminated

    @property
    def pending_reason(self) -> str:
        """Why it has not started; empty if no reason is given."""
        if self.foreign_gates:
            gates = ", ".join(self.foreign_gates)
            return f"SchedulingGated: Waiting for another controller to remove the scheduling gate {gates}."
        return ": ".join(each for each in (self.waiting_reason, self.waiting_message) if each)


def read_pod(document: Json) -> RunnerPod:
    """Raises `KeyError` or `ValueError` if the labels are not those of a runner's pod."""
    metadata, status = document["metadata"], document.get("status") or {}
    labels = metadata.get("labels") or {}
    state = _runner_state(status)
    ended = state.get("terminated") or {}
    reason, message = _waiting_reason(status, state)
    gates = [each["name"] for each in (document.get("spec") or {}).get("schedulingGates") or []]
    foreign_gates = tuple(each for each in gates if each != GATE)
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
        foreign_gates=foreign_gates,
        deleting="deletionTimestamp" in metadata,
        deletion_deadline=instant(metadata.get("deletionTimestamp")),
        # Pod garbage collection may set the phase while a kubelet still reports a running container.
        terminated=status.get("phase") in TERMINAL_PHASES and not state.get("running"),
        run_ended=bool(ended),
        sidecar_running=_has_running_sidecar(status),
        node_lost=_is_node_lost(status, state),
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
        **_handover_fields(metadata, document.get("spec") or {}, foreign_gates),
    )


def _handover_fields(metadata: Json, spec: Json, foreign_gates: tuple[str, ...]) -> Json:
    annotations = metadata.get("annotations") or {}
    is_foreign = foreign_gates or ANNOTATION_FOREIGN_GATES in annotations or metadata.get("finalizers")
    return {
        "template": annotations.get(ANNOTATION_TEMPLATE, ""),
        "outcome_key": _outcome_key(spec) if ANNOTATION_TEMPLATE in annotations else "",
        "acknowledged": annotations.get(ANNOTATION_ACKNOWLEDGED, ""),
        "given_run": _run_key_of(annotations.get(ANNOTATION_RUN, "")),
        "foreign": bool(is_foreign),
    }


def _outcome_key(spec: Json) -> str:
    for container in spec.get("containers") or []:
        for variable in container.get("env") or []:
            if variable["name"] == environment.OUTCOME_KEY:
                return variable.get("value") or ""
    return ""


def _run_key_of(run_document: str) -> str:
    """The run of a document in an annotation; empty if it can't be read."""
    try:
        document = json.loads(run_document) if run_document else {}
        return run_key(document["uid"], document["attempt"]) if document else ""
    except (ValueError, TypeError, KeyError):
        return ""


def _runner_state(status: Json) -> Mapping[str, Any]:
    for each in status.get("containerStatuses") or []:
        if each.get("name") == names.RUNNER_CONTAINER:
            return each.get("state") or {}
    return {}


def _has_running_sidecar(status: Json) -> bool:
    """Native sidecars are init containers."""
    every = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    return any(each.get("name") != names.RUNNER_CONTAINER and "running" in (each.get("state") or {}) for each in every)


def _condition(status: Json, kind: str) -> Mapping[str, Any]:
    found = (each for each in status.get("conditions") or [] if each.get("type") == kind)
    return next(found, {})


def _is_node_lost(status: Json, state: Mapping[str, Any]) -> bool:
    """The node lifecycle controller sets Ready to False without a reason (measured on Kubernetes 1.36.2; the reason
    NodeStatusUnknown is on the Node). A kubelet always gives one: ContainersNotReady or PodCompleted."""
    ready = _condition(status, "Ready")
    if status.get("phase") == "Unknown" or ready.get("reason") == "NodeStatusUnknown":
        return True
    return "running" in state and ready.get("status") == "False" and not ready.get("reason")


def _disruption(status: Json, ended: Mapping[str, Any]) -> str:
    """Reason and message of the condition DisruptionTarget, else of a pod status that is not the fault of the run.

    Source: https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
    """
    target = _condition(status, "DisruptionTarget")
    if target.get("status") == "True":
        return _reason_and_message(target)
    if status.get("reason") in INTERRUPTION_REASONS:
        return _reason_and_message(status)
    return STATUS_UNKNOWN if ended.get("reason") == STATUS_UNKNOWN else ""


def _reason_and_message(source: Mapping[str, Any]) -> str:
    return ": ".join(each for each in (source.get("reason"), source.get("message")) if each)


UNSCHEDULABLE = "Unschedulable"
"""The scheduler's reason while it finds no node."""


def _waiting_reason(status: Json, state: Mapping[str, Any]) -> tuple[str, str]:
    """Reason and message of the pod's status, else of the waiting container, else of the scheduler."""
    if status.get("reason"):
        return status["reason"], status.get("message") or ""
    waiting = state.get("waiting") or {}
    if waiting.get("reason"):
        return waiting["reason"], waiting.get("message") or ""
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        return scheduled.get("reason") or "", scheduled.get("message") or ""
    return "", ""
