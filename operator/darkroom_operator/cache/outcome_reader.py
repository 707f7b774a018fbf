"""Reads the signed outcomes of runs from Redis into the cache: a runner that stays warm does not end with its run.

Redis is optional: without it a runner ends with its outcome in its termination message.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from redis.exceptions import RedisError

from darkroom_contract.handover import STREAM_FIELD, SignedOutcome, outcome_stream
from darkroom_contract.progress import read_streams
from darkroom_operator.cache.cache import Cache
from darkroom_operator.cache.redis_connection import open_redis
from darkroom_operator.pods.pod_outcome import fits_status
from darkroom_operator.pods.runner_pod import RunnerPod

log = logging.getLogger(__name__)

BLOCK_MILLISECONDS = 200
"""How long a read waits for an outcome. New runs are read from at most this much later."""
IDLE_SECONDS = 0.1
"""Between two looks at the slots while no run can report an outcome."""
RETRY_SECONDS = 1.0
"""After Redis did not answer."""
FIRST = "0"
"""The id before the first entry of a stream."""


def accepted_outcome(text: str, pod: RunnerPod, job_uid: str) -> SignedOutcome | None:
    """The outcome of a job's run, if the pod itself has signed it and waits for another run.

    Only a success that a status can hold: everything else is reported by the termination message.
    """
    try:
        found = SignedOutcome.verify(text, pod.outcome_key)
    except ValueError:  # The pod was created with an invalid key, by somebody else.
        return None
    if found is None or found.job_uid != job_uid or not found.idle:
        return None
    return found if found.outcome.succeeded and fits_status(found.outcome) else None


class OutcomeReader:
    """A task that waits for the outcomes of the runs that hold slots."""

    def __init__(self, url: str, cache: Cache, changed: Callable[[], None]) -> None:
        """Raises `SettingsError` for an invalid address."""
        self._redis = open_redis(url)
        self._cache = cache
        self._changed = changed
        self._newest: dict[str, str] = {}
        """The id of the last entry that was read, by stream."""

    async def run(self) -> None:
        is_reachable = True
        try:
            while True:
                try:
                    await self._read(self._awaited())
                    is_reachable = True
                except (RedisError, OSError, TimeoutError, ValueError) as error:
                    if is_reachable:
                        log.warning("Redis is unreachable, runners end with their runs: %s", error)
                    is_reachable = False
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            await self._redis.aclose()

    def _awaited(self) -> dict[str, tuple[RunnerPod, str]]:
        """By stream, the pod and the job's uid of each run without an outcome. Forgets outcomes of others."""
        slots = self._cache.leases.view.values()
        runs = {slot.pod_uid: slot.holder for slot in slots if slot.pod_uid and slot.holder}
        outcomes = self._cache.outcomes
        for uid in outcomes.keys() - runs.keys():
            del outcomes[uid]
        awaited = {}
        for pod_uid, job_uid in runs.items():
            pod, known = self._cache.pods.view.get(pod_uid), outcomes.get(pod_uid)
            if pod is not None and pod.outcome_key and (known is None or known.job_uid != job_uid):
                awaited[outcome_stream(job_uid)] = pod, job_uid
        self._newest = {name: newest for name, newest in self._newest.items() if name in awaited}
        return awaited

    async def _read(self, awaited: Mapping[str, tuple[RunnerPod, str]]) -> None:
        if not awaited:
            await asyncio.sleep(IDLE_SECONDS)
            return
        positions = {name: self._newest.get(name, FIRST) for name in awaited}
        answer = await self._redis.xread(positions, block=BLOCK_MILLISECONDS)
        for name, entries in read_streams(answer).items():
            pod, job_uid = awaited[name]
            for entry, fields in entries:
                self._newest[name] = entry
                self._accept(fields.get(STREAM_FIELD, ""), pod, job_uid)

    def _accept(self, text: str, pod: RunnerPod, job_uid: str) -> None:
        found = accepted_outcome(text, pod, job_uid)
        if found is None:
            log.warning("ignoring an outcome of job %s that pod %s did not sign or report", job_uid, pod.name)
            return
        self._cache.outcomes[pod.uid] = found
        self._changed()
