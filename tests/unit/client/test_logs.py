"""Logs are followed over lost connections and gateways that stop."""

import pytest
from support.scripted_gateway import ScriptedGateway, content, document, job

from darkroom_client import Darkroom, Job

JOB = "/v1/jobs/train-a"


def test_log_that_breaks_off_continues_with_the_next_line(gateway: ScriptedGateway, darkroom: Darkroom) -> None:
    gateway.script("GET", JOB, document(job()), document(job(status="Succeeded")))
    gateway.script(
        "GET", f"{JOB}/logs", content("one\ntwé\nthr".encode(), announced=99), content("one\ntwé\nthree\nfour".encode())
    )
    assert list(darkroom.logs("train-a", follow=True)) == ["one", "twé", "three", "four"]


def test_log_of_a_gateway_that_stops_is_read_again_while_the_run_is_active(
    gateway: ScriptedGateway, darkroom: Darkroom
) -> None:
    gateway.script("GET", JOB, document(job()), document(job()), document(job(status="Succeeded")))
    gateway.script("GET", f"{JOB}/logs", content(b"one\n"), content(b"one\ntwo\n"))
    assert list(darkroom.logs("train-a", follow=True)) == ["one", "two"]


@pytest.mark.parametrize("status", ["Queued", "Starting"])
def test_log_of_a_job_that_has_not_begun_is_read_again_when_the_gateway_stops(
    gateway: ScriptedGateway, darkroom: Darkroom, status: str
) -> None:
    waiting = document(job(status=status, attempts=0))
    gateway.script("GET", JOB, waiting, waiting, document(job(status="Succeeded")))
    gateway.script("GET", f"{JOB}/logs", content(b""), content(b"one\n"))
    assert list(darkroom.logs("train-a", follow=True)) == ["one"]


@pytest.mark.parametrize(
    ("status", "attempts", "has_ended"),
    [
        ("Queued", 0, False),
        ("Queued", 1, True),
        ("Starting", 1, False),
        ("Running", 1, False),
        ("Running", 2, True),
        ("Suspended", 0, True),
        ("Failed", 1, True),
    ],
)
def test_run_has_ended_once_the_job_waits_for_another(status: str, attempts: int, has_ended: bool) -> None:
    assert Job.model_validate(job(status=status, attempts=attempts)).has_ended_run(1) is has_ended
