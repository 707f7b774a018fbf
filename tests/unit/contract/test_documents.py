"""Documents survive their journey between the parts, and bad ones are refused with words."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from darkroom_contract.jobs import read_job, write_job
from darkroom_contract.names import MAX_JOB_NAME_LENGTH, Kind, pod_name
from darkroom_contract.outcome import MAX_MESSAGE_BYTES, Outcome, OutcomeFile, Reason
from darkroom_contract.remarks import MAX_REMARK_CHARACTERS, MAX_REMARKS, Remark, RemarkReason
from darkroom_contract.runs import RunDocument
from darkroom_contract.specs.cache import Cache, CacheProfile
from darkroom_contract.specs.dataset import Dataset
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.status import Phase
from darkroom_contract.storage.keys import clip_file, grid_file, image_file, model_record_key, parse_uri

PASSES = ("unetPasses", "unetFullPasses", "videoUnetPasses", "videoUnetFullPasses")
METRICS = ("pictures", "secondsPerStep", "videoFrames", "videoSecondsPerStep", "seconds", *PASSES)
"""Of a generation with a clip."""
TRAIN = TrainJobSpec(model_id="star", prompt="a photo of sks star", dataset=Dataset(uri="s3://bucket/photos/"))


def resource(**status: object) -> dict[str, object]:
    document = write_job(TRAIN, name="first", namespace="default")
    document["metadata"] |= {
        "uid": "0f0e0d0c-1111-2222-3333-444455556666",
        "resourceVersion": "7",
        "creationTimestamp": "2026-11-24T10:00:00Z",
    }
    return document | {"status": status}


def test_a_job_is_read_as_it_was_written() -> None:
    job = read_job(resource(phase="Running", attempts=2))
    assert (job.kind, job.key, job.status.phase, job.status.attempts) == (
        Kind.TRAIN,
        "TrainJob/first",
        Phase.RUNNING,
        2,
    )
    assert job.created == datetime(2026, 11, 24, 10, tzinfo=UTC)
    assert job.spec == TRAIN


def test_a_new_job_says_only_what_its_author_said() -> None:
    assert write_job(TRAIN, name="first", namespace="default")["spec"] == {
        "modelId": "star",
        "prompt": "a photo of sks star",
        "dataset": {"uri": "s3://bucket/photos/"},
    }


def test_a_field_of_a_later_release_does_not_hide_a_job() -> None:
    document = resource()
    document["spec"] = {**TRAIN.to_dict(), "fromTheFuture": 1}
    assert read_job(document).spec == TRAIN


@pytest.mark.parametrize("model_id", ["../../etc", "", "a/b", ".hidden", "x" * 64, "a b", "-a", "a\n"])
def test_a_model_id_is_never_a_path(model_id: str) -> None:
    with pytest.raises(ValidationError):
        TrainJobSpec(model_id=model_id, prompt="p", dataset=Dataset(uri="s3://bucket/photos/"))


@pytest.mark.parametrize("base_model", ["/etc", "../x", "a/b/c", "a//b", "-x", "https://host/x"])
def test_a_base_model_is_never_a_path(base_model: str) -> None:
    with pytest.raises(ValidationError):
        GenerateJobSpec(prompt="p", base_model=base_model)


@pytest.mark.parametrize("prompt", ["", "   ", "\n\t", "x" * 1801])
def test_a_blank_or_endless_prompt_is_refused(prompt: str) -> None:
    with pytest.raises(ValidationError):
        GenerateJobSpec(prompt=prompt)


def test_pod_names_are_labels_whatever_the_job_is_called() -> None:
    name = pod_name("x" * MAX_JOB_NAME_LENGTH, "0f0e0d0c-1111-2222-3333-444455556666", 99)
    assert len(name) <= 63
    assert name.endswith("-0f0e0d0c-99")
    assert pod_name("a", "0f0e0d0c-1111", 1) != pod_name("a", "ffffffff-1111", 1)


def test_a_run_document_survives_its_environment_variable() -> None:
    run = RunDocument(
        namespace="default", name="first", uid="u", attempt=1, base_model="sdxl", video_base_model="svd", train=TRAIN
    )
    assert RunDocument.from_json(run.to_json()) == run
    assert run.kind is Kind.TRAIN


@pytest.mark.parametrize("text", ["", "{}", "null", '{"namespace":"d","name":"n","uid":"u","attempt":1}'])
def test_invalid_run_document_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - pydantic's own and ours are both ValueErrors, as documented
        RunDocument.from_json(text)


def test_a_run_document_of_both_kinds_is_refused() -> None:
    both = RunDocument(
        namespace="d",
        name="n",
        uid="u",
        attempt=1,
        base_model="b",
        video_base_model="v",
        train=TRAIN,
        generate=GenerateJobSpec(prompt="p"),
    )
    with pytest.raises(ValueError, match="exactly one"):
        RunDocument.from_json(both.to_json())


def test_the_largest_outcome_fits_a_termination_message() -> None:
    job, seed = "j" * 48, 2**32 - 1
    images = [*(image_file(job, seed - number, ".avif") for number in range(8)), grid_file(job, ".avif")]
    files = tuple(
        OutcomeFile(name=name, content_type=kind, bytes=10**8, sha256="0" * 64)
        for name, kind in [*((name, "image/avif") for name in images), (clip_file(job), "video/mp4")]
    )
    metrics = dict.fromkeys(METRICS, 1234.12345678901234567)
    outcome = Outcome(succeeded=True, message="x" * 5000, prefix="runs/" + "u" * 36 + "/", files=files, metrics=metrics)
    message = outcome.to_message()
    assert len(message.encode()) <= MAX_MESSAGE_BYTES
    read = Outcome.from_message(message)
    assert read is not None
    assert read.artifacts[0].key == f"runs/{'u' * 36}/{images[0]}"


@pytest.mark.parametrize("count", [1, MAX_REMARKS, MAX_REMARKS + 1, 100])
@pytest.mark.parametrize("text", ["a photo was left out", "é" * MAX_REMARK_CHARACTERS])
def test_remarks_that_do_not_fit_a_termination_message_are_counted(count: int, text: str) -> None:
    files = tuple(
        OutcomeFile(name=f"image-{i:02d}.png", content_type="image/png", bytes=10**8, sha256="0" * 64) for i in range(9)
    )
    remarks = tuple(Remark(reason=RemarkReason.PHOTOS_LEFT_OUT, message=text) for _ in range(count))
    outcome = Outcome(succeeded=True, prefix="runs/" + "u" * 36 + "/", files=files, remarks=remarks)
    read = Outcome.from_message(outcome.to_message())
    assert read is not None
    assert len(read.files) == 9
    assert 1 <= len(read.remarks) <= MAX_REMARKS
    if len(read.remarks) == count:
        assert read.remarks == remarks
    else:
        left_out = count - len(read.remarks) + 1
        assert read.remarks[-1].reason == RemarkReason.REMARKS_LEFT_OUT
        assert read.remarks[-1].message == f"{left_out} more remarks are in the run's log."


@pytest.mark.parametrize("message", ["", "Killed", "{", '{"reason":"OutOfMemory"}'])
def test_an_invalid_outcome_message_is_none(message: str) -> None:
    assert Outcome.from_message(message) is None


def test_invalid_input_is_final_and_outages_are_retried() -> None:
    assert not Reason.DATASET_INVALID.retriable
    assert not Reason.MODEL_NOT_FOUND.retriable
    assert Reason.OUT_OF_MEMORY.retriable
    assert Reason.STORAGE_UNAVAILABLE.retriable
    assert Reason.POD_LOST.retriable


def test_an_interval_overrides_its_profile() -> None:
    assert Cache().effective_interval == 3
    assert Cache(profile=CacheProfile.DISABLED).effective_interval == 1
    assert Cache(profile=CacheProfile.FAST, interval=2).effective_interval == 2


@pytest.mark.parametrize("uri", ["s3://bucket/a/b", "s3://bucket/a/b/", "s3://bucket/a/b//"])
def test_a_dataset_uri_means_one_folder(uri: str) -> None:
    assert parse_uri(uri) == ("bucket", "a/b/")


def test_models_of_two_namespaces_do_not_meet() -> None:
    assert model_record_key("a", "star") != model_record_key("b", "star")


def test_metrics_that_json_can_t_hold_are_left_out() -> None:
    outcome = Outcome(succeeded=True, metrics={"loss": float("nan"), "peak": float("inf"), "seconds": 3.0})
    assert Outcome.from_message(outcome.to_message()) == outcome
    assert outcome.metrics == {"seconds": 3.0}


@pytest.mark.parametrize(
    "text", ["\x01" * 2000, "写" * 2000, "x\udc80" * 900, '"\\' * 2000, "\U0001f600" * 2000, "\n\t" * 999]
)
def test_an_outcome_with_any_text_can_be_written(text: str) -> None:
    remarks = tuple(Remark(reason=RemarkReason.PHOTOS_LEFT_OUT, message=text[:400]) for _ in range(16))

    message = Outcome(succeeded=False, reason=Reason.INVALID_RUN, message=text, remarks=remarks).to_message()

    assert len(message.encode()) <= MAX_MESSAGE_BYTES
    read = Outcome.from_message(message)
    assert read is not None
    assert read.message.isprintable()
    assert len(read.message) > 290
    assert read.remarks[-1].reason == RemarkReason.REMARKS_LEFT_OUT


def test_a_reason_of_a_newer_runner_keeps_its_message() -> None:
    read = Outcome.from_message('{"succeeded": false, "reason": "SomethingNewer", "message": "Do this."}')

    assert read is not None
    assert (read.reason, read.message) == (Reason.INTERNAL_ERROR, "Do this.")
