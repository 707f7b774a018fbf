"""Builds the status of a pod, as a kubelet reports it. Pure; sent by `status_writer.py`.

The conditions follow pkg/kubelet/status/generate.go of Kubernetes 1.36. A status is a strategic merge patch, like a
kubelet's, which keeps conditions of other writers (DisruptionTarget).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from darkroom_local.kube.client import Json
from darkroom_local.node.journal import LOST, SHUT_DOWN, ContainerEnd, RunRecord
from darkroom_local.node.pod_fields import HOST_IP

TERMINAL_PHASES = ("Succeeded", "Failed")
SHUTDOWN_MESSAGE = "Pod was terminated in response to imminent node shutdown."
NODE_REASONS = {
    LOST: ("NodeRestarted", "The node was restarted, which ended the run."),
    SHUT_DOWN: ("Terminated", SHUTDOWN_MESSAGE),
}
"""Reason and message of a pod that ended because of its node, by the note in the journal."""

States = Mapping[str, Json]
"""Each container's state (`waiting`, `running` or `terminated`), by container name."""


@dataclass(frozen=True)
class Observation:
    """The containers of a pod as the node sees them now."""

    states: States
    start_ns: int | None = None
    """When the first container started."""
    restarts: Mapping[str, int] = field(default_factory=dict)
    over: bool = False
    """No container runs, and none will."""
    note: str = ""
    """Of its end in the journal."""


def waiting_state(reason: str, message: str = "") -> Json:
    return {"waiting": {"reason": reason} | ({"message": message} if message else {})}


def running_state(start_ns: int) -> Json:
    return {"running": {"startedAt": _time(start_ns)}}


def terminated_state(end: ContainerEnd, message: str, reason: str = "") -> Json:
    ended = {"exitCode": end.exit_code, "reason": reason or end.reason}
    times = {"startedAt": _time(end.start_ns), "finishedAt": _time(end.end_ns)}
    return {"terminated": ended | ({"message": message} if message else {}) | times}


def waiting_status(pod: Json, reason: str, message: str = "", container: str = "") -> Json:
    """The status before any start: one container, or all, wait for this reason."""
    others = "PodInitializing" if pod["spec"].get("initContainers") else "ContainerCreating"
    states = {name: waiting_state(others) for name in _names(pod)}
    affected = [container] if container else list(states)
    return current_status(pod, Observation(states | {name: waiting_state(reason, message) for name in affected}))


def final_status(pod: Json, run: RunRecord, messages: Mapping[str, str]) -> Json:
    """The final status of an ended run; `messages` are its containers' termination messages."""
    assert run.end_ns is not None
    ends = dict(run.containers)
    if not ends:
        only = [each["name"] for each in pod["spec"].get("containers") or []][:1]
        own = ContainerEnd(run.exit_code or 0, run.reason, run.start_ns, run.end_ns)
        ends = dict.fromkeys(only, own)
    states = {name: _end_state(name, ends, run, messages) for name in _names(pod)}
    return current_status(pod, Observation(states, run.start_ns, over=True, note=run.note))


def _end_state(name: str, ends: Mapping[str, ContainerEnd], run: RunRecord, messages: Mapping[str, str]) -> Json:
    """A container without an end in the journal never started, or was killed with the node."""
    lost = run.note == LOST
    if name in ends:
        only = lost and not run.containers
        return terminated_state(ends[name], messages.get(name, ""), NODE_REASONS[LOST][0] if only else "")
    if not lost:
        return waiting_state("PodInitializing")
    assert run.end_ns is not None
    killed = ContainerEnd(run.exit_code or 0, run.reason, run.start_ns, run.end_ns)
    return terminated_state(killed, messages.get(name, ""), NODE_REASONS[LOST][0])


def current_status(pod: Json, observation: Observation) -> Json:
    """The status of a pod: a strategic merge patch, which clears fields of earlier phases."""
    phase = _phase(pod, observation)
    reason, message = NODE_REASONS.get(observation.note, (None, None)) if phase == "Failed" else (None, None)
    started = _time(observation.start_ns) if observation.start_ns is not None else now()
    status = {
        "phase": phase,
        "reason": reason,
        "message": message,
        "hostIP": HOST_IP,
        "startTime": (pod.get("status") or {}).get("startTime") or started,
        "conditions": _conditions(pod, phase, observation),
        "containerStatuses": [_container(each, observation) for each in pod["spec"]["containers"]],
    }
    if init := pod["spec"].get("initContainers"):
        status["initContainerStatuses"] = [_container(each, observation, init=True) for each in init]
    return status


