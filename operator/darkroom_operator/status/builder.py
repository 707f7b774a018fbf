"""Builds the next status of a job. Pure; `transitions.py` applies one transition with one builder."""

from datetime import datetime
from typing import Any, Self

from darkroom_contract.jobs import Job
from darkroom_contract.status import ConditionStatus, ConditionType, JobStatus
from darkroom_operator.status.conditions import condition, set_conditions


class StatusBuilder:
    """The present status of a job, with the changes of one transition."""

    def __init__(self, job: Job, now: datetime) -> None:
        self.job = job
        self.now = now
        self._fields: dict[str, Any] = {}
        self._conditions = job.status.conditions

    def set(self, **fields: Any) -> Self:
        self._fields |= fields
        return self

    def set_true(self, kind: ConditionType, reason: str, message: str) -> Self:
        return self.set_condition(kind, ConditionStatus.TRUE, reason, message)

    def set_false(self, kind: ConditionType, reason: str, message: str) -> Self:
        return self.set_condition(kind, ConditionStatus.FALSE, reason, message)

    def set_condition(self, kind: ConditionType, status: ConditionStatus, reason: str, message: str) -> Self:
        new = condition(kind, status, reason, message, self.now, self.job.generation)
        self._conditions = set_conditions(self._conditions, new)
        return self

    def remove_condition(self, kind: ConditionType) -> Self:
        self._conditions = tuple(each for each in self._conditions if each.type != kind)
        return self

    def build(self) -> JobStatus:
        """Every condition observes the present generation: `kubectl wait` ignores one that does not."""
        observed = {"observed_generation": self.job.generation}
        conditions = tuple(each.model_copy(update=observed) for each in self._conditions)
        fixed = {**observed, "admission_order": self.job.order, "conditions": conditions}
        return self.job.status.model_copy(update=fixed | self._fields)
