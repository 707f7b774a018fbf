"""A pod that leaves, or whose node is lost, between its takeover and its run document does not get that document."""

from dataclasses import replace
from typing import Any

import pytest
from support.operator_snapshots import NOW, a_slot, a_snapshot, ended, holding, in_phase, running
from support.planned_actions import JOB, OTHER, POD, step, written
from support.reconcile_stage import LEASE, WarmStage

from darkroom_contract.handover import ANNOTATION_RUN, run_key
from darkroom_contract.names import ANNOTATION_JOB
from darkroom_contract.status import ConditionType, Phase
from darkroom_operator.reconcile.actions import GiveRun
from darkroom_operator.scheduling.slot import ANNOTATION_POD_UID
from darkroom_operator.scheduling.snapshot import Snapshot
from darkroom_operator.status import transitions
from darkroom_operator.status.conditions import find

DONE = in_phase(JOB, Phase.SUCCEEDED)
TAKEN = replace(
    running(POD), template="t", node="here", acknowledged=run_key(JOB.uid, 1), job_uid=OTHER.uid, job_name=OTHER.name
)
HELD = holding(OTHER, TAKEN)
LEAVING: list[dict[str, Any]] = [
    {"deleting": True},
    {"node_lost": True},
    {"disruption": "EvictionByEvictionAPI: evicting"},
]


def confirmed(**change: Any) -> Snapshot:
    return a_snapshot(DONE, HELD, slot=a_slot(OTHER, TAKEN), pods=(replace(TAKEN, **change),), template="t")


@pytest.mark.parametrize(
    ("change", "reason"), list(zip(LEAVING, ("Terminating", "NodeLost", "Starting"), strict=True)), ids=str
)
def test_it_gets_no_run_document_and_its_job_says_why(change: dict[str, Any], reason: str) -> None:
    status = written(confirmed(**change))
    ready = find(status, ConditionType.POD_READY)
    assert ready is not None
    assert (status.phase, status.run_start_time, ready.reason) == (Phase.STARTING, None, reason)
    assert step(confirmed()) == GiveRun(TAKEN, HELD)


@pytest.mark.parametrize("change", LEAVING, ids=str)
def test_run_that_it_has_goes_on_in_the_status(change: dict[str, Any]) -> None:
    given = replace(TAKEN, given_run=TAKEN.run_key, **change)
    assert transitions.running(HELD, given, None, NOW).phase is Phase.RUNNING


def test_old_view_without_the_run_document_does_not_end_a_run() -> None:
    begun = replace(HELD, status=transitions.running(HELD, replace(TAKEN, given_run=TAKEN.run_key), None, NOW))
    seen = transitions.running(begun, replace(TAKEN, deleting=True), None, NOW)
    assert (seen.phase, seen.run_start_time) == (Phase.RUNNING, NOW)


def test_job_of_a_lost_idle_pod_is_repeated_at_once_when_the_pod_is_gone() -> None:
    """No run was begun: nothing is counted, and no wait follows."""
    end = ended(replace(TAKEN, node_lost=True), None, 137)
    status = written(a_snapshot(DONE, HELD, slot=a_slot(OTHER, TAKEN), pods=(end,)))
    assert (status.phase, status.next_attempt_time, status.interruptions) == (Phase.QUEUED, None, 0)


def test_node_that_returns_gets_the_run_document_then() -> None:
    warm = WarmStage()
    warm.user.create("a")
    pod = warm.run()
    warm.user.create("b")
    warm.report(pod)
    for _ in range(200):
        warm.operator.step(1)
        if is_confirmed(warm, "b"):
            break
    warm.node.lose(pod)
    warm.rest()
    assert is_confirmed(warm, "b")
    assert warm.phase("b") == "Starting"
    assert ANNOTATION_RUN not in warm.api.get("pods", pod)["metadata"]["annotations"]
    warm.node.start(pod)
    warm.rest()
    assert ANNOTATION_RUN in warm.api.get("pods", pod)["metadata"]["annotations"]


def is_confirmed(warm: WarmStage, name: str) -> bool:
    """Whether the Lease names the pod of the job."""
    annotations = warm.api.get("leases", LEASE)["metadata"]["annotations"]
    return annotations.get(ANNOTATION_JOB) == f"GenerateJob/{name}" and ANNOTATION_POD_UID in annotations
