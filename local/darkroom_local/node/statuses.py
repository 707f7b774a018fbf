"""What a pod's status says at each moment of its life, as a kubelet writes it. Pure; sent by `reports.py`."""

from dataclasses import dataclass
from datetime import UTC, datetime

from darkroom_local.kube import Json
from darkroom_local.node.record import LOST, SHUT_DOWN, Interval

NODE_REASONS = {
    LOST: ("NodeRestarted", "The node was restarted, and the run was lost with it."),
    SHUT_DOWN: ("NodeShutdown", "The run was stopped because the node was told to stop."),
}
"""Reason and message of a pod that ended because of its node, by the note of its record."""


def waiting(pod: Json, reason: str, message: str = "") -> Json:
    state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}
    return _status(pod, "Pending", _Readiness(ready=False), state)


def running(pod: Json, run: Interval) -> Json:
    since = _time(run.start_ns)
    return _status(pod, "Running", _Readiness(ready=True, since=since), {"running": {"startedAt": since}}, since)


def terminated(pod: Json, run: Interval, message: str) -> Json:
    """The end of a run whose record is complete."""
    assert run.end_ns is not None
    succeeded = run.exit_code == 0
    reason, explanation = NODE_REASONS.get(run.note, ("", ""))
    ended = {
        "exitCode": run.exit_code,
        "reason": reason if run.note == LOST else run.reason,
        "message": message or None,
        "startedAt": _time(run.start_ns),
        "finishedAt": _time(run.end_ns),
    }
    readiness = _Readiness(ready=False, since=_time(run.end_ns), why="PodCompleted" if succeeded else "PodFailed")
    phase = "Succeeded" if succeeded else "Failed"
    status = _status(pod, phase, readiness, {"terminated": ended}, _time(run.start_ns))
    if not succeeded and reason:
        status |= {"reason": reason, "message": explanation}
    return status


def is_terminated(pod: Json) -> bool:
    """Whether the pod's status tells that its container has ended. The phase alone may be set from afar."""
    return any("terminated" in (each.get("state") or {}) for each in pod["status"].get("containerStatuses") or [])


def unschedulable(pod: Json, message: str) -> Json:
    """What a scheduler says of a pod that fits no node."""
    others = [each for each in pod["status"].get("conditions") or [] if each["type"] != "PodScheduled"]
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"conditions": [*others, condition | {"lastTransitionTime": now()}]}


@dataclass(frozen=True)
class _Readiness:
    ready: bool
    since: str = ""
    why: str = "ContainersNotReady"


def _status(pod: Json, phase: str, readiness: _Readiness, state: Json, start_time: str | None = None) -> Json:
    """A merge patch's status: what another phase has said is taken back."""
    container = pod["spec"]["containers"][0]
    return {
        "phase": phase,
        "reason": None,
        "message": None,
        "hostIP": "127.0.0.1",
        "startTime": (pod.get("status") or {}).get("startTime") or start_time or now(),
        "conditions": _conditions(pod, readiness),
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": readiness.ready,
                "started": readiness.ready,
                "restartCount": 0,
                "state": state,
            }
        ],
    }


def _conditions(pod: Json, readiness: _Readiness) -> list[Json]:
    known = {each["type"]: each for each in (pod.get("status") or {}).get("conditions") or []}
    scheduled = known.get("PodScheduled", {}).get("lastTransitionTime") or now()
    since = readiness.since or now()
    own: Json = {"status": "True"} if readiness.ready else {"status": "False", "reason": readiness.why}
    return [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": scheduled},
        {"type": "Initialized", "status": "True", "lastTransitionTime": scheduled},
        {"type": "ContainersReady", **own, "lastTransitionTime": since},
        {"type": "Ready", **own, "lastTransitionTime": since},
    ]


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
