"""A job, its pod, and the planned action: shared by the tests of the reconcile's decisions."""

from dataclasses import replace

from darkroom_contract.status import JobStatus
from darkroom_operator.reconcile.actions import (
    Action,
    WriteStatus,
)
from darkroom_operator.reconcile.plan_slot import plan_slot
from darkroom_operator.scheduling.snapshot import Snapshot
from support.operator_snapshots import (
    NOW,
    a_job,
    a_pod,
    retry_wait,
)

JOB, OTHER = a_job("job"), replace(a_job("other"), created=NOW)
POD = a_pod(JOB)
GATED = replace(POD, gated=True)


def step(snapshot: Snapshot) -> Action | None:
    return plan_slot(snapshot.slots[0], snapshot, retry_wait)


def written(snapshot: Snapshot) -> JobStatus:
    action = step(snapshot)
    assert isinstance(action, WriteStatus)
    return action.status
