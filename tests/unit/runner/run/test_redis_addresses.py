"""The log of a run, which everybody may read, repeats nothing of a Redis password that is not percent-encoded."""

import pytest

from darkroom_contract.handover import SignedOutcome
from darkroom_contract.outcome import Outcome
from darkroom_runner.run.outcome_stream import OutcomeStream
from darkroom_runner.run.progress_events import RedisSender

ADDRESS = "redis://:secret/word@redis:6379/0"


def test_sender_of_progress(caplog: pytest.LogCaptureFixture) -> None:
    RedisSender(ADDRESS, "stream").close()

    assert "the Redis URL is invalid" in caplog.text
    assert "secret" not in caplog.text


def test_sender_of_outcomes(caplog: pytest.LogCaptureFixture) -> None:
    OutcomeStream(ADDRESS).publish(SignedOutcome(job_uid="uid", attempt=1, outcome=Outcome(succeeded=True)))

    assert "the Redis URL is invalid" in caplog.text
    assert "secret" not in caplog.text
