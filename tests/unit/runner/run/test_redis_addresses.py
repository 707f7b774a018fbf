"""The log of a run, which everybody may read, repeats nothing of a Redis password that is not percent-encoded."""

import pytest

from darkroom_contract.handover import SignedOutcome
from darkroom_contract.outcome import Outcome
from darkroom_runner.run.outcome_stream import OutcomeStream
from darkroom_runner.run.progress_events import RedisSender

ADDRESSES = pytest.mark.parametrize(
    "address", [f"redis://:{word}@redis:6379/0" for word in ("secret/word", "2024/secret")]
)


@ADDRESSES
def test_sender_of_progress(address: str, caplog: pytest.LogCaptureFixture) -> None:
    RedisSender(address, "stream").close()

    assert "the Redis URL is invalid" in caplog.text
    assert "secret" not in caplog.text
    assert "2024" not in caplog.text


@ADDRESSES
def test_sender_of_outcomes(address: str, caplog: pytest.LogCaptureFixture) -> None:
    OutcomeStream(address).publish(SignedOutcome(job_uid="uid", attempt=1, outcome=Outcome(succeeded=True)))

    assert "the Redis URL is invalid" in caplog.text
    assert "secret" not in caplog.text
    assert "2024" not in caplog.text
