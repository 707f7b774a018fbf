"""Whom a free slot goes to."""

from dataclasses import replace
from datetime import timedelta

import pytest
from support.operator_worlds import NOW, a_job, a_slot, a_world, in_phase

from darkroom_contract.jobs import Job
from darkroom_contract.status import Phase
from darkroom_operator.admission import admit, queue

FIRST = replace(a_job("first"), created=NOW - timedelta(minutes=9))
SECOND = replace(a_job("second"), created=NOW - timedelta(minutes=8))
URGENT = replace(a_job("urgent", priority=5), created=NOW)


def test_the_queue_is_ordered_by_priority_then_age_then_uid() -> None:
    twin = replace(SECOND, uid="uid-a-twin", name="twin")
    assert queue(a_world(SECOND, twin, URGENT, FIRST)) == [URGENT, FIRST, twin, SECOND]


def test_the_first_of_the_queue_is_admitted() -> None:
    assert admit(a_world(SECOND, FIRST)) == FIRST


def test_nobody_is_admitted_when_nobody_waits() -> None:
    assert admit(a_world()) is None


@pytest.mark.parametrize(
    "job",
    [
        in_phase(FIRST, Phase.SUCCEEDED),
        in_phase(FIRST, Phase.FAILED),
        replace(FIRST, deleting=True),
        replace(FIRST, spec=FIRST.spec.model_copy(update={"suspend": True})),
        in_phase(FIRST, Phase.QUEUED, next_attempt_time=NOW + timedelta(seconds=1)),
    ],
    ids=["succeeded", "failed", "being deleted", "suspended", "backing off"],
)
def test_a_job_that_can_t_run_now_is_passed_over(job: Job) -> None:
    assert admit(a_world(job, SECOND)) == SECOND


def test_a_job_whose_wait_is_over_stands_where_it_stood() -> None:
    waited = in_phase(FIRST, Phase.QUEUED, next_attempt_time=NOW)
    assert admit(a_world(waited, SECOND)) == waited


def test_a_job_that_holds_a_slot_is_not_admitted_to_another() -> None:
    world = a_world(FIRST, slot=a_slot(FIRST))
    assert admit(world) is None
