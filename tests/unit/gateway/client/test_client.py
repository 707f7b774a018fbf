"""The Python client against a real gateway, sync and async."""

import hashlib
import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.event_streams import StreamedJob
from support.running_gateway import Gateway, SecuredGateway

from darkroom_client import AsyncDarkroom, Darkroom, JobChanged, JobDeleted, Kind, ProgressReported, Status, errors
from darkroom_contract.names import Kind as ClusterKind


def names(stored_keys: Callable[[str], list[str]], uri: str) -> list[str]:
    """The files of a dataset, by their extensions."""
    keys = stored_keys(uri.removeprefix("s3://darkroom/"))
    return sorted(key.rpartition("/")[2].partition(".")[2] for key in keys)


def test_training_on_a_folder_has_photos_captions_and_masks(
    darkroom: Darkroom, cluster: Any, stored_keys: Any, photos: Path
) -> None:
    sent: list[int] = []
    job = darkroom.train(
        photos,
        model_id="client-dog",
        prompt="a photo of sks dog",
        max_steps=7,
        training={"rank": 4, "maskedLoss": {}},
        on_upload=sent.append,
    )
    spec = cluster.get(ClusterKind.TRAIN, job.id)["spec"]
    assert (job.kind, job.status, job.model_id) == (Kind.TRAIN, Status.QUEUED, "client-dog")
    assert (spec["maxSteps"], spec["training"]["rank"]) == (7, 4)
    assert names(stored_keys, spec["dataset"]["uri"]) == ["jpg", "jpg", "mask.png", "txt"]
    assert sum(sent) == sum(each.stat().st_size for each in photos.iterdir())


async def test_async_submission_is_the_same_job_when_it_is_repeated(gateway: Gateway, photos: Path) -> None:
    async with AsyncDarkroom(str(gateway.http.base_url)) as darkroom:
        parameters: dict[str, Any] = {"model_id": "client-cat", "prompt": "a cat", "idempotency_key": "client-key-1"}
        parameters["training"] = {"maskedLoss": {}}
        first = await darkroom.train(photos, **parameters)
        again = await darkroom.train(photos, **parameters)
        assert first.id == again.id
        with pytest.raises(errors.InvalidRequestError) as caught:
            await darkroom.train(photos, **parameters | {"prompt": "another cat"})
    assert caught.value.reason == "KeyReused"


def test_refusal_names_the_field(darkroom: Darkroom) -> None:
    with pytest.raises(errors.InvalidRequestError) as caught:
        darkroom.generate("a dog", images={"count": 4000})
    assert [each.parameter for each in caught.value.errors] == ["images.count"]
    with pytest.raises(errors.NotFoundError, match="no-such-model"):
        darkroom.generate("a dog", model_id="no-such-model")


def test_generation_from_a_picture(
    darkroom: Darkroom, cluster: Any, picture: Callable[..., bytes], tmp_path: Path
) -> None:
    start = tmp_path / "start.png"
    start.write_bytes(picture(512, 512, "PNG"))
    job = darkroom.generate("a watercolour", image=start, spec={"startImage": {"strength": 0.5}})
    spec = cluster.get(ClusterKind.GENERATE, job.id)["spec"]
    assert spec["startImage"]["strength"] == 0.5
    assert spec["startImage"]["uri"].startswith("s3://")


def test_jobs_are_listed_changed_suspended_and_cancelled(darkroom: Darkroom, job_name: str, cluster: Any) -> None:
    cluster.create(ClusterKind.GENERATE, job_name, {"prompt": "a dog", "modelId": f"m-{job_name}"})
    assert [job.id for job in darkroom.jobs(model_id=f"m-{job_name}", kind=Kind.GENERATE)] == [job_name]
    assert darkroom.change(job_name, priority=9).priority == 9
    assert darkroom.suspend(job_name).spec["suspend"] is True
    assert darkroom.resume(job_name).spec["suspend"] is False
    with pytest.raises(errors.ConflictError):
        darkroom.retry(job_name)
    darkroom.cancel(job_name)
    with pytest.raises(errors.NotFoundError):
        darkroom.job(job_name)
    with pytest.raises(errors.NotFoundError):
        darkroom.delete(job_name)


