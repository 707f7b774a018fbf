"""Conditions of a job: find one, set one among others. Pure; used by `builder.py`."""

from datetime import datetime

from darkroom_contract.status import Condition, ConditionStatus, ConditionType, JobStatus

Conditions = tuple[Condition, ...]

MAX_MESSAGE = 2000


def find(status: JobStatus, kind: ConditionType) -> Condition | None:
    return next((each for each in status.conditions if each.type == kind), None)


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


def set_conditions(conditions: Conditions, *new: Condition) -> Conditions:
    """Replace the conditions of the same types. The transition time is kept if the status has not changed."""
    kept = {each.type: each for each in conditions}
    for each in new:
        before = kept.get(each.type)
        if before is not None and before.status == each.status:
            each = each.model_copy(update={"last_transition_time": before.last_transition_time})
        kept[each.type] = each
    return tuple(kept.values())
