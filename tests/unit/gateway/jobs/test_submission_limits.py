"""Which submission is one too many: by the length of the queue, and by the quota of its key."""

from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from support.cost import steps_taken

from darkroom_contract.names import LABEL_SUBMITTED_BY, Kind
from darkroom_gateway.errors import ClusterUnavailableError
from darkroom_gateway.jobs.store import JobStore
from darkroom_gateway.jobs.submission_limits import JobName, SubmissionLimits
from darkroom_gateway.limits.errors import QueueFullError, QuotaExceededError, TooManyRequestsError
from darkroom_gateway.limits.quotas import Quota, Quotas

NOW = 1_800_000_000.0
HOUR = 3600


class Stage:
    """Limits on a store of jobs, at a time that the test sets."""

    def __init__(self, max_queued: int | None = None, **quotas: Any) -> None:
        self.now = NOW
        self.store = JobStore()
        self.refusals: Counter[str] = Counter()
        self.limits = SubmissionLimits(
            self.store, max_queued, Quotas.model_validate(quotas), self._count, self._fail, clock=lambda: self.now
        )
        self._version = 0

    def _count(self, limit: str) -> None:
        self.refusals[limit] += 1

    async def _fail(self) -> None:
        """The first list of a cluster that does not answer."""
        raise ClusterUnavailableError("not listed")

    def put(self, name: str, phase: str = "Queued", by: str | None = "alice", hours_ago: float = 0) -> None:
        self._version += 1
        metadata = {
            "name": name,
            "namespace": "default",
            "uid": name,
            "resourceVersion": str(self._version),
            "creationTimestamp": datetime.fromtimestamp(NOW - hours_ago * HOUR, UTC).isoformat(),
            "labels": {} if by is None else {LABEL_SUBMITTED_BY: by},
        }
        status = {"phase": phase}
        self.store.put({"kind": "GenerateJob", "metadata": metadata, "spec": {"prompt": "a dog"}, "status": status})

    def accepts(self, by: str | None = "alice") -> bool:
        try:
            self.limits.require(by)
        except TooManyRequestsError:
            return False
        return True


def test_without_limits_everything_is_accepted() -> None:
    stage = Stage()
    for number in range(100):
        stage.put(f"a-{number}")

    assert stage.accepts()
    assert stage.accepts(by=None)


@pytest.mark.parametrize("limits", [{"max_queued": 9}, {"default": {"waiting": 9}}, {"keys": {"alice": {"perDay": 9}}}])
async def test_limits_need_the_first_list_of_jobs(limits: dict[str, Any]) -> None:
    with pytest.raises(ClusterUnavailableError):
        await Stage(**limits).limits.ready()


async def test_without_limits_no_list_is_needed() -> None:
    await Stage().limits.ready()


def test_full_queue_refuses_everybody_until_a_job_starts() -> None:
    stage = Stage(max_queued=3)
    stage.put("a", "Running")
    stage.put("b", "Succeeded")
    stage.put("c", by=None)
    stage.put("d", "Suspended")
    assert stage.accepts()

    stage.put("e", by="bob")
    with pytest.raises(
        QueueFullError, match=r"3 jobs wait \(2 queued, 1 suspended\), 1 run, .* at most 3 wait"
    ) as error:
        stage.limits.require(None)
    assert error.value.retry_after_seconds == 30
    assert stage.refusals == {"queue": 1}

    stage.put("e", "Starting", by="bob")
    assert stage.accepts(by=None)


def test_quota_of_unfinished_jobs_counts_waiting_and_running_ones() -> None:
    stage = Stage(default={"unfinished": 2})
    stage.put("a", "Running")
    stage.put("b", "Failed")
    stage.put("c", by="bob")
    assert stage.accepts()

    stage.put("d")
    with pytest.raises(QuotaExceededError, match=r"alice has 2 unfinished jobs \(1 running, 1 waiting\)"):
        stage.limits.require("alice")
    assert stage.accepts(by="bob")
    assert stage.refusals == {"quota": 1}

    stage.store.remove(Kind.GENERATE, "d", "d")
    assert stage.accepts()


def test_quota_of_waiting_jobs_ignores_running_ones() -> None:
    stage = Stage(keys={"alice": {"waiting": 1}})
    stage.put("a", "Running")
    assert stage.accepts()

    stage.put("b")
    with pytest.raises(QuotaExceededError, match="delete one of the jobs that alice has submitted"):
        stage.limits.require("alice")
    assert stage.accepts(by="bob")


def test_quota_of_zero_accepts_nothing() -> None:
    assert not Stage(default={"unfinished": 0}).accepts()
    assert not Stage(default={"perDay": 0}).accepts()


def test_day_quota_is_free_again_when_the_oldest_job_is_a_day_old() -> None:
    stage = Stage(default={"perDay": 2})
    stage.put("older", "Succeeded", hours_ago=25)
    stage.put("a", "Succeeded", hours_ago=23)
    assert stage.accepts()

    stage.put("b", "Succeeded", hours_ago=1)
    with pytest.raises(QuotaExceededError, match=r"2 jobs within 24 hours.*Try again in 1 h 0 min") as error:
        stage.limits.require("alice")
    assert error.value.retry_after_seconds == HOUR

    stage.now += HOUR
    assert stage.accepts()


def test_deleted_jobs_still_count_for_the_day_quota() -> None:
    stage = Stage(default={"perDay": 1})
    stage.put("a")
    stage.store.remove(Kind.GENERATE, "a", "a")

    assert not stage.accepts()


def test_later_versions_of_a_job_do_not_count_again() -> None:
    stage = Stage(default={"perDay": 2})
    for phase in ("Queued", "Running", "Succeeded"):
        stage.put("a", phase)

    assert stage.accepts()


def test_concurrent_submissions_can_not_exceed_a_limit_together() -> None:
    stage = Stage(max_queued=3, default={"unfinished": 2, "perDay": 2})
    with ExitStack() as creating:
        for name in ("a", "b"):
            creating.enter_context(stage.limits.accept(JobName(Kind.GENERATE, name), "alice"))
        assert not stage.accepts()
        stage.put("a")  # Counts once, although it is in the store before its submission has ended.
        creating.enter_context(stage.limits.accept(JobName(Kind.GENERATE, "c"), "bob"))
        with pytest.raises(QueueFullError):
            stage.limits.require("carol")

    assert stage.accepts()  # The API server has refused b.


def test_repeated_submission_of_an_existing_job_is_accepted() -> None:
    stage = Stage(default={"unfinished": 1})
    stage.put("a")
    with stage.limits.accept(JobName(Kind.GENERATE, "a"), "alice"):
        assert not stage.accepts()


def test_cost_of_a_check_does_not_depend_on_the_number_of_finished_jobs() -> None:
    def steps(finished: int) -> int:
        stage = Stage(max_queued=1000, default={"unfinished": 1000, "waiting": 1000, "perDay": 1000})
        for number in range(finished):
            stage.put(f"a-{number}", "Succeeded", hours_ago=48)
        return steps_taken(lambda: stage.limits.require("alice"))

    assert steps(2000) < 1.5 * steps(10)


def test_default_quota_is_unlimited() -> None:
    assert Quotas().of("alice") == Quota() == Quota(unfinished=None, waiting=None, per_day=None)
