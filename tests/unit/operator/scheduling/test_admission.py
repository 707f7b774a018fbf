"""Whom a free slot goes to."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest
from support.operator_snapshots import NOW, a_job, a_slot, a_snapshot, a_training, in_phase

from darkroom_contract.jobs import Job
from darkroom_contract.status import Phase
from darkroom_operator.reconcile.housekeeping import next_deadline
from darkroom_operator.scheduling.admission import TRAINING_FOLLOWS_WITHIN, admit, queued_jobs

FIRST = replace(a_job("first"), created=NOW - timedelta(minutes=9))
SECOND = replace(a_job("second"), created=NOW - timedelta(minutes=8))
URGENT = replace(a_job("urgent", priority=5), created=NOW)


def test_the_queue_is_ordered_by_priority_then_age_then_uid() -> None:
    twin = replace(SECOND, uid="uid-a-twin", name="twin")
    assert queued_jobs(a_snapshot(SECOND, twin, URGENT, FIRST)) == [URGENT, FIRST, twin, SECOND]


def test_within_a_second_a_training_comes_first_and_then_the_order_of_storing_decides() -> None:
    later = [replace(a_job(f"job-{letter}"), order=order) for order, letter in enumerate("dbca")]
    training = replace(a_training("z"), order=99)
    shuffled = [later[2], later[0], training, later[3], later[1]]
    assert queued_jobs(a_snapshot(*shuffled)) == [training, *later]


class TestAGenerationOfAModelThatIsBeingTrained:
    """Created before its training and with a higher priority: it waits for the training whatever its place."""

    DRAWING = replace(a_job("drawing", priority=9, model_id="m"), created=NOW - timedelta(hours=1))
    TRAINING = a_training("training")

    def test_the_training_is_admitted_before_it(self) -> None:
        snapshot = a_snapshot(self.DRAWING, self.TRAINING)
        assert admit(snapshot) == self.TRAINING
        assert queued_jobs(snapshot) == [self.TRAINING, self.DRAWING]

    def test_it_stands_behind_the_last_of_several_trainings_and_before_what_comes_later(self) -> None:
        again = replace(a_training("again"), created=NOW - timedelta(minutes=1))
        other = replace(a_job("other"), created=NOW)
        assert queued_jobs(a_snapshot(other, self.DRAWING, again, self.TRAINING)) == [
            self.TRAINING,
            again,
            self.DRAWING,
            other,
        ]

    def test_it_keeps_its_place_while_the_training_runs_and_is_not_admitted(self) -> None:
        slots = {0: a_slot(self.TRAINING), 1: a_slot(number=1)}
        snapshot = replace(a_snapshot(self.DRAWING, self.TRAINING, SECOND), slots=slots, slot_count=2)
        assert queued_jobs(snapshot) == [self.DRAWING, SECOND]
        assert admit(snapshot) == SECOND

    @pytest.mark.parametrize(
        "training",
        [
            replace(TRAINING, spec=TRAINING.spec.model_copy(update={"suspend": True})),
            in_phase(TRAINING, Phase.QUEUED, next_attempt_time=NOW + timedelta(seconds=9)),
        ],
        ids=["suspended", "backing off"],
    )
    def test_it_keeps_the_place_behind_a_training_that_is_not_in_the_queue_itself(self, training: Job) -> None:
        later = replace(a_job("later"), created=NOW)
        snapshot = a_snapshot(self.DRAWING, training, SECOND, later)
        assert queued_jobs(snapshot) == [SECOND, self.DRAWING, later]
        assert admit(snapshot) == SECOND

    def test_ten_thousand_of_both_kinds_are_looked_at_once_each(self) -> None:
        """Not each generation at each training."""
        trainings = [a_training(f"t{number}") for number in range(2000)]
        drawings = [replace(self.DRAWING, name=f"d{number}", uid=f"d{number}") for number in range(2000)]
        snapshot = a_snapshot(*trainings, *drawings)
        begun = time.process_time()
        assert len(queued_jobs(snapshot)) == 4000
        assert time.process_time() - begun < 1.0

    @pytest.mark.parametrize(
        "training",
        [
            in_phase(TRAINING, Phase.SUCCEEDED),
            in_phase(TRAINING, Phase.FAILED),
            replace(TRAINING, deleting=True),
            a_training("another", modelId="other"),
        ],
        ids=["succeeded", "failed", "being deleted", "of another model"],
    )
    def test_it_waits_for_no_other_training(self, training: Job) -> None:
        assert admit(a_snapshot(self.DRAWING, training)) == self.DRAWING

    def test_just_after_its_creation_it_waits_for_a_training_that_may_follow_and_nobody_overtakes_it(self) -> None:
        young = replace(self.DRAWING, created=NOW)
        snapshot = a_snapshot(young, replace(SECOND, created=NOW))
        assert admit(snapshot) is None
        assert admit(replace(snapshot, now=NOW + TRAINING_FOLLOWS_WITHIN)) == young
        assert next_deadline(snapshot) == NOW + TRAINING_FOLLOWS_WITHIN

    def test_one_from_the_future_holds_up_nobody(self) -> None:
        """The API server's clock was set right after the job was created."""
        ahead = replace(self.DRAWING, created=NOW + timedelta(days=1))
        assert admit(a_snapshot(ahead, SECOND)) == ahead

    def test_a_generation_without_a_model_and_a_training_wait_for_none(self) -> None:
        plain, second = replace(FIRST, created=NOW - timedelta(hours=2)), a_training("second")
        assert admit(a_snapshot(plain, self.TRAINING)) == plain
        assert admit(a_snapshot(replace(second, order=0), self.TRAINING)) == replace(second, order=0)


def test_the_first_of_the_queue_is_admitted() -> None:
    assert admit(a_snapshot(SECOND, FIRST)) == FIRST


def test_nobody_is_admitted_when_nobody_waits() -> None:
    assert admit(a_snapshot()) is None


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
    assert admit(a_snapshot(job, SECOND)) == SECOND


def test_a_job_whose_wait_is_over_stands_where_it_stood() -> None:
    waited = in_phase(FIRST, Phase.QUEUED, next_attempt_time=NOW)
    assert admit(a_snapshot(waited, SECOND)) == waited


def test_a_job_that_holds_a_slot_is_not_admitted_to_another() -> None:
    snapshot = a_snapshot(FIRST, slot=a_slot(FIRST))
    assert admit(snapshot) is None
