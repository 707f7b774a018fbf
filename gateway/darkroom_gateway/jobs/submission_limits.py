"""Decides whether one more job may be submitted: the length of the queue, and the quota of the API key. Used by
jobs/submission.py, on the event loop.

A submission that was accepted counts from then on, not only when its job is in the store: concurrent submissions to one
gateway can't exceed a limit together. Another gateway learns of the job when its informer does, so several gateways may
exceed a limit by the submissions that they accept within that moment.
"""

import math
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from darkroom_contract.names import Kind
from darkroom_contract.status import Phase
from darkroom_gateway.jobs.index import JobFilter
from darkroom_gateway.jobs.recent_submissions import DAY_SECONDS, RecentSubmissions
from darkroom_gateway.jobs.store import JobStore
from darkroom_gateway.limits.errors import QueueFullError, QuotaExceededError, TooManyRequestsError
from darkroom_gateway.limits.quotas import Quota, Quotas

QUEUED = JobFilter(phases=(Phase.QUEUED,))
SUSPENDED = JobFilter(phases=(Phase.SUSPENDED,))
WAITING = JobFilter(phases=(Phase.QUEUED, Phase.SUSPENDED))
RUNNING = JobFilter(phases=(Phase.STARTING, Phase.RUNNING))

RETRY_SECONDS = 30
"""`Retry-After` where only the end or the start of a job helps, whose time is unknown."""


@dataclass(frozen=True)
class JobName:
    """The job of a submission."""

    kind: Kind
    name: str


class SubmissionLimits:
    """The limits of the settings, applied to the jobs of the store."""

    def __init__(
        self,
        store: JobStore,
        max_queued: int | None,
        quotas: Quotas,
        count_refusal: Callable[[str], None],
        jobs_listed: Callable[[], Awaitable[None]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`count_refusal` is called with `queue` or `quota` for each refusal. `jobs_listed` waits until the store has
        all jobs, or raises."""
        self._store = store
        self._max_queued = max_queued
        self._quotas = quotas
        self._count_refusal = count_refusal
        self._jobs_listed = jobs_listed
        self._clock = clock
        self._recent = RecentSubmissions(clock)
        self._accepted: dict[JobName, str | None] = {}
        """Submissions whose job is being created, with their key's name."""
        if quotas:
            store.listen(self._recent.note)

    async def ready(self) -> None:
        """Wait until the jobs are known that count. Raises `ClusterUnavailableError` if that takes too long."""
        if self._quotas or self._max_queued is not None:
            await self._jobs_listed()

    def require(self, key_name: str | None) -> None:
        """Raises `QuotaExceededError` or `QueueFullError` if one more job would exceed a limit. Call `ready` before."""
        try:
            if key_name is not None:
                self._require_quota(key_name, self._quotas.of(key_name))
            self._require_place_in_queue()
        except TooManyRequestsError as error:
            self._count_refusal("queue" if isinstance(error, QueueFullError) else "quota")
            raise

    @contextmanager
    def accept(self, job: JobName, key_name: str | None) -> Iterator[None]:
        """The job counts as waiting while the block creates it. Raises what `require` raises, except for a job that
        exists already."""
        if self._store.get(job.kind, job.name) is None and job not in self._accepted:
            self.require(key_name)
        self._accepted[job] = key_name
        try:
            yield
        finally:
            self._accepted.pop(job, None)

    def _require_quota(self, key_name: str, quota: Quota) -> None:
        creating = self._creating(key_name)
        waiting = self._store.count(replace(WAITING, submitted_by=key_name)) + creating
        running = self._store.count(replace(RUNNING, submitted_by=key_name))
        if quota.waiting is not None and waiting >= quota.waiting:
            raise QuotaExceededError(
                f"{_has(key_name, waiting, 'waiting job')}, and its quota is {quota.waiting}. "
                f"{_wait_until('starts', key_name)}",
                retry_after_seconds=RETRY_SECONDS,
            )
        if quota.unfinished is not None and waiting + running >= quota.unfinished:
            raise QuotaExceededError(
                f"{_has(key_name, waiting + running, 'unfinished job')} ({running} running, {waiting} waiting), and "
                f"its quota is {quota.unfinished}. {_wait_until('ends', key_name)}",
                retry_after_seconds=RETRY_SECONDS,
            )
        if quota.per_day is not None:
            self._require_day_quota(key_name, quota.per_day, creating)

    def _require_day_quota(self, key_name: str, per_day: int, creating: int) -> None:
        times = self._recent.times_of(key_name)
        if len(times) + creating < per_day:
            return
        # The quota is free again when all but `per_day - 1` of the jobs are older than a day.
        last = times[len(times) - per_day] if 0 < per_day <= len(times) else self._clock()
        seconds = max(1, math.ceil(last + DAY_SECONDS - self._clock()))
        raise QuotaExceededError(
            f"The API key {key_name} has submitted {_counted(len(times) + creating, 'job')} within 24 hours, and its "
            f"quota is {per_day}. Try again in {_duration(seconds)}.",
            retry_after_seconds=seconds,
        )

    def _require_place_in_queue(self) -> None:
        if self._max_queued is None:
            return
        suspended = self._store.count(SUSPENDED)
        queued = self._store.count(QUEUED) + self._creating()
        if queued + suspended >= self._max_queued:
            raise QueueFullError(
                f"The queue is full: {_counted(queued + suspended, 'job')} wait ({queued} queued, {suspended} "
                f"suspended), {self._store.count(RUNNING)} run, and this gateway lets at most {self._max_queued} "
                "wait. Send the request again when one has started.",
                retry_after_seconds=RETRY_SECONDS,
            )

    def _creating(self, key_name: str | None = None) -> int:
        """Accepted submissions whose job is not in the store yet: of a key, or of all."""
        return sum(
            self._store.get(job.kind, job.name) is None
            for job, submitter in self._accepted.items()
            if key_name in (None, submitter)
        )


def _has(key_name: str, count: int, noun: str) -> str:
    return f"The API key {key_name} has {_counted(count, noun)}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _wait_until(event: str, key_name: str) -> str:
    return f"Wait until one {event}, or delete one of the jobs that {key_name} has submitted."


def _duration(seconds: int) -> str:
    hours, minutes = divmod(math.ceil(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
