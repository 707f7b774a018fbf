"""Remarks: no duplicates, complete in the log, and short enough for the job's status in the outcome."""

import logging

import pytest

from darkroom_contract.remarks import MAX_REMARK_CHARACTERS, RemarkReason
from darkroom_runner.run.remarks import Remarks


def test_duplicate_remarks_are_dropped(caplog: pytest.LogCaptureFixture) -> None:
    remarks = Remarks()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            remarks.add(RemarkReason.PHOTOS_UPSCALED, "Two photos are small.")
    assert [(each.reason, each.message) for each in remarks.collected] == [("PhotosUpscaled", "Two photos are small.")]
    assert [record.getMessage() for record in caplog.records] == ["PhotosUpscaled: Two photos are small."]


def test_a_long_remark_is_complete_in_the_log_and_cut_in_the_outcome(caplog: pytest.LogCaptureFixture) -> None:
    remarks = Remarks()
    remarks.add(RemarkReason.PROMPT_TRUNCATED, "x" * 1000)
    [remark] = remarks.collected
    assert len(remark.message) == MAX_REMARK_CHARACTERS
    assert remark.message.endswith("…")
    assert "x" * 1000 in caplog.text
