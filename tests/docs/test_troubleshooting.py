"""docs/operations/troubleshooting.md has an entry for every reason of the code, and no others."""

import ast
import re
from pathlib import Path

import pytest
from support.markdown import OPERATIONS, REPOSITORY, read

from darkroom_contract.names import Kind
from darkroom_contract.outcome import Reason
from darkroom_contract.reasons import ConditionReason
from darkroom_contract.status import ConditionStatus, ConditionType, Phase

PAGE = read(OPERATIONS / "troubleshooting.md")
OPERATOR = REPOSITORY / "operator" / "darkroom_operator"
WORDING = (
    "status/transitions.py",
    "status/waiting.py",
    "status/pod_condition.py",
    "reconcile/stops.py",
    "reconcile/plan_slot.py",
    "reconcile/executor.py",
)
"""The operator's files with reasons of conditions."""
DELETED = "Deleted"
"""Why plan_slot.py stops the run of a deleted job: there is no status left to write it into."""


def entries(heading: str) -> dict[str, str]:
    """The entries of a section, by reason."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^### |\Z)", section, re.MULTILINE | re.DOTALL))


def words_of(path: Path) -> set[str]:
    """Every CamelCase string of a file: a possible reason."""
    found = (node.value for node in ast.walk(ast.parse(read(path))) if isinstance(node, ast.Constant))
    return {word for word in found if isinstance(word, str) and re.fullmatch(r"[A-Z][a-z]+(?:[A-Z][a-z]+)*", word)}


def test_every_state_of_a_job_has_an_entry() -> None:
    assert set(entries("The state of a job")) == set(ConditionReason)


def test_every_failure_has_an_entry() -> None:
    assert set(entries("Why a run or a job failed")) == set(Reason)


@pytest.mark.parametrize("heading", ["The state of a job", "Why a run or a job failed"])
def test_every_entry_has_symptom_cause_and_action(heading: str) -> None:
    for reason, text in entries(heading).items():
        seen, why, do = (text.find(mark) for mark in ("*You see*", "*Why:*", "*Do*"))
        assert 0 <= seen < why < do, reason


def test_operator_uses_only_reasons_of_the_contract() -> None:
    given = {word for name in WORDING for word in words_of(OPERATOR / name)}
    other = {*Phase, *ConditionType, *ConditionStatus, *Kind, DELETED}
    assert sorted(given - set(ConditionReason) - set(Reason) - other) == []


def test_operator_uses_every_reason_of_the_contract() -> None:
    given = {word for path in OPERATOR.rglob("*.py") for word in words_of(path)}
    assert sorted(set(ConditionReason) - given) == []
