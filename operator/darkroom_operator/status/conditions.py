"""Conditions of a job: how one is set. Pure; used by `transitions.py`."""

from datetime import datetime

from darkroom_contract.status import Condition, ConditionStatus, ConditionType, JobStatus

Conditions = tuple[Condition, ...]

MAX_MESSAGE = 2000


def find(status: JobStatus, kind: ConditionType) -> Condition | None:
    return next((each for each in status.conditions if each.type == kind), None)


def is_true(status: JobStatus, kind: ConditionType) -> bool:
    found = find(status, kind)
    return found is not None and found.status is ConditionStatus.TRUE


def condition(
    kind: ConditionType, status: ConditionStatus, reason: str, message: str, now: datetime, generation: int
) -> Condition:
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message[:MAX_MESSAGE],
        last_transition_time=now.replace(microsecond=0),
        observed_generation=generation,
    )


def put(conditions: Conditions, *new: Condition) -> Conditions:
    """The conditions with new ones in place of those of the same type; the transition time is kept while the status is
    the same."""
    kept = {each.type: each for each in conditions}
    for each in new:
        before = kept.get(each.type)
        if before is not None and before.status == each.status:
            each = each.model_copy(update={"last_transition_time": before.last_transition_time})
        kept[each.type] = each
    return tuple(kept.values())
