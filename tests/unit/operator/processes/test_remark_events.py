"""Remarks of a run: copied into its job's status, and posted as Events that `kubectl describe` shows."""

from typing import Any

from support.operator_processes import Namespace, success, wait_until
from support.operator_snapshots import NOW, a_job
from support.server_process import Process

from darkroom_contract.jobs import Job
from darkroom_contract.remarks import Remark, RemarkReason
from darkroom_operator.telemetry.event_recorder import MAX_WAITING, EventRecorder
from darkroom_operator.telemetry.job_events import JobEvent, JobReference, event_document

TRUNCATED = Remark(
    reason=RemarkReason.PROMPT_TRUNCATED, message="The prompt is longer than 77 tokens: 'at dusk' was cut."
)
CONVERTED = Remark(reason=RemarkReason.PHOTOS_CONVERTED, message="2 photos were converted from Display P3 to sRGB.")


def events(namespace: Namespace) -> list[dict[str, Any]]:
    answer = namespace.server.http.get(f"/api/v1/namespaces/{namespace.name}/events")
    found: list[dict[str, Any]] = answer.json()["items"]
    return [event for event in found if event["reason"] in set(RemarkReason)]


def event_of_remark(job: Job, remark: Remark) -> dict[str, Any]:
    return event_document(JobReference.of(job), JobEvent(remark.reason, remark.message), NOW)


def test_a_run_s_remarks_are_in_the_status_and_each_is_an_event_on_the_job(
    namespace: Namespace, operator: Process
) -> None:
    job = namespace.create_job("a")
    outcome = success().model_copy(update={"remarks": (TRUNCATED, CONVERTED)})
    namespace.end_pod(namespace.wait_for_pod("a"), outcome)
    done = namespace.wait_for_phase("a", "Succeeded")
    assert done["remarks"] == [TRUNCATED.to_dict(), CONVERTED.to_dict()]
    wait_until(lambda: len(events(namespace)) == 2, "both remarks are Events")
    by_reason = {each["reason"]: each for each in events(namespace)}
    assert by_reason["PromptTruncated"]["message"] == TRUNCATED.message
    assert (by_reason["PromptTruncated"]["type"], by_reason["PhotosConverted"]["type"]) == ("Warning", "Normal")
    regarding = by_reason["PromptTruncated"]["involvedObject"]
    assert (regarding["kind"], regarding["name"], regarding["uid"]) == ("GenerateJob", "a", job["metadata"]["uid"])


def test_a_run_without_remarks_posts_none(namespace: Namespace, operator: Process) -> None:
    for name in ("a", "b"):
        namespace.create_job(name)
        namespace.finish_pod(namespace.wait_for_pod(name))
        assert "remarks" not in namespace.wait_for_phase(name, "Succeeded")
    assert events(namespace) == []


def test_the_same_remark_is_one_event_however_often_it_is_posted() -> None:
    first, again = (event_of_remark(a_job("a"), TRUNCATED) for _ in range(2))
    assert first["metadata"] == again["metadata"]
    assert event_of_remark(a_job("a"), CONVERTED)["metadata"] != first["metadata"]
    assert event_of_remark(a_job("b"), TRUNCATED)["metadata"] != first["metadata"]


def test_events_that_can_t_be_posted_fill_no_memory() -> None:
    recorder = EventRecorder()
    for number in range(MAX_WAITING + 5):
        job = JobReference.of(a_job(f"job-{number}"))
        recorder.record(job, JobEvent(TRUNCATED.reason, TRUNCATED.message), NOW)
    assert [each["regarding"]["name"] for each in recorder.waiting][:1] == ["job-5"]
    assert len(recorder.waiting) == MAX_WAITING
