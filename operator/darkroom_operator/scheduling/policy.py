"""The order of the queue. One policy object decides it for admission, queue positions and estimated start times alike.

`queue.py` computes the keys and sorts by them; everything else asks the queue. To change the order, add a class with a
`key`, a line in `POLICIES` and its name in `settings.QueuePolicyName`; `DARKROOM_QUEUE_POLICY` chooses it.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_operator.settings import QueuePolicyName

Key = tuple[Any, ...]
"""Keys of one policy are comparable with each other. The job with the least key is next."""


class QueuePolicy(Protocol):
    """Sorts the unfinished jobs.

    The queue stores the key of a job: it calls `key` when the job is added or has changed, and for all jobs at once
    when it refreshes. Between refreshes all stored keys are of the same `now`, so the order is consistent even if the
    policy depends on time, or on state of its own such as the usage of each API key.
    """

    @property
    def refresh_seconds(self) -> float | None:
        """After this time all keys are computed again, which costs a call of `key` for each waiting job. None if a key
        depends on nothing but the job."""

    def key(self, job: Job, now: datetime) -> Key:
        """The sort key. Jobs with equal keys are ordered by uid. `now` may be before the job's creation."""


class PriorityThenAge:
    """Higher `spec.priority` first, then the older job.

    Creation timestamps have whole seconds. Within one second a training precedes a generation, which may need its
    model; then the order in which the API server stored the jobs decides (resource versions grow: KEP 5504).
    """

    refresh_seconds = None

    def key(self, job: Job, now: datetime) -> Key:
        return -job.spec.priority, job.created, job.kind is not Kind.TRAIN, job.order


POLICIES: Mapping[QueuePolicyName, Callable[[], QueuePolicy]] = {QueuePolicyName.PRIORITY_THEN_AGE: PriorityThenAge}
