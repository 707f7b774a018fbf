"""`/v1/events` and `/v1/jobs/{id}/events` of a gateway in its own process, read by httpx and a browser's rules."""

import signal
from typing import Any

import httpx
import pytest
from support.event_source import EventSource
from support.event_streams import StreamedJob
from support.waiting import waiter

from darkroom_contract.names import Kind

wait_until = waiter(30)


@pytest.fixture
def job(streamed_job: StreamedJob) -> StreamedJob:
    return streamed_job


def test_client_reads_all_jobs_and_resumes_without_a_gap(http: httpx.Client, job: StreamedJob) -> None:
    browser = EventSource()
    with browser.connect(http) as events:
        job.set_status(phase="Running", attempts=1)
        shown = next(events)
        job.report(3)
        progress = next(events).json()
    job.report(4)
    job.set_status(phase="Succeeded", attempts=1)
    with browser.connect(http) as events:
        missed = [next(events) for _ in range(2)]
        job.cluster.delete(Kind.GENERATE, job.name)
        deleted = next(events)

    answer = shown.json()
    assert (shown.event, answer["id"], answer["status"]) == ("job", job.name, "Running")
    assert answer["urls"]["events"].startswith(f"/v1/jobs/{job.name}/events")
    assert (progress["id"], progress["kind"], progress["progress"]["step"]) == (job.name, "GenerateJob", 3)
    assert [each.event for each in missed] == ["progress", "job"]
    assert (missed[0].json()["progress"]["step"], missed[1].json()["status"]) == (4, "Succeeded")
    assert (deleted.event, deleted.json()) == ("deleted", {"id": job.name, "kind": "GenerateJob"})


def test_client_of_a_killed_gateway_is_reset_by_the_next(
    start_gateway: Any, environment: dict[str, str], job: StreamedJob
) -> None:
    browser = EventSource()
    with start_gateway(environment) as gateway, browser.connect(gateway.http) as events:
        job.set_status(phase="Running", attempts=1)
        assert next(events).event == "job"
        gateway.process.send_signal(signal.SIGKILL)
        with pytest.raises(httpx.HTTPError):
            list(events)
    job.report(1)
    with start_gateway(environment) as gateway, browser.connect(gateway.http) as events:
        assert next(events).event == "reset"
        assert gateway.http.get(f"/v1/jobs/{job.name}").json()["status"] == "Running"
        job.report(2)
        assert next(events).json()["progress"]["step"] == 2

        with gateway.http.stream("GET", f"/v1/jobs/{job.name}/logs?follow=true") as log:
            gateway.process.terminate()
            assert [(each.event, each.json()) for each in events] == [("end", {"reason": "GatewayStopping"})]
            assert log.read() == b""
        assert gateway.process.wait(timeout=10) in (0, -15)


def test_filters_and_invalid_parameters_of_the_stream(http: httpx.Client, job: StreamedJob) -> None:
    refused = [http.get("/v1/events", params={"model_id": "../a"}), http.get("/v1/events?kind=Pod")]
    refused.append(http.get("/v1/events", headers={"Last-Event-ID": "one"}))
    with EventSource("/v1/events?kind=trainjob").connect(http) as trainings, EventSource().connect(http) as events:
        job.set_status(phase="Running", attempts=1)
        assert next(events).json()["id"] == job.name
        training = f"{job.name}-t"
        spec = {"prompt": "a dog", "modelId": "my-dog", "dataset": {"uri": "s3://darkroom/datasets/default/a/"}}
        job.cluster.create(Kind.TRAIN, training, spec)
        assert next(trainings).json()["id"] == training

    assert [each.status_code for each in refused] == [422, 422, 422]
    assert [each.json()["errors"][0]["parameter"] for each in refused] == ["model_id", "kind", "Last-Event-ID"]


def test_events_of_a_job_have_an_address_below_v1(http: httpx.Client, job: StreamedJob) -> None:
    last = job.report(1)
    job.report(2)
    job.set_status(phase="Succeeded")
    browser = EventSource(f"/v1/jobs/{job.name}/events", last_id=last)
    with browser.connect(http) as events:
        assert [each.event for each in events] == ["status", "progress", "end"]

    assert browser.seen[1][1]["step"] == 2
    assert http.get("/v1/jobs/no-such-job/events").status_code == 404
