"""The reference that is committed is the one that the contract makes, and leaves nothing out."""

from pathlib import Path

from darkroom_contract import names
from darkroom_contract.crd.bounds import bounds_text, default_text
from darkroom_contract.crd.reference import ANNOTATIONS, FINALIZERS, LABELS, page
from darkroom_contract.outcome import Reason
from darkroom_contract.reasons import CONDITIONS, FAILURES, STATES, ConditionReason
from darkroom_contract.status import ConditionType

REFERENCE = Path(__file__).parents[3] / "docs" / "reference.md"


def test_the_committed_page_matches_the_contract() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == page(), "run `make generate` and commit docs/reference.md"


def test_every_reason_has_its_advice_in_whole_sentences() -> None:
    assert set(STATES) == set(ConditionReason)
    assert set(FAILURES) == set(Reason)
    for advice in (*STATES.values(), *FAILURES.values()):
        assert advice.meaning.endswith(".")
        assert advice.action.endswith(".")


def test_every_state_is_the_reason_of_a_condition() -> None:
    used = {reason for _, by_status in CONDITIONS.values() for reasons in by_status.values() for reason in reasons}
    assert used == set(ConditionReason)
    assert set(CONDITIONS) == set(ConditionType)


def test_reasons_are_unique() -> None:
    assert set(ConditionReason).isdisjoint(set(Reason))


def test_every_label_of_the_contract_is_documented() -> None:
    labels = {value for name, value in vars(names).items() if name.startswith("LABEL_")}
    annotations = {value for name, value in vars(names).items() if name.startswith("ANNOTATION_")}
    assert labels <= set(LABELS)
    assert annotations == set(ANNOTATIONS)
    assert {value for name, value in vars(names).items() if name.startswith("FINALIZER_")} == set(FINALIZERS)


def test_defaults_and_bounds_are_described() -> None:
    assert default_text({"default": False}) == "false"
    assert default_text({"default": 0.0001}) == "0.0001"
    assert default_text({"default": ""}) == "empty"
    assert default_text({"default": {}}) == ""
    assert default_text({}) == ""
    assert bounds_text({"minimum": 0, "maximum": 2**32 - 1}) == "0 to 4294967295"
    assert bounds_text({"minimum": 1e-8, "maximum": 1.0}) == "1e-08 to 1"
    assert bounds_text({"minimum": 64, "maximum": 2048, "multipleOf": 8}) == "64 to 2048, in multiples of 8"
    assert bounds_text({"minimum": 0}) == "0 or more"
    assert bounds_text({"maxLength": 63}) == "at most 63 characters"
    assert bounds_text({"enum": ["a", "b"]}) == "a, b"
