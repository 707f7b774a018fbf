"""How a run ends: exceptions map to reasons, outcomes to termination messages and exit codes; and its settings."""

import errno
from pathlib import Path

import pytest
import torch

from darkroom_contract.outcome import Outcome, OutcomeFile, Reason
from darkroom_runner.errors import DatasetInvalidError, RunError, translate
from darkroom_runner.run.termination import exit_code, write_outcome
from darkroom_runner.settings import Settings, termination_message_path
from darkroom_runner.worker import report


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DatasetInvalidError("dog.jpg is broken"), Reason.DATASET_INVALID),
        (MemoryError(), Reason.OUT_OF_MEMORY),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"), Reason.OUT_OF_MEMORY),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), Reason.OUT_OF_MEMORY),
        (OSError(errno.ENOSPC, "No space left on device"), Reason.DISK_FULL),
        (RuntimeError("I/O error: No space left on device (os error 28)"), Reason.DISK_FULL),
        (KeyError("unforeseen"), Reason.INTERNAL_ERROR),
    ],
    ids=repr,
)
def test_every_exception_has_a_reason(error: Exception, reason: Reason) -> None:
    assert translate(error).reason is reason


def test_every_exception_class_has_its_own_reason() -> None:
    leaves = RunError.__subclasses__()

    assert len({leaf.reason for leaf in leaves}) == len(leaves) == 19


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome(succeeded=True), 0),
        (Outcome(succeeded=False, reason=Reason.DATASET_INVALID), 1),
        (Outcome(succeeded=False, reason=Reason.OUT_OF_MEMORY), 75),
        (Outcome(succeeded=False, reason=Reason.INTERRUPTED), 143),
    ],
)
def test_exit_codes_distinguish_retriable_failures(outcome: Outcome, code: int) -> None:
    assert exit_code(outcome) == code


def test_the_message_is_written_in_place(tmp_path: Path) -> None:
    path = tmp_path / "termination-log"
    path.write_text("x" * 5000)
    inode = path.stat().st_ino

    write_outcome(Outcome(succeeded=True, message="Fine."), path)

    assert Outcome.from_message(path.read_text()) == Outcome(succeeded=True, message="Fine.")
    assert path.stat().st_ino == inode


def test_an_outcome_that_is_too_long_becomes_a_failure_message(tmp_path: Path) -> None:
    files = tuple(
        OutcomeFile(name=f"{number}.png", content_type="image/png", bytes=1, sha256="0" * 64) for number in range(60)
    )
    path = tmp_path / "termination-log"

    assert report(Outcome(succeeded=True, files=files), path) == 75

    written = Outcome.from_message(path.read_text())
    assert written is not None
    assert written.reason is Reason.INTERNAL_ERROR
    assert "does not fit a termination message" in written.message


def test_without_a_termination_file_the_outcome_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_outcome(Outcome(succeeded=True, message="Fine."), tmp_path / "no-such-folder" / "termination-log")

    assert '"message":"Fine."' in caplog.text


@pytest.mark.parametrize("missing", ["DARKROOM_RUN", "DARKROOM_S3_BUCKET"])
def test_a_missing_setting_is_named(missing: str) -> None:
    environment = {"DARKROOM_RUN": "{}", "DARKROOM_S3_BUCKET": "darkroom"}
    del environment[missing]

    with pytest.raises(RunError, match=missing):
        Settings.from_environment(environment)


def test_empty_settings_count_as_unset() -> None:
    empty = {
        "DARKROOM_S3_ENDPOINT_URL": "",
        "DARKROOM_REDIS_URL": "",
        "DARKROOM_MODEL_ROOT": "",
        "DARKROOM_SCRATCH_DIR": "",
    }

    settings = Settings.from_environment({"DARKROOM_RUN": "{}", "DARKROOM_S3_BUCKET": "darkroom", **empty})

    assert (settings.s3_endpoint_url, settings.redis_url, settings.model_root, settings.scratch_dir) == (None,) * 4
    assert termination_message_path({}) == Path("/dev/termination-log")
