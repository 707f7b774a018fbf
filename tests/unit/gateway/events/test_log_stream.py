"""`GET /v1/jobs/{id}/logs?follow=true`: the log of a run as it grows, until the run ends."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from support.event_streams import StreamedJob
from support.s3_server import BUCKET

from darkroom_contract.storage.keys import run_log_key


@pytest.fixture
def job(streamed_job: StreamedJob) -> StreamedJob:
    return streamed_job


@pytest.fixture
def write_log(bucket: Any, job: StreamedJob) -> Callable[[str, int], None]:
    """Stores the whole log of a run, as the runner does every few seconds."""
    return lambda text, run=1: bucket.put_object(Bucket=BUCKET, Key=run_log_key(job.uid, run), Body=text.encode())


def until_in(chunks: Iterator[str], text: str) -> str:
    """Read until a text was received."""
    received = ""
    while text not in received:
        received += next(chunks)
    return received


def test_followed_log_grows_and_ends_with_the_run(http: httpx.Client, job: StreamedJob, write_log: Any) -> None:
    job.set_status(phase="Running", attempts=1)
    write_log("loading\n")
    with http.stream("GET", f"/v1/jobs/{job.name}/logs", params={"follow": "true"}) as response:
        chunks = response.iter_text()
        assert until_in(chunks, "\n") == "loading\n"
        write_log("loading\nstep 1 \u2192 loss 0.1\n")
        assert until_in(chunks, "\n") == "step 1 \u2192 loss 0.1\n"
        write_log("loading\nstep 1 \u2192 loss 0.1\nthe end\n")
        job.set_status(phase="Succeeded", attempts=1)
        assert "".join(chunks) == "the end\n"

    assert (response.status_code, response.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert http.get(f"/v1/jobs/{job.name}/logs").text.endswith("loss 0.1\nthe end\n")


def test_following_a_waiting_job_begins_with_its_first_run(
    http: httpx.Client, job: StreamedJob, write_log: Any
) -> None:
    with http.stream("GET", f"/v1/jobs/{job.name}/logs", params={"follow": "true"}) as response:
        write_log("loading\n")
        job.set_status(phase="Starting", attempts=1)
        assert until_in(response.iter_text(), "\n") == "loading\n"


def test_followed_log_ends_with_its_run_though_the_job_is_tried_again(
    http: httpx.Client, job: StreamedJob, write_log: Any
) -> None:
    job.set_status(phase="Running", attempts=1)
    write_log("out of memory\n")
    with http.stream("GET", f"/v1/jobs/{job.name}/logs", params={"follow": "true"}) as response:
        job.set_status(phase="Starting", attempts=2)
        assert response.read() == b"out of memory\n"


def test_log_of_a_finished_run_is_complete_at_once(http: httpx.Client, job: StreamedJob, write_log: Any) -> None:
    job.set_status(phase="Succeeded", attempts=1)
    missing = http.get(f"/v1/jobs/{job.name}/logs", params={"follow": "true"})
    beyond = http.get(f"/v1/jobs/{job.name}/logs", params={"follow": "true", "attempt": 2})
    write_log("the end\n")

    assert http.get(f"/v1/jobs/{job.name}/logs", params={"follow": "true"}).text == "the end\n"
    assert [missing.status_code, beyond.status_code] == [404, 404]
    assert beyond.json()["errors"][0]["parameter"] == "attempt"
