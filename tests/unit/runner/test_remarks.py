"""Remarks of a run: each once, in the log whole and in the outcome short enough for a status."""

import logging

import pytest

from darkroom_contract.remarks import MAX_REMARK_CHARACTERS, RemarkReason
from darkroom_runner.remarks import Remarks


def test_a_remark_is_logged_once_and_kept_once(caplog: pytest.LogCaptureFixture) -> None:
    remarks = Remarks()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            remarks.add(RemarkReason.PHOTOS_UPSCALED, "Two photos are small.")
    assert [(each.reason, each.message) for each in remarks.found] == [("PhotosUpscaled", "Two photos are small.")]
    assert [record.getMessage() for record in caplog.records] == ["PhotosUpscaled: Two photos are small."]


def test_a_long_remark_is_whole_in_the_log_and_cut_in_the_outcome(caplog: pytest.LogCaptureFixture) -> None:
    remarks = Remarks()
    remarks.add(RemarkReason.PROMPT_TRUNCATED, "x" * 1000)
    [found] = remarks.found
    assert len(found.message) == MAX_REMARK_CHARACTERS
    assert found.message.endswith("…")
    assert "x" * 1000 in caplog.text
