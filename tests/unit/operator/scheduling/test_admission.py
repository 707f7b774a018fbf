"""Which job gets a free slot."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest
from support.operator_snapshots import NOW, a_job, a_slot, a_snapshot, a_training, in_phase
from support.waiting import first_within

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


def test_within_a_second_a_training_comes_first_and_then_the_storage_order_decides() -> None:
    later = [replace(a_job(f"job-{letter}"), order=order) for order, letter in enumerate("dbca")]
    training = replace(a_training("z"), order=99)
    shuffled = [later[2], later[0], training, later[3], later[1]]
    assert queued_jobs(a_snapshot(*shuffled)) == [training, *later]


class TestGenerationWhoseModelIsBeingTrained:
    """Created before its training and with a higher priority: it waits for the training wherever the two are."""

    GENERATION = replace(a_job("generation", priority=9, model_id="m"), created=NOW - timedelta(hours=1))
    TRAINING = a_training("training")

    def test_the_training_is_admitted_before_it(self) -> None:
        snapshot = a_snapshot(self.GENERATION, self.TRAINING)
        assert admit(snapshot) == self.TRAINING
        assert queued_jobs(snapshot) == [self.TRAINING, self.GENERATION]

    def test_it_comes_after_the_last_of_several_trainings_and_before_later_jobs(self) -> None:
        again = replace(a_training("again"), created=NOW - timedelta(minutes=1))
        other = replace(a_job("other"), created=NOW)
        assert queued_jobs(a_snapshot(other, self.GENERATION, again, self.TRAINING)) == [
            self.TRAINING,
            again,
            self.GENERATION,
            other,
        ]

    def test_it_keeps_its_position_while_the_training_runs_and_is_not_admitted(self) -> None:
        slots = {0: a_slot(self.TRAINING), 1: a_slot(number=1)}
        snapshot = replace(a_snapshot(self.GENERATION, self.TRAINING, SECOND), slots=slots, slot_count=2)
        assert queued_jobs(snapshot) == [self.GENERATION, SECOND]
        assert admit(snapshot) == SECOND

    @pytest.mark.parametrize(
        "training",
        [
            replace(TRAINING, spec=TRAINING.spec.model_copy(update={"suspend": True})),
            in_phase(TRAINING, Phase.QUEUED, next_attempt_time=NOW + timedelta(seconds=9)),
        ],
        ids=["suspended", "backing off"],
    )
    def test_it_keeps_the_position_after_a_training_that_is_not_queued_itself(self, training: Job) -> None:
        later = replace(a_job("later"), created=NOW)
        snapshot = a_snapshot(self.GENERATION, training, SECOND, later)
        assert queued_jobs(snapshot) == [SECOND, self.GENERATION, later]
        assert admit(snapshot) == SECOND

    def test_ordering_thousands_of_both_kinds_takes_linear_time(self) -> None:
        """Not each generation for each training."""
        trainings = [a_training(f"t{number}") for number in range(2000)]
        generations = [replace(self.GENERATION, name=f"d{number}", uid=f"d{number}") for number in range(2000)]

        def cpu_seconds() -> float:
            snapshot = a_snapshot(*trainings, *generations)
            begun = time.thread_time()
            assert len(queued_jobs(snapshot)) == 4000
            return time.thread_time() - begun

        assert first_within(1.0, cpu_seconds) < 1.0

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
        assert admit(a_snapshot(self.GENERATION, training)) == self.GENERATION

    def test_just_after_its_creation_it_waits_for_a_possible_training_and_is_not_overtaken(self) -> None:
        young = replace(self.GENERATION, created=NOW)
        snapshot = a_snapshot(young, replace(SECOND, created=NOW))
        assert admit(snapshot) is None
        assert admit(replace(snapshot, now=NOW + TRAINING_FOLLOWS_WITHIN)) == young
        assert next_deadline(snapshot) == NOW + TRAINING_FOLLOWS_WITHIN

    def test_a_creation_time_in_the_future_delays_nothing(self) -> None:
        """The API server's clock was corrected after the job was created."""
        ahead = replace(self.GENERATION, created=NOW + timedelta(days=1))
        assert admit(a_snapshot(ahead, SECOND)) == ahead

    def test_a_training_or_a_generation_without_a_model_waits_for_no_training(self) -> None:
        plain, second = replace(FIRST, created=NOW - timedelta(hours=2)), a_training("second")
        assert admit(a_snapshot(plain, self.TRAINING)) == plain
        assert admit(a_snapshot(replace(second, order=0), self.TRAINING)) == replace(second, order=0)


def test_the_first_of_the_queue_is_admitted() -> None:
    assert admit(a_snapshot(SECOND, FIRST)) == FIRST


def test_no_job_is_admitted_when_none_waits() -> None:
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
def test_a_job_that_can_t_run_now_is_skipped(job: Job) -> None:
    assert admit(a_snapshot(job, SECOND)) == SECOND


def test_a_job_whose_backoff_is_over_has_its_old_position() -> None:
    waited = in_phase(FIRST, Phase.QUEUED, next_attempt_time=NOW)
    assert admit(a_snapshot(waited, SECOND)) == waited


def test_a_job_that_holds_a_slot_is_not_admitted_to_another() -> None:
    snapshot = a_snapshot(FIRST, slot=a_slot(FIRST))
    assert admit(snapshot) is None
