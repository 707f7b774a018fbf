"""How a condition is set among others."""

from datetime import timedelta

from support.operator_snapshots import NOW

from darkroom_contract.status import Condition, ConditionStatus, ConditionType, JobStatus
from darkroom_operator.status.conditions import MAX_MESSAGE, condition, find, set_conditions

LATER = NOW + timedelta(minutes=1)
TRUE, FALSE = ConditionStatus.TRUE, ConditionStatus.FALSE


def ready(status: ConditionStatus, reason: str = "Starting", at_later: bool = False) -> Condition:
    return condition(ConditionType.POD_READY, status, reason, "message", LATER if at_later else NOW, 1)


def test_a_condition_replaces_the_one_of_its_type_and_keeps_the_others() -> None:
    admitted = condition(ConditionType.ADMITTED, TRUE, "SlotAcquired", "", NOW, 1)
    after = set_conditions((admitted, ready(FALSE)), ready(TRUE, "Running"))
    assert [(each.type, each.reason) for each in after] == [("Admitted", "SlotAcquired"), ("PodReady", "Running")]


def test_the_transition_time_is_kept_while_the_status_is_the_same() -> None:
    [after] = set_conditions((ready(FALSE),), ready(FALSE, "Other", at_later=True))
    assert (after.reason, after.last_transition_time) == ("Other", NOW)


def test_the_transition_time_changes_with_the_status() -> None:
    [after] = set_conditions((ready(FALSE),), ready(TRUE, at_later=True))
    assert after.last_transition_time == LATER


def test_a_message_is_truncated_to_the_limit_of_the_schema() -> None:
    assert len(condition(ConditionType.FAILED, TRUE, "X", "m" * 5000, NOW, 1).message) == MAX_MESSAGE


def test_find_returns_the_condition_of_a_type_or_none() -> None:
    assert find(JobStatus(), ConditionType.COMPLETE) is None
    assert find(JobStatus(conditions=(ready(TRUE),)), ConditionType.POD_READY) == ready(TRUE)
