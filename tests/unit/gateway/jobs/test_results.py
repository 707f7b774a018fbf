"""`GET /result` and `GET /images`: the status from the operator, and working links once a job has succeeded."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from support.waiting import waiter

from darkroom_contract.names import Kind
from darkroom_contract.progress import ProgressEvent, Stage
from darkroom_contract.status import QueueStatus
from darkroom_gateway.jobs.serializers import progress_answer, queue_answer

NOW = "2026-01-02T03:04:05Z"
DATASET = {"uri": "s3://darkroom/datasets/default/x/"}


@pytest.fixture
def training(cluster: Any, job_name: str) -> str:
    cluster.create(Kind.TRAIN, job_name, {"modelId": "dog", "prompt": "sks dog", "dataset": DATASET})
    return job_name


@pytest.fixture
def generation(cluster: Any, job_name: str) -> str:
    cluster.create(Kind.GENERATE, job_name, {"prompt": "a dog"})
    return job_name


def store(bucket: Any, key: str, body: bytes, content_type: str) -> dict[str, Any]:
    """Upload a file as the runner does; returns its artifact in the status."""
    bucket.put_object(Bucket="darkroom", Key=key, Body=body, ContentType=content_type)
    digest = hashlib.sha256(body).hexdigest()
    return {"key": key, "contentType": content_type, "bytes": len(body), "sha256": digest}


def condition(type_: str, reason: str, message: str = "") -> dict[str, Any]:
    return {"type": type_, "status": "True", "reason": reason, "message": message, "lastTransitionTime": NOW}


def test_job_that_the_operator_has_not_seen_is_queued(http: httpx.Client, training: str) -> None:
    answer = http.get("/result", params={"task_id": training}).json()

    assert (answer["phase"], answer["attempts"], answer["files"]) == ("Queued", 0, [])


def test_waiting_job_has_its_queue_position(http: httpx.Client, cluster: Any, training: str) -> None:
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=90)
    queue = {"position": 2, "estimatedStartTime": start.isoformat(), "waitingFor": "TrainJob/other"}
    cluster.set_status(Kind.TRAIN, training, phase="Queued", queue=queue)

    answer = http.get("/result", params={"task_id": training}).json()

    queue = answer["queue"]
    assert (queue["position"], queue["waiting_for"]) == (2, "TrainJob/other")
    assert datetime.fromisoformat(queue["estimated_start"]) == start
    assert 30 < queue["estimated_start_seconds"] <= 90


MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "seconds"),
    [
        (MOMENT + timedelta(seconds=90), 90.0),
        (MOMENT - timedelta(seconds=90), 0.0),
        (MOMENT.replace(tzinfo=None), 0.0),
        (None, None),
    ],
    ids=["to come", "late", "no zone", "unknown"],
)
def test_estimated_start_has_seconds_that_are_never_negative(start: datetime | None, seconds: float | None) -> None:
    queue = queue_answer(QueueStatus(position=0, estimated_start_time=start), MOMENT)

    assert queue.estimated_start_seconds == seconds
    assert (queue.estimated_start is None) is (start is None)


def test_event_with_more_metrics_than_a_status_may_have_is_serialized() -> None:
    metrics = {f"lossOf{number}": 0.5 for number in range(40)}
    event = ProgressEvent(attempt=1, stage=Stage.TRAINING, step=3, total=9, metrics=metrics, time=MOMENT)

    answer = progress_answer(event).model_dump(mode="json", exclude_none=True)

    assert set(answer) == {"stage", "step", "total", "progress_percentage", "metrics", "updated"}
    assert (answer["step"], len(answer["metrics"]), answer["metrics"]["loss_of_7"]) == (3, 40, 0.5)


@pytest.mark.parametrize("start", ["Cold", "Warm"])
def test_starting_job_shows_how_its_run_starts(http: httpx.Client, cluster: Any, training: str, start: str) -> None:
    cluster.set_status(Kind.TRAIN, training, phase="Starting", attempts=1, runStart=start)

    for url in (f"/result?task_id={training}", f"/jobs/{training}"):
        answer = http.get(url).json()
        assert (answer["phase"], answer["run_start"]) == ("Starting", start)


def test_waiting_job_has_no_start(http: httpx.Client, training: str) -> None:
    assert "run_start" not in http.get("/result", params={"task_id": training}).json()


def test_running_job_has_progress(http: httpx.Client, cluster: Any, training: str) -> None:
    progress = {"stage": "Training", "step": 3, "total": 10, "progressPercentage": 30.0, "lastUpdatedTime": NOW}
    progress["metrics"] = {"loss": 0.5, "learningRate": 1e-4}
    cluster.set_status(Kind.TRAIN, training, phase="Running", attempts=1, progress=progress)

    answer = http.get("/result", params={"task_id": training}).json()

    assert (answer["phase"], answer["progress"]["step"], answer["progress"]["total"]) == ("Running", 3, 10)
    assert answer["progress"]["metrics"] == {"loss": 0.5, "learning_rate": 1e-4}


def test_failed_job_has_its_failure(http: httpx.Client, cluster: Any, training: str) -> None:
    failed = condition("Failed", "DatasetInvalid", "1.jpg is no picture.")
    cluster.set_status(Kind.TRAIN, training, phase="Failed", completionTime=NOW, conditions=[failed])

    answer = http.get("/result", params={"task_id": training}).json()

    assert answer["failure"] == {"reason": "DatasetInvalid", "message": "1.jpg is no picture."}
    assert answer["completed"] == NOW


def test_succeeded_training_links_to_its_weights(
    http: httpx.Client, cluster: Any, bucket: Any, training: str, s3_environment: dict[str, str]
) -> None:
    weights = store(bucket, f"runs/{training}/pytorch_lora_weights.safetensors", b"weights", "application/octet-stream")
    kohya = store(bucket, f"runs/{training}/my-dog.safetensors", b"the same", "application/octet-stream")
    cluster.set_status(Kind.TRAIN, training, phase="Succeeded", artifacts=[kohya, weights])

    answer = http.get("/result", params={"task_id": training}).json()

    assert [file["name"] for file in answer["files"]] == ["my-dog.safetensors", "pytorch_lora_weights.safetensors"]
    lora = answer["lora"]
    assert lora["name"] == "pytorch_lora_weights.safetensors"
    assert lora["url"].startswith(s3_environment["DARKROOM_S3_PUBLIC_ENDPOINT_URL"] + "/darkroom/runs/")
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in lora["url"]
    download = httpx.get(lora["url"], trust_env=False)
    assert (download.status_code, download.content) == (200, b"weights")
    assert 'filename="pytorch_lora_weights.safetensors"' in download.headers["content-disposition"]
    assert (lora["bytes"], lora["sha256"]) == (7, weights["sha256"])


def test_modified_link_is_invalid(http: httpx.Client, cluster: Any, bucket: Any, training: str) -> None:
    weights = store(bucket, f"runs/{training}/a.safetensors", b"weights", "application/octet-stream")
    store(bucket, f"runs/{training}/b.safetensors", b"secret", "application/octet-stream")
    cluster.set_status(Kind.TRAIN, training, phase="Succeeded", artifacts=[weights])

    [file] = http.get("/result", params={"task_id": training}).json()["files"]

    assert httpx.get(file["url"].replace("/a.safe", "/b.safe"), trust_env=False).status_code == 403


def test_succeeded_generation_links_to_pictures_and_video(
    http: httpx.Client, cluster: Any, bucket: Any, generation: str
) -> None:
    artifacts = [
        store(bucket, f"runs/{generation}/image-000.png", b"first", "image/png"),
        store(bucket, f"runs/{generation}/image-001.png", b"second", "image/png"),
        store(bucket, f"runs/{generation}/video.mp4", b"clip", "video/mp4"),
        store(bucket, f"runs/{generation}/manifest.json", b"{}", "application/json"),
    ]
    cluster.set_status(Kind.GENERATE, generation, phase="Succeeded", artifacts=artifacts)

    answer = http.get("/images", params={"task_id": generation}).json()

    downloads = [httpx.get(each["url"], trust_env=False) for each in [*answer["images"], answer["video"]]]
    assert [each.content for each in downloads] == [b"first", b"second", b"clip"]
    assert [each.headers["content-type"] for each in downloads] == ["image/png", "image/png", "video/mp4"]
    assert len(answer["files"]) == 3


def test_files_are_not_linked_before_the_job_has_succeeded(
    http: httpx.Client, cluster: Any, bucket: Any, generation: str
) -> None:
    artifact = store(bucket, f"runs/{generation}/image-000.png", b"first", "image/png")
    cluster.set_status(Kind.GENERATE, generation, phase="Running", artifacts=[artifact])

    assert http.get("/images", params={"task_id": generation}).json()["images"] == []


def test_unknown_task_is_404(http: httpx.Client) -> None:
    for path in ("/result", "/images"):
        response = http.get(path, params={"task_id": "nobody-sent-this"})
        assert response.status_code == 404
        assert response.json()["type"].endswith(":UnknownTask")


def test_each_path_returns_only_its_own_kind(http: httpx.Client, training: str) -> None:
    assert http.get("/images", params={"task_id": training}).status_code == 404


def test_remarks_are_in_every_answer(http: httpx.Client, cluster: Any, training: str) -> None:
    remarks = [
        {"reason": "PromptTruncated", "message": "The prompt has 93 tokens; CLIP reads 75."},
        {"reason": "PhotosLeftOut", "message": "Left out IMG_1.raw: no picture."},
    ]
    cluster.create(Kind.GENERATE, f"{training}-images", {"prompt": "a dog"})
    for kind, name in ((Kind.TRAIN, training), (Kind.GENERATE, f"{training}-images")):
        cluster.set_status(kind, name, phase="Succeeded", remarks=remarks)

    for path, name in (("/result", training), ("/images", f"{training}-images")):
        assert http.get(path, params={"task_id": name}).json()["remarks"] == remarks
        assert http.get(f"/jobs/{name}").json()["remarks"] == remarks


def test_run_without_changes_has_no_remarks(http: httpx.Client, generation: str) -> None:
    assert http.get("/images", params={"task_id": generation}).json()["remarks"] == []


def test_links_are_signed_again_for_each_answer(http: httpx.Client, cluster: Any, bucket: Any, training: str) -> None:
    weights = store(bucket, f"runs/{training}/a.safetensors", b"weights", "application/octet-stream")
    cluster.set_status(Kind.TRAIN, training, phase="Succeeded", artifacts=[weights])

    def expires() -> str:
        [file] = http.get("/result", params={"task_id": training}).json()["files"]
        return str(file["expires"])

    first = expires()
    waiter(10)(lambda: expires() > first, "a later link ends later")
