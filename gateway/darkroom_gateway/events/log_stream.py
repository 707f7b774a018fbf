"""The log of a run as it grows: `GET /v1/jobs/{id}/logs?follow=true`. Called by events/router.py."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from darkroom_contract.jobs import Job
from darkroom_contract.run_log_text import text_after
from darkroom_contract.status import Phase
from darkroom_contract.storage.keys import run_log_key
from darkroom_gateway.errors import GatewayError
from darkroom_gateway.events.places import Places
from darkroom_gateway.events.shared_logs import SharedLogs
from darkroom_gateway.http.shutdown import Shutdown
from darkroom_gateway.jobs.run_logs import no_log
from darkroom_gateway.jobs.serializers import phase_of

log = logging.getLogger(__name__)

FOLLOW_SECONDS = 1.0
"""Interval at which a followed log and its job are read. The run stores its log every five seconds."""

Refresh = Callable[[Job], Job | None]
"""Returns the latest version of a job from memory, or None when it no longer exists. Raises `GatewayError`."""


class LogStream(StreamingResponse):
    """The response, which gives its place back at its end."""

    def __init__(self, chunks: AsyncGenerator[bytes, None], places: Places) -> None:
        super().__init__(chunks, media_type="text/plain", headers={"X-Accel-Buffering": "no"})
        self._chunks = chunks
        self._places = places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._places.give_back()
            await self._chunks.aclose()


class LogFollower:
    """Follows the logs of runs. Used on the event loop only."""

    def __init__(self, refresh: Refresh, logs: SharedLogs, shutdown: Shutdown, places: Places) -> None:
        self._refresh = refresh
        self._logs = logs
        self._shutdown = shutdown
        self._places = places

    def follow(self, job: Job, attempt: int | None) -> LogStream | None:
        """The log of a run until it ends, by default of the current or next one; None for a run that is over.

        Raises `UnknownLogError` for a run that the job never had, and `TooManyStreamsError`.
        """
        if attempt is not None and attempt > job.status.attempts:
            raise no_log(job, attempt)
        number = attempt or _current_run(job)
        if _is_over(job, number):
            return None
        self._places.take()
        return LogStream(self._chunks(job, number), self._places)

    async def _chunks(self, job: Job, number: int | None) -> AsyncGenerator[bytes, None]:
        while number is None:
            if self._shutdown.streams_end.is_set():
                return
            await asyncio.sleep(FOLLOW_SECONDS)
            latest = self._latest(job)
            if latest is None or _is_over(latest, None):
                return
            job, number = latest, _current_run(latest)
        key = run_log_key(job.uid, number)
        with self._logs.follow(key):
            async for chunk in self._chunks_of_run(job, number, key):
                yield chunk

    async def _chunks_of_run(self, job: Job, number: int, key: str) -> AsyncGenerator[bytes, None]:
        position, is_over = 0, False
        while not is_over:
            latest = self._latest(job)
            is_over = latest is None or _is_over(latest, number) or self._shutdown.streams_end.is_set()
            job = latest or job
            try:
                # The last read begins after the end of the run: by then all of its log is stored.
                text = await self._logs.read(key, time.monotonic() - (0.0 if is_over else FOLLOW_SECONDS / 2))
            except GatewayError as error:
                log.warning("the log of run %d of %s can't be read: %s", number, job.key, error)
                if is_over:
                    yield f"\n... the rest of the log can't be read: {error} ...\n".encode()
            else:
                chunk, position = text_after(text, position)
                if chunk:
                    yield chunk
            if not is_over:
                await asyncio.sleep(FOLLOW_SECONDS)

    def _latest(self, job: Job) -> Job | None:
        try:
            return self._refresh(job)
        except GatewayError:  # The watch of the API server is lost: the run may continue.
            return job


def _current_run(job: Job) -> int | None:
    """The number of the latest run; None before the first."""
    return job.status.attempts or None


def _is_over(job: Job, number: int | None) -> bool:
    """Whether the run has ended, or will never begin."""
    if number is None:
        return phase_of(job).is_terminal
    return job.status.attempts > number or phase_of(job) not in (Phase.STARTING, Phase.RUNNING)
