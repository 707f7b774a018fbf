"""Deletes jobs whose clients have disconnected, in the background. Called by openai_images/service.py.

Hundreds of clients may disconnect at once, when a proxy in front stops, and the API server may be away just then. So no
request waits for these deletions: its place is free for the next client.
"""

import asyncio
import logging
from collections import deque
from contextvars import Context

from darkroom_contract.jobs import Job
from darkroom_contract.status import Phase
from darkroom_gateway.deletion.sweeper import Sweeper
from darkroom_gateway.errors import GatewayError, UnavailableError, UnknownTaskError
from darkroom_gateway.http.shutdown import Shutdown
from darkroom_gateway.jobs.serializers import phase_of

log = logging.getLogger(__name__)

CONCURRENT_DELETIONS = 8
MAX_WAITING = 2000
"""Number of jobs that wait for their deletion. Further ones are kept."""
MAX_PAUSE_SECONDS = 30.0
"""After a failed attempt a task pauses for a second, then for twice as long each time, up to this."""
TICK_SECONDS = 0.5
"""Interval of the check whether the gateway is stopping, during a pause."""
CLOSE_SECONDS = 2.0
"""How long a gateway that stops waits for its last deletions, after its last request."""


class AbandonedJobs:
    """The deletions of one gateway. Used on the event loop only."""

    def __init__(self, sweeper: Sweeper, shutdown: Shutdown) -> None:
        self._sweeper = sweeper
        self._shutdown = shutdown
        self._waiting: deque[Job] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, job: Job) -> None:
        """Delete the job with its files, if no run has started by then. Repeated until the API server answers."""
        if len(self._waiting) >= MAX_WAITING:
            log.warning("%s was kept although its client disconnected: too many jobs wait for that", job.key)
            return
        self._waiting.append(job)
        if len(self._tasks) < CONCURRENT_DELETIONS:
            # In a new context, because its log lines belong to no request.
            task = asyncio.get_running_loop().create_task(self._delete_all(), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait a little for the rest, after the last request."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
        if self._tasks:
            log.warning("stopped before %d jobs of disconnected clients were deleted", self._count_left())
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _count_left(self) -> int:
        return len(self._waiting) + len(self._tasks)

    async def _delete_all(self) -> None:
        failures = 0
        while self._waiting:
            job = self._waiting.popleft()
            try:
                await self._delete(job)
                failures = 0
            except UnavailableError as error:
                if self._shutdown.streams_end.is_set():
                    log.warning("%s was kept although its client disconnected: %s", job.key, error)
                else:
                    self._waiting.append(job)
                    await self._pause(min(2.0**failures, MAX_PAUSE_SECONDS))
                    failures = min(failures + 1, 10)

    async def _delete(self, job: Job) -> None:
        """Raises `UnavailableError`."""
        try:
            if await self._sweeper.delete_job_if(job, _is_unwanted):
                log.info("deleting %s: its client disconnected before it started", job.key)
        except UnavailableError:
            raise
        except UnknownTaskError:
            log.debug("%s is already gone", job.key)
        except GatewayError as error:
            log.warning("%s was kept although its client disconnected: %s", job.key, error)
        except Exception:
            log.exception("%s was kept although its client disconnected", job.key)

    async def _pause(self, seconds: float) -> None:
        """Until then, or until the gateway stops."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        # A signal handler sets the event: it can't be awaited.
        while not self._shutdown.streams_end.is_set() and (left_seconds := end - loop.time()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left_seconds, TICK_SECONDS))


def _is_unwanted(job: Job) -> bool:
    return phase_of(job) is Phase.QUEUED and not job.spec.suspend and not job.status.attempts
