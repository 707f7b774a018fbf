"""Write access to Redis is not enough to make the gateway sign a link to anything but a picture of that very job."""

import json
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import pytest
from support.event_streams import StreamedJob, follow
from support.s3_server import BUCKET

from darkroom_contract.progress import MAX_FILES, STREAM_FIELD, stream_name

SECRETS = ("runs/other/other-seed-0.png", "datasets/default/x/face.jpg", "models/default/dog/model.json")


@pytest.fixture
def job(streamed_job: StreamedJob, bucket: Any) -> StreamedJob:
    """A running generation of one picture, which is stored, in a bucket with files of others."""
    own = (f"{streamed_job.name}-seed-0.png", "manifest.json", "checkpoint.json", "logs/1.txt")
    for key in (*SECRETS, *(f"runs/{streamed_job.uid}/{name}" for name in own)):
        bucket.put_object(Bucket=BUCKET, Key=key, Body=key.encode(), ContentType="image/png")
    streamed_job.set_status(phase="Running", attempts=1)
    return streamed_job


def forged_files(job: StreamedJob) -> list[str]:
    """What an attacker announces as files of the job."""
    climbing = [f"../../{SECRETS[0]}", f"/{SECRETS[0]}", f"samples/../../{SECRETS[1]}", "..%2f..%2fa", "steps/best/.."]
    internal = ["manifest.json", "checkpoint.json", "logs/1.txt", f"{job.name}-seed-1.png", "other-seed-0.png"]
    addresses = [f"s3://{BUCKET}/{SECRETS[2]}", "https://example.com/a.png", "javascript:alert(1)", "a.png?kind=Pod"]
    return [*climbing, *internal, *addresses]


def forge(job: StreamedJob, **event: Any) -> None:
    document = {"attempt": 1, "stage": "Denoising", "time": "2026-01-02T03:04:05Z", **event}
    job.redis.xadd(stream_name(job.uid), {STREAM_FIELD: json.dumps(document)})


def signed_key(http: httpx.Client, address: str) -> str | None:
    """The key of the link to which an address redirects; None if it does not."""
    response = http.get(address)
    if response.status_code != 307:
        assert response.status_code in (404, 422)
        return None
    return unquote(urlsplit(response.headers["location"]).path).removeprefix(f"/{BUCKET}/")


def test_forged_files_lead_to_no_link(http: httpx.Client, job: StreamedJob) -> None:
    own, files = f"{job.name}-seed-0.png", forged_files(job)
    for first in range(0, len(files), MAX_FILES - 1):
        forge(job, files=[own, *files[first : first + MAX_FILES - 1]])
    job.set_status(phase="Failed", attempts=1)
    addresses = [each for event in follow(http, job.name) for each in event.data.get("files", ())]

    assert all(each.startswith(f"/jobs/{job.name}/files/") for each in addresses)
    assert {signed_key(http, each) for each in addresses} - {None} == {f"runs/{job.uid}/{own}"}
    for each in files:
        for address in (f"/jobs/{job.name}/files/{each}", f"/v1/jobs/{job.name}/files/{each}"):
            assert signed_key(http, address) is None


def test_forged_images_in_a_status_lead_to_no_other_link(http: httpx.Client, job: StreamedJob) -> None:
    """As the operator has copied them from a forged event."""
    images = [{"seed": seed, "bytes": 3, "sha256": "0" * 64} for seed in (0, 1, 2**31)]
    progress = {"stage": "Denoising", "lastUpdatedTime": "2026-01-02T03:04:05Z", "finishedImages": images}
    job.set_status(phase="Running", attempts=1, progress=progress)

    [artifact] = http.get(f"/v1/jobs/{job.name}").json()["artifacts"]

    key = unquote(urlsplit(artifact["url"]).path).removeprefix(f"/{BUCKET}/")
    assert key == f"runs/{job.uid}/{job.name}-seed-0.png"
    assert httpx.get(artifact["url"], trust_env=False).content == key.encode()


def test_forged_images_in_an_event_are_in_no_answer(http: httpx.Client, job: StreamedJob) -> None:
    """Before the operator has read it, the gateway shows nothing of it."""
    forge(job, finishedImages=[{"seed": 0, "bytes": 3, "sha256": "0" * 64, "key": SECRETS[0]}])
    job.set_status(phase="Failed", attempts=1)
    events = list(follow(http, job.name))

    assert [event.name for event in events][-2:] == ["progress", "end"]
    assert SECRETS[0] not in json.dumps([event.data for event in events])
    assert http.get(f"/v1/jobs/{job.name}").json()["artifacts"] == []