def test_finished_job_is_retried_once_for_each_call(darkroom: Darkroom, job_name: str, cluster: Any) -> None:
    cluster.create(ClusterKind.GENERATE, job_name, {"prompt": "a dog"})
    cluster.set_status(ClusterKind.GENERATE, job_name, phase="Failed")
    first, second = darkroom.retry(job_name), darkroom.retry(job_name)
    assert len({job_name, first.id, second.id}) == 3
    with pytest.raises(errors.ConflictError):
        darkroom.cancel(job_name)


def test_streamed_job_is_followed_to_its_files(
    darkroom: Darkroom, streamed_job: StreamedJob, bucket: Any, tmp_path: Path
) -> None:
    name = streamed_job.name
    key, content = f"runs/{name}/{name}-seed-7.png", b"a picture"
    bucket.put_object(Bucket="darkroom", Key=key, Body=content)
    artifact = {"key": key, "contentType": "image/png", "bytes": 9, "sha256": hashlib.sha256(content).hexdigest()}
    streamed_job.report(1)
    streamed_job.report(2)
    followed = darkroom.follow(name)
    first = next(followed)
    assert isinstance(first, JobChanged)
    streamed_job.set_status(phase="Running")
    reported = (event.progress.step for event in followed if isinstance(event, ProgressReported))
    steps = [next(reported), next(reported)]
    streamed_job.set_status(phase="Succeeded", artifacts=[artifact])

    *_, last = followed

    assert steps == [1, 2]
    assert isinstance(last, JobChanged)
    assert last.job.succeeded
    [path] = darkroom.download(last.job, tmp_path / "out")
    assert path.name == f"{name}-seed-7.png"
    assert path.read_bytes() == content


def test_job_deleted_while_it_is_followed(darkroom: Darkroom, streamed_job: StreamedJob) -> None:
    followed = darkroom.follow(streamed_job.name)
    next(followed)
    streamed_job.cluster.delete(ClusterKind.GENERATE, streamed_job.name)
    assert list(followed)[-1] == JobDeleted(streamed_job.name, Kind.GENERATE)


def test_wait_returns_when_the_job_ends(darkroom: Darkroom, streamed_job: StreamedJob) -> None:
    with pytest.raises(errors.WaitTimeoutError):
        darkroom.wait(streamed_job.name, timeout_seconds=0)
    ended = threading.Timer(0.2, streamed_job.set_status, kwargs={"phase": "Failed"})
    ended.start()
    job = darkroom.wait(streamed_job.name)
    ended.join()
    assert job.status is Status.FAILED


async def test_all_jobs_are_watched(gateway: Gateway, streamed_job: StreamedJob) -> None:
    async with AsyncDarkroom(str(gateway.http.base_url)) as darkroom:
        stream = darkroom.events(kind=Kind.GENERATE)
        is_seen = threading.Event()
        changing = threading.Thread(target=change_until, args=(streamed_job, is_seen))
        changing.start()
        try:
            async for event in stream:
                if isinstance(event, JobChanged) and event.job.id == streamed_job.name:
                    break
        finally:
            is_seen.set()
            changing.join()
        await stream.aclose()
    assert event.job.status is Status.SUSPENDED


def change_until(job: StreamedJob, is_seen: threading.Event) -> None:
    """Change a suspended job again and again: a stream shows what changes after it is open."""
    for attempts in itertools.count(1):
        job.set_status(phase="Suspended", attempts=attempts)
        if is_seen.wait(0.5):
            return


def test_key_is_required_and_names_the_submitter(secured: SecuredGateway) -> None:
    url = str(secured.http.base_url)
    with Darkroom(url, api_key=secured.secrets["alice"]) as darkroom:
        assert darkroom.generate("a dog").submitted_by == "alice"
    with Darkroom(url, api_key="unknown-key-of-nobody") as stranger, pytest.raises(errors.UnauthorizedError) as caught:
        stranger.models()
    assert caught.value.advice == "Set DARKROOM_API_KEY, or store the key with: darkroom login"
