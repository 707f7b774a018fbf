"""The positions of waiting jobs in the queue. Pure.

Whether a status still shows the right position is decided by `status/stale_positions.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from darkroom_contract.jobs import Job
from darkroom_operator.scheduling.eta import start_times
from darkroom_operator.scheduling.snapshot import Snapshot

EXACT_POSITIONS = 10
"""The jobs at the head of the queue, whose statuses show their exact position and the job that holds the slot."""


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """The position of a waiting job."""

    job: Job
    index: int
    """0 for the next job."""
    waiting_for: str | None = None
    """`Kind/name` of the job that holds the slot."""
    estimated_start: datetime | None = None
    training: str | None = None
    """`Kind/name` of an unfinished training whose model the job needs."""

    @property
    def is_exact(self) -> bool:
        return self.index < EXACT_POSITIONS


def queue_positions(queued: Sequence[tuple[Job, Job | None]], snapshot: Snapshot) -> list[QueuePosition]:
    """The positions of the `queued_with_trainings`, the next one first."""
    holder = _holder(snapshot)
    starts = start_times([job for job, _ in queued], snapshot)
    return [
        QueuePosition(job, index, holder if index < EXACT_POSITIONS else None, start, _key(training))
        for index, ((job, training), start) in enumerate(zip(queued, starts, strict=True))
    ]


def _key(job: Job | None) -> str | None:
    return None if job is None else job.key


def _holder(snapshot: Snapshot) -> str | None:
    """The `Kind/name` that holds the slot; with several slots, the holder of the first."""
    keys = [slot.holder_key for slot in snapshot.slots.values() if slot.holder]
    return keys[0] if keys else None
