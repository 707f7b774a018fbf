"""Posts Kubernetes Events on jobs: bounded, aggregated and rate-limited, in a task of its own.

`reconcile/executor.py` records, `main.py` runs the task. Recording never waits and never raises: an API server that is
slow or refuses Events delays no admission. Posting waits while the reconcile is active (`reconcile/activity.py`), up to
a maximum. An Event is a hint: one that can't be posted is lost, and the job's status has the truth.

Repeats are one Event with a `series`, as client-go's recorder for this API has it (tools/events/event_broadcaster.go).
Limits per job are those of client-go's spam filter for core Events (tools/record/events_cache.go), which that recorder
lacks.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

from darkroom_contract.event_reasons import EventReason
from darkroom_contract.jobs import Job
from darkroom_contract.status import JobStatus
from darkroom_operator.errors import AlreadyExistsError, ApiError, NotFoundError
from darkroom_operator.kube.client import KubeClient
from darkroom_operator.kube.objects import Json
from darkroom_operator.telemetry.event_queue import EventQueue, Key, Series
from darkroom_operator.telemetry.job_events import JobEvent, JobReference, event_document, events_of_change
from darkroom_operator.telemetry.metrics import Metrics
from darkroom_operator.telemetry.token_bucket import TokenBucket

log = logging.getLogger(__name__)

MAX_WAITING = 1000
"""Events that wait to be posted (client-go's maxQueuedEvents). Beyond, the oldest `Queued` is dropped, else the oldest
Event."""
MAX_REMEMBERED = 4096
"""Series and jobs that are remembered (client-go's maxLruCacheEntries)."""
JOB_BURST, JOB_PER_SECOND = 25, 1 / 300
"""New Events of one job: 25 at once, then one every five minutes (client-go's defaultSpamBurst and defaultSpamQPS)."""
BURST, PER_SECOND = 50, 10.0
"""Requests in all: client-go's clients default to a burst of 10 at 5 a second, for each kind of work."""
QUEUED_BURST, QUEUED_PER_SECOND = 20, 2.0
"""`Queued` Events among them: of thousands of new jobs, each has its position in its status."""
MAX_DELAY_SECONDS = 2.0
"""The longest wait for the reconcile before each request: without a pause between hand-overs, Events are still
posted."""
DELAY_SECONDS = 0.2
"""From recording to posting, so that repeats in quick succession are one request."""
SERIES_ENDS_AFTER = timedelta(minutes=6)
"""A repeat that comes later is a new Event (client-go's finishTime)."""
SERIES_SECONDS = 60.0
"""Between two updates of one series."""
MAX_TRIES, RETRY_SECONDS = 12, 10.0
"""While the API server does not answer (client-go's maxTriesPerEvent and defaultSleepDuration)."""
FORBIDDEN_SECONDS = 60.0
"""Until another try after the API server has refused for lack of rights."""
LOG_SECONDS = 600.0
"""Between two warnings about dropped Events."""
ENDS = frozenset({EventReason.SUCCEEDED, EventReason.FAILED})
"""Posted however many Events a job had before."""

K = TypeVar("K")
V = TypeVar("V")


async def _at_once(_: float) -> None:
    """Without a reconcile to wait for."""


class EventRecorder:
    """A bounded queue of Events, and the task that posts them."""

    def __init__(
        self,
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time.monotonic,
        delay_seconds: float = DELAY_SECONDS,
    ) -> None:
        self._metrics = metrics or Metrics()
        self._clock = clock
        self._delay_seconds = delay_seconds
        self._waiting = EventQueue()
        self._series: OrderedDict[Key, Series] = OrderedDict()
        self._jobs: OrderedDict[str, TokenBucket] = OrderedDict()
        self._bucket = TokenBucket(BURST, PER_SECOND, clock)
        self._queued_bucket = TokenBucket(QUEUED_BURST, QUEUED_PER_SECOND, clock)
        self._pause_ends = 0.0
        self._recorded = asyncio.Event()
        self._is_forbidden = False
        self._dropped = 0
        self._log_due = 0.0

    @property
    def waiting(self) -> tuple[Json, ...]:
        """What is to be posted, in this order."""
        return tuple(series.with_series() for series in self._waiting)

    def record_change(self, job: Job, after: JobStatus, version: str, now: datetime) -> None:
        """Everything that follows from a status write that was accepted, with the version that it led to."""
        try:
            reference = JobReference(job.kind, job.namespace, job.name, job.uid, version)
            for event in events_of_change(job, after):
                self.record(reference, event, now)
        except Exception:  # Whatever is wrong with an Event, the reconcile continues.
            log.exception("could not derive the Events of %s", job.key)

    def record(self, job: JobReference, event: JobEvent, now: datetime) -> None:
        """One Event, or one more of its series."""
        try:
            self._record(job, event, now)
        except Exception:  # As above.
            log.exception("could not record the Event %s of %s/%s", event.reason, job.kind, job.name)

    def _record(self, job: JobReference, event: JobEvent, now: datetime) -> None:
        key = event.key(job)
        series = self._series.get(key)
        if series is not None and (key in self._waiting or now - series.last <= SERIES_ENDS_AFTER):
            series.count, series.last = series.count + 1, now
        elif event.reason in ENDS or self._bucket_of(job.uid).take():
            series = Series(key, event_document(job, event, now), now, due=self._clock() + self._delay_seconds)
        else:
            self._metrics.count_event("limited")
            return
        _remember(self._series, key, series)
        self._waiting.add(series)
        if len(self._waiting) > MAX_WAITING:
            self._drop_oldest()
        self._recorded.set()

    async def run(self, kube: KubeClient, wait_until_idle: Callable[[float], Awaitable[None]] = _at_once) -> None:
        """Forever. `wait_until_idle(seconds)` returns when the reconcile has paused, or after these seconds."""
        while True:
            self._recorded.clear()
            wait_seconds = self._seconds_until_next()
            if wait_seconds != 0.0:
                await self._sleep(wait_seconds)
                continue
            await wait_until_idle(MAX_DELAY_SECONDS)
            if (series := self._take_due()) is not None:
                await self._post(kube, series)

    async def _sleep(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._recorded.wait()
        except TimeoutError:
            return

    def _seconds_until_next(self) -> float | None:
        """Until an Event may be posted; None when nothing waits."""
        now = self._clock()
        of_runs, of_new_jobs = self._waiting.due_of_runs(), self._waiting.due_of_new_jobs()
        times = [] if of_runs is None else [of_runs]
        if of_new_jobs is not None:
            times.append(max(of_new_jobs, now + self._queued_bucket.seconds_until_next()))
        if not times:
            return None
        return max(0.0, min(times) - now, self._pause_ends - now, self._bucket.seconds_until_next())

    def _take_due(self) -> Series | None:
        """The next Event, or None if none is due. Ten thousand new jobs delay no Event of a run."""
        now = self._clock()
        of_runs, of_new_jobs = self._waiting.due_of_runs(), self._waiting.due_of_new_jobs()
        if of_runs is not None and of_runs <= now:
            return self._waiting.take_of_runs() if self._bucket.take() else None
        if of_new_jobs is not None and of_new_jobs <= now and self._queued_bucket.take():
            return self._waiting.take_of_new_jobs() if self._bucket.take() else None
        return None

    async def _post(self, kube: KubeClient, series: Series) -> None:
        try:
            await self._send(kube, series)
        except ApiError as error:
            self._not_posted(series, error)
        except Exception:  # As above.
            log.exception("could not post the Event %s", series.document["metadata"]["name"])
        else:
            series.tries, self._is_forbidden = 0, False

    async def _send(self, kube: KubeClient, series: Series) -> None:
        if not series.posted:
            await self._create(kube, series)
            return
        try:
            await self._update(kube, series)
        except NotFoundError:  # It has expired.
            await self._create(kube, series)

    async def _create(self, kube: KubeClient, series: Series) -> None:
        try:
            await kube.create_event(series.with_series())
            self._metrics.count_event("posted")
        except AlreadyExistsError:
            # Posted before this process began, or with an answer that was lost. An empty patch reads it.
            found = await kube.patch_event(series.document["metadata"]["name"], {})
            known = int((found.get("series") or {}).get("count") or 1)
            if series.tries:
                series.count = max(series.count, known)
            else:
                series.count += known
                await self._update(kube, series)
        series.posted = True

    async def _update(self, kube: KubeClient, series: Series) -> None:
        await kube.patch_event(series.document["metadata"]["name"], series.series())
        series.due = self._clock() + SERIES_SECONDS
        self._metrics.count_event("updated")

    def _not_posted(self, series: Series, error: ApiError) -> None:
        reason, name = series.document["reason"], series.document["regarding"]["name"]
        if error.code == 403:
            self._metrics.count_event("refused")
            self._pause_ends = self._clock() + FORBIDDEN_SECONDS
            if not self._is_forbidden:
                log.warning("Events are not posted until the operator may create and patch them: %s", error)
            self._is_forbidden = True
        elif error.is_transient and series.tries + 1 < MAX_TRIES:
            series.tries += 1
            self._pause_ends = self._clock() + RETRY_SECONDS
            self._waiting.put_back(series)
        else:
            self._metrics.count_event("refused")
            log.warning("could not post the Event %s on %s: %s", reason, name, error)

    def _drop_oldest(self) -> None:
        self._waiting.drop_oldest()
        self._metrics.count_event("dropped")
        self._dropped += 1
        if self._clock() >= self._log_due:
            log.warning("dropped %d Events: more than %d wait to be posted", self._dropped, MAX_WAITING)
            self._dropped, self._log_due = 0, self._clock() + LOG_SECONDS

    def _bucket_of(self, uid: str) -> TokenBucket:
        bucket = self._jobs.get(uid) or TokenBucket(JOB_BURST, JOB_PER_SECOND, self._clock)
        _remember(self._jobs, uid, bucket)
        return bucket


def _remember(cache: "OrderedDict[K, V]", key: K, value: V) -> None:
    """The most recently used are kept."""
    cache[key] = value
    cache.move_to_end(key)
    if len(cache) > MAX_REMEMBERED:
        cache.popitem(last=False)
