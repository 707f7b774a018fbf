"""Where waiting jobs stand, and which of them are to be told anew. Pure; used by `chores.py`.

With every hand-over of a slot each waiting job moves up by one. Told at once, ten thousand of them would cost ten
thousand requests a hand-over. So the first few are kept exact, and the others within a quarter of the truth; and
whoever is told the worst comes first, since there may be no time for all (`allowance.py`).
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from darkroom_contract.jobs import Job
from darkroom_contract.reasons import ConditionReason
from darkroom_contract.status import ConditionType, Phase, QueueStatus
from darkroom_operator.kube.objects import aware
from darkroom_operator.scheduling.admission import awaited_training, queue
from darkroom_operator.scheduling.eta import start_times
from darkroom_operator.scheduling.snapshot import Snapshot
from darkroom_operator.status.conditions import find

EXACT_POSITIONS = 10
"""So many at the head of the queue are told their exact place, and who holds the slot."""
TOLERANCE = 0.25
"""Of a place, or of the time until a start: what a job was told may be wrong by so much."""
TOLERATED_SECONDS = 10.0
"""An estimated start that is wrong by less is left as it is."""
FAR_OFF = 1.0
"""The drift of something that is missing, or should be."""


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """Where a waiting job stands."""

    job: Job
    position: int
    waiting_for: str | None = None
    start: datetime | None = None
    training: str | None = None
    """`Kind/name` of an unfinished training whose model the job waits for."""

    @property
    def is_exact(self) -> bool:
        return self.position < EXACT_POSITIONS


def queue_positions(snapshot: Snapshot) -> list[QueuePosition]:
    """All that stand in the queue, the next one first."""
    line, holder = queue(snapshot), _holder(snapshot)
    return [
        QueuePosition(
            job, position, holder if position < EXACT_POSITIONS else None, start, _training_key(job, snapshot)
        )
        for position, (job, start) in enumerate(zip(line, start_times(line, snapshot), strict=True))
    ]


def _training_key(job: Job, snapshot: Snapshot) -> str | None:
    training = awaited_training(job, snapshot)
    return None if training is None else training.key


def _holder(snapshot: Snapshot) -> str | None:
    """Who the queue waits for, by `Kind/name`; with several slots, the holder of the first."""
    keys = [slot.holder_key for slot in snapshot.slots.values() if slot.holder]
    return keys[0] if keys else None


def has_position(job: Job) -> bool:
    """Whether a job of the queue knows that it is in it, as its spec is now; if perhaps not where."""
    status = job.status
    return status.phase is Phase.QUEUED and status.queue is not None and status.observed_generation == job.generation


def stale_positions(told: Sequence[QueuePosition], now: datetime, most: int) -> list[QueuePosition]:
    """Those of them whose status is no longer true enough: at most so many, the worst first."""
    drifts = ((drift(place, now), -place.position, place) for place in told)
    worst = heapq.nlargest(most, (each for each in drifts if each[0] >= FAR_OFF))
    return [place for _, _, place in worst]


def drift(place: QueuePosition, now: datetime) -> float:
    """How wrong what the job was told is, in units of what is tolerated: it is to be told anew from 1 on."""
    told = place.job.status.queue or QueueStatus(position=None)
    if told.waiting_for != place.waiting_for or told.position is None or _is_wrong_about_training(place):
        return FAR_OFF
    tolerated = 1.0 if place.is_exact else max(1.0, TOLERANCE * place.position)
    return max(abs(told.position - place.position) / tolerated, _drift_of_start(told.estimated_start_time, place, now))


def _is_wrong_about_training(place: QueuePosition) -> bool:
    """Whether the job says that it waits for a training that it does not wait for, or the other way round."""
    admitted = find(place.job.status, ConditionType.ADMITTED)
    says_so = admitted is not None and admitted.reason == ConditionReason.WAITING_FOR_MODEL
    if admitted is None or place.training is None:
        return says_so
    return not says_so or f"{place.training}, which" not in admitted.message  # Not t of t2.


def _drift_of_start(told: datetime | None, place: QueuePosition, now: datetime) -> float:
    if told is None or place.start is None:
        return 0.0 if told == place.start else FAR_OFF
    tolerated = max(TOLERATED_SECONDS, TOLERANCE * (place.start - now).total_seconds())
    return abs((place.start - aware(told)).total_seconds()) / tolerated
