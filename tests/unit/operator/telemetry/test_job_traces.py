"""The waits of a job become spans of its trace."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.otlp_receiver import OtlpReceiver

from darkroom_contract.jobs import Job, read_job
from darkroom_contract.names import ANNOTATION_TRACEPARENT
from darkroom_contract.status import JobStatus
from darkroom_contract.tracing.tracing import Tracing, open_tracing
from darkroom_operator.pods.builder import run_document
from darkroom_operator.settings import Settings
from darkroom_operator.telemetry.job_traces import JobTraces

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"
CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REQUEUED = {
    "type": "Admitted",
    "status": "False",
    "reason": "BackingOff",
    "message": "",
    "lastTransitionTime": "2026-01-02T03:05:00Z",
}


def a_job(traceparent: str | None = PARENT, **status: Any) -> Job:
    metadata = {
        "name": "my-job",
        "namespace": "default",
        "uid": "uid-1",
        "resourceVersion": "1",
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "annotations": {} if traceparent is None else {ANNOTATION_TRACEPARENT: traceparent},
    }
    return read_job({"kind": "GenerateJob", "metadata": metadata, "spec": {"prompt": "a dog"}, "status": status})


def status(**fields: Any) -> JobStatus:
    return JobStatus.from_dict(fields)


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as made:
        yield made


@pytest.fixture
def tracing(receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> Tracing:
    for name, value in receiver.environment.items():
        monkeypatch.setenv(name, value)
    return open_tracing("darkroom-operator", os.environ)


def test_queue_and_start_of_a_run_are_recorded(receiver: OtlpReceiver, tracing: Tracing) -> None:
    traces, job = JobTraces(tracing), a_job()
    starting = status(phase="Starting", attempts=1, runStart="Warm")
    traces.record_change(job, status(phase="Queued"), CREATED + timedelta(seconds=1))
    traces.record_change(job, starting, CREATED + timedelta(seconds=10))
    traces.record_change(
        replace(job, status=starting),
        status(phase="Running", attempts=1, runStart="Warm"),
        CREATED + timedelta(seconds=12.5),
    )
    tracing.close()

    spans = receiver.trace(TRACE_ID)
    assert {name: each.seconds for name, each in spans.items()} == {"queue": 10, "start": 2.5}
    assert {each.parent_id for each in spans.values()} == {"b7ad6b7169203331"}
    assert spans["start"].attributes == {
        "darkroom.job.kind": "GenerateJob",
        "darkroom.job.name": "my-job",
        "darkroom.job.attempt": 1,
        "darkroom.run.start": "Warm",
    }


def test_later_run_has_waited_since_it_was_requeued(receiver: OtlpReceiver, tracing: Tracing) -> None:
    job = a_job(phase="Queued", attempts=1, conditions=[REQUEUED])
    after = status(phase="Starting", attempts=2)
    JobTraces(tracing).record_change(job, after, datetime(2026, 1, 2, 3, 5, 30, tzinfo=UTC))
    tracing.close()

    queue = receiver.trace(TRACE_ID)["queue"]
    assert (queue.seconds, queue.attributes["darkroom.job.attempt"]) == (30, 2)


@pytest.mark.parametrize("traceparent", [None, "not a traceparent"])
def test_job_without_a_valid_trace_has_no_spans(
    receiver: OtlpReceiver, tracing: Tracing, traceparent: str | None
) -> None:
    job = a_job(traceparent)
    JobTraces(tracing).record_change(job, status(phase="Starting", attempts=1), CREATED)
    tracing.close()

    assert receiver.spans == []
    assert run_document(job, 1, Settings(runner_image="x")).traceparent is None


def test_run_document_carries_the_trace_to_the_runner() -> None:
    assert run_document(a_job(), 1, Settings(runner_image="x")).traceparent == PARENT
