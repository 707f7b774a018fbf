"""Which waiting jobs have a status with an outdated queue position. Pure.

With every hand-over of a slot each waiting job moves up by one. Updating all statuses at once would cost ten thousand
requests a hand-over with ten thousand jobs. So only the head of the queue is kept exact, other positions may be off by
a quarter, and the most outdated ones are updated first, as far as the rate limit allows.
"""

import heapq
from collections.abc import Sequence
from datetime import datetime

from darkroom_contract.jobs import Job
from darkroom_contract.reasons import ConditionReason
from darkroom_contract.status import ConditionType, Phase, QueueStatus
from darkroom_operator.kube.objects import aware
from darkroom_operator.scheduling.queue_position import QueuePosition
from darkroom_operator.status.conditions import find

TOLERANCE = 0.25
"""The share by which a position, or the time until a start, may be off."""
TOLERATED_SECONDS = 10.0
"""An estimated start that is off by less than this is not updated."""
STALE = 1.0
"""The drift from which on a status is updated, and that of a value which is missing or should be."""


def has_position(job: Job) -> bool:
    """Whether the status shows any position, and has observed the current spec."""
    status = job.status
    return status.phase is Phase.QUEUED and status.queue is not None and status.observed_generation == job.generation


def stale_positions(positions: Sequence[QueuePosition], now: datetime, limit: int) -> list[QueuePosition]:
    """Those whose statuses have drifted too far: at most `limit`, the most outdated first."""
    drifts = ((drift(position, now), -position.index, position) for position in positions)
    most_outdated = heapq.nlargest(limit, (each for each in drifts if each[0] >= STALE))
    return [position for _, _, position in most_outdated]


def drift(position: QueuePosition, now: datetime) -> float:
    """How far the status is off, in units of the tolerance: it is stale from 1 on."""
    shown = position.job.status.queue or QueueStatus(position=None)
    if shown.waiting_for != position.waiting_for or shown.position is None or _shows_wrong_training(position):
        return STALE
    tolerated = 1.0 if position.is_exact else max(1.0, TOLERANCE * position.index)
    start_drift = _start_drift(shown.estimated_start_time, position.estimated_start, now)
    return max(abs(shown.position - position.index) / tolerated, start_drift)


def _shows_wrong_training(position: QueuePosition) -> bool:
    """Whether the condition names a training that the job does not wait for, or fails to name the one that it does."""
    admitted = find(position.job.status, ConditionType.ADMITTED)
    shows_any = admitted is not None and admitted.reason == ConditionReason.WAITING_FOR_MODEL
    if admitted is None or position.training is None:
        return shows_any
    return not shows_any or f"{position.training}, which" not in admitted.message  # Not t of t2.


def _start_drift(shown: datetime | None, actual: datetime | None, now: datetime) -> float:
    if shown is None or actual is None:
        return 0.0 if shown == actual else STALE
    tolerated = max(TOLERATED_SECONDS, TOLERANCE * (actual - now).total_seconds())
    return abs((actual - aware(shown)).total_seconds()) / tolerated
