"""Signed outcomes of warm runners: what a signature covers, and that nothing else is accepted."""

import json
from typing import Any

import pytest

from darkroom_contract import environment
from darkroom_contract.handover import SignedOutcome, outcome_stream, run_key
from darkroom_contract.outcome import Outcome, OutcomeFile

KEY, OTHER_KEY = "0f" * 32, "f0" * 32
FILE = OutcomeFile(name="image-1.png", content_type="image/png", bytes=3, sha256="0" * 64)
OUTCOME = Outcome(succeeded=True, prefix="runs/u/", files=(FILE,), metrics={"seconds": 0.1 + 0.2}, message="Café “3”")
SIGNED = SignedOutcome.sign("u", 2, OUTCOME, KEY)


def changed(**fields: Any) -> str:
    return json.dumps({**json.loads(SIGNED.to_json()), **fields})


def test_signed_outcome_survives_the_stream() -> None:
    read = SignedOutcome.verify(SIGNED.to_json(), KEY)

    assert read == SIGNED
    assert read.idle
    assert (read.job_uid, read.attempt, read.outcome) == ("u", 2, OUTCOME)


def test_order_and_spaces_of_the_json_do_not_matter() -> None:
    document = json.loads(SIGNED.to_json())
    shuffled = json.dumps(dict(reversed(document.items())), indent=2, ensure_ascii=False)

    assert SignedOutcome.verify(shuffled, KEY) == SIGNED


@pytest.mark.parametrize(
    "text",
    [
        changed(jobUid="v"),
        changed(attempt=3),
        changed(idle=False),
        changed(outcome={"succeeded": True}),
        changed(signature=""),
        changed(signature="é" * 64),
        changed(signature=None),
        changed(signature=SIGNED.signature[:-1]),
        changed(added=1),
        "{}",
        "[]",
        "null",
        "no JSON",
        "[" * 100_000,
    ],
)
def test_changed_document_is_not_accepted(text: str) -> None:
    assert SignedOutcome.verify(text, KEY) is None


@pytest.mark.parametrize("depth", range(900, 1000, 9))
def test_deep_document_is_not_accepted(depth: int) -> None:
    """At some depths Python reads what it can't write."""
    text = '{"signature": "x", "a": ' + "[" * depth + '{"a": 1, "b": 2}' + "]" * depth + "}"
    assert SignedOutcome.verify(text, KEY) is None


def test_signature_by_another_pod_is_not_accepted() -> None:
    assert SignedOutcome.verify(SIGNED.to_json(), OTHER_KEY) is None


class NewerOutcome(SignedOutcome):
    """Of a release with one more field."""

    device: str = "cuda"


def test_field_of_a_newer_release_is_covered_and_ignored() -> None:
    newer = NewerOutcome.sign("u", 2, OUTCOME, KEY)
    read = SignedOutcome.verify(newer.to_json(), KEY)
    assert read is not None
    assert (read.job_uid, read.attempt, read.outcome) == ("u", 2, OUTCOME)

    removed = {name: value for name, value in newer.to_dict().items() if name != "device"}
    assert SignedOutcome.verify(json.dumps(removed), KEY) is None


@pytest.mark.parametrize("key", ["", "0f" * 31, "no hexadecimal digits at all" * 4])
def test_weak_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"key|hexadecimal"):
        SignedOutcome.sign("u", 1, OUTCOME, key)
    with pytest.raises(ValueError, match=r"key|hexadecimal"):
        SignedOutcome.verify(SIGNED.to_json(), key)


def test_names_of_streams_runs_and_variables() -> None:
    assert outcome_stream("u") == "darkroom:outcome:u"
    assert run_key("u", 2) == "u/2"
    variables = (environment.WARM_SECONDS, environment.MAX_RUNS, environment.OUTCOME_KEY, environment.HANDOVER_DIR)
    assert variables == (
        "DARKROOM_WARM_SECONDS",
        "DARKROOM_MAX_RUNS",
        "DARKROOM_OUTCOME_KEY",
        "DARKROOM_HANDOVER_DIR",
    )


def test_termination_message_names_its_run() -> None:
    outcome = Outcome(succeeded=True, job_uid="u", attempt=2)
    assert Outcome.from_message(outcome.to_message()) == outcome
