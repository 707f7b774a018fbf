"""The outcome of a training with every output fits into a termination message, with the longest names."""

from darkroom_contract.outcome import MAX_MESSAGE_BYTES, Outcome, OutcomeFile
from darkroom_contract.remarks import Remark, RemarkReason
from darkroom_contract.storage.keys import LORA_FILE, kohya_file, run_prefix, samples_sheet_file, validation_file

UID = "01234567-89ab-cdef-0123-456789abcdef"
METRICS = ("finalLoss", "resumedFromStep", "secondsPerStep", "heldOutLoss", "bestHeldOutLoss", "bestStep", "seconds")


def test_nine_validation_images_the_sheet_and_both_loras_fit() -> None:
    job, model_id = "j" * 48, "m" * 63
    images = [*(validation_file(job, prompt) for prompt in range(9)), samples_sheet_file(job)]
    files = [
        *(OutcomeFile(name=name, content_type="image/png", bytes=10**8, sha256="a" * 64) for name in images),
        *(
            OutcomeFile(name=name, content_type="application/octet-stream", bytes=10**10, sha256="b" * 64)
            for name in (LORA_FILE, kohya_file(model_id))
        ),
    ]
    remarks = tuple(Remark(reason=RemarkReason.SAMPLES_LEFT_OUT, message="x" * 400) for _ in range(16))
    metrics = dict.fromkeys(METRICS, 0.12345678901234567)

    outcome = Outcome(succeeded=True, prefix=run_prefix(UID), files=tuple(files), metrics=metrics, remarks=remarks)
    message = outcome.to_message()

    assert len(message.encode()) <= MAX_MESSAGE_BYTES
    read = Outcome.from_message(message)
    assert read is not None
    assert read.files == outcome.files
    assert read.remarks[-1].reason == RemarkReason.REMARKS_LEFT_OUT