def _phase(pod: Json, observation: Observation) -> str:
    main = [observation.states[each["name"]] for each in pod["spec"]["containers"]]
    if not observation.over:
        return "Pending" if all("waiting" in state for state in main) else "Running"
    # A pod that a node shutdown stopped counts as failed, however its containers ended (nodeshutdown_manager.go).
    succeeded = (
        all(state.get("terminated", {}).get("exitCode") == 0 for state in main) and observation.note != SHUT_DOWN
    )
    return "Succeeded" if succeeded else "Failed"


def is_reported(pod: Json) -> bool:
    """Whether the pod's status shows that its containers ended. The phase alone may come from the control plane."""
    status = pod.get("status") or {}
    shown = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    runs = any("running" in (each.get("state") or {}) for each in shown)
    return status.get("phase") in TERMINAL_PHASES and bool(shown) and not runs


def is_ready(status: Json) -> bool:
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in status.get("conditions") or [])


def unschedulable(message: str) -> Json:
    """A scheduler's status of a pod that fits no node."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"conditions": [condition | {"lastTransitionTime": now()}]}


def _names(pod: Json) -> list[str]:
    spec = pod["spec"]
    return [each["name"] for each in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]]


def _container(container: Json, observation: Observation, init: bool = False) -> Json:
    state = observation.states[container["name"]]
    ready = _is_complete(container, state) if init else "running" in state
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": ready,
        "started": "running" in state,
        "restartCount": observation.restarts.get(container["name"], 0),
        "state": state,
    }


def _conditions(pod: Json, phase: str, observation: Observation) -> list[Json]:
    ready = _readiness(pod, phase, observation)
    found = [
        _condition(pod, "PodScheduled", {"status": "True"}),
        _condition(pod, "Initialized", _initialization(pod, phase, observation)),
        _condition(pod, "ContainersReady", ready),
        _condition(pod, "Ready", ready),
    ]
    if phase == "Failed" and observation.note == SHUT_DOWN:
        why = {"status": "True", "reason": "TerminationByKubelet", "message": SHUTDOWN_MESSAGE}
        found.append(_condition(pod, "DisruptionTarget", why))
    return found


def _readiness(pod: Json, phase: str, observation: Observation) -> Json:
    if phase in TERMINAL_PHASES:
        return {"status": "False", "reason": "PodCompleted" if phase == "Succeeded" else "PodFailed"}
    sidecars = [each for each in pod["spec"].get("initContainers") or [] if each.get("restartPolicy") == "Always"]
    needed = [each["name"] for each in [*sidecars, *pod["spec"]["containers"]]]
    unready = [name for name in needed if "running" not in observation.states[name]]
    if not unready:
        return {"status": "True"}
    message = f"containers with unready status: [{' '.join(unready)}]"
    return {"status": "False", "reason": "ContainersNotReady", "message": message}


def _initialization(pod: Json, phase: str, observation: Observation) -> Json:
    if phase == "Succeeded":
        return {"status": "True", "reason": "PodCompleted"}
    main = [observation.states[each["name"]] for each in pod["spec"]["containers"]]
    init = pod["spec"].get("initContainers") or []
    incomplete = [each["name"] for each in init if not _is_complete(each, observation.states[each["name"]])]
    if not incomplete or any("waiting" not in state for state in main):
        return {"status": "True"}
    message = f"containers with incomplete status: [{' '.join(incomplete)}]"
    return {"status": "False", "reason": "ContainersNotInitialized", "message": message}


def _is_complete(container: Json, state: Json) -> bool:
    if container.get("restartPolicy") == "Always":
        return "running" in state
    return bool(state.get("terminated", {}).get("exitCode") == 0)


def _condition(pod: Json, kind: str, content: Json) -> Json:
    """Cleared fields are null; lastTransitionTime changes only with the status."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    known: Json = next((each for each in conditions if each.get("type") == kind), {})
    same = known.get("status") == content["status"] and known.get("lastTransitionTime")
    nothing = {"reason": None, "message": None}
    return {"type": kind, **nothing, **content, "lastTransitionTime": same or now()}


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
