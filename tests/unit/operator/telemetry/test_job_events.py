"""Which Events follow from which change of a job's status, and what they look like."""

from dataclasses import replace
from datetime import timedelta

import pytest
from support.operator_snapshots import NOW, a_job, a_pod, holding, in_phase, success

from darkroom_contract.event_reasons import EVENTS, EventReason, EventType
from darkroom_contract.jobs import Job
from darkroom_contract.outcome import Reason
from darkroom_contract.remarks import MAX_REMARKS, Remark, RemarkReason
from darkroom_contract.status import JobStatus, Phase
from darkroom_operator.pods.pod_outcome import Failure
from darkroom_operator.reconcile.stops import SUSPENDED
from darkroom_operator.scheduling.queue_position import QueuePosition
from darkroom_operator.status import transitions
from darkroom_operator.telemetry.job_events import (
    MAX_NOTE_BYTES,
    JobEvent,
    JobReference,
    PodReference,
    event_document,
    events_of_change,
)

WAIT = timedelta(seconds=10)
BROKEN = Failure(Reason.STORAGE_UNAVAILABLE, "No answer.")
JOB = a_job()
POD = a_pod(JOB)
RUNNING_POD = replace(POD, started=NOW - timedelta(seconds=5), ready=True)
REFERENCE = JobReference.of(JOB)


def after(job: Job, status: JobStatus, **spec: object) -> Job:
    """The job once the status is written."""
    return replace(job, status=status, spec=a_job(**spec).spec if spec else job.spec)


QUEUED = after(JOB, transitions.waiting(JOB, QueuePosition(JOB, 3), NOW))
ADMITTED = after(QUEUED, transitions.starting(QUEUED, POD, NOW))
RUNNING = after(ADMITTED, transitions.running(ADMITTED, RUNNING_POD, None, NOW))
SUSPENDING = after(RUNNING, transitions.stopping(RUNNING, SUSPENDED, "stop", POD, NOW), suspend=True)
INTERRUPTED = Failure(Reason.INTERRUPTED, "The node was drained.", interrupted=True)
STOPPED = after(SUSPENDING, transitions.run_suspended(SUSPENDING, INTERRUPTED, NOW))
RESUMED = after(STOPPED, STOPPED.status, suspend=False)
BACKING_OFF = after(RUNNING, transitions.run_failed(RUNNING, BROKEN, WAIT, NOW))
DUE = NOW + 2 * WAIT


def reasons(job: Job, status: JobStatus) -> list[str]:
    return [event.reason for event in events_of_change(job, status)]


@pytest.mark.parametrize(
    ("job", "status", "expected"),
    [
        (JOB, QUEUED.status, ["Queued"]),
        (JOB, transitions.waiting(JOB, QueuePosition(JOB, 0, training="TrainJob/t"), NOW), ["WaitingForModel"]),
        (JOB, transitions.starting(JOB, POD, NOW), ["Queued", "Admitted"]),
        (JOB, transitions.quota_exceeded(JOB, "full", NOW), ["Queued"]),
        (JOB, transitions.failed(JOB, BROKEN, NOW), ["Failed"]),
        (QUEUED, ADMITTED.status, ["Admitted"]),
        (ADMITTED, RUNNING.status, ["Started"]),
        (ADMITTED, transitions.succeeded(ADMITTED, success(JOB), NOW), ["Started", "Succeeded"]),
        (RUNNING, transitions.succeeded(RUNNING, success(JOB), NOW), ["Succeeded"]),
        (RUNNING, BACKING_OFF.status, ["Retrying"]),
        (RUNNING, transitions.run_interrupted(RUNNING, INTERRUPTED, WAIT, NOW), ["Retrying"]),
        (RUNNING, transitions.run_failed(RUNNING, Failure(Reason.DATASET_INVALID, "x"), WAIT, NOW), ["Failed"]),
        (RUNNING, transitions.running(RUNNING, replace(RUNNING_POD, node_lost=True), None, NOW), ["NodeLost"]),
        (
            ADMITTED,
            transitions.stopping(ADMITTED, "StartDeadlineExceeded", "late", POD, NOW),
            ["StartDeadlineExceeded"],
        ),
        (RUNNING, transitions.stopping(RUNNING, "ActiveDeadlineExceeded", "x", POD, NOW), ["ActiveDeadlineExceeded"]),
        (
            QUEUED,
            transitions.run_failed(QUEUED, Failure(Reason.START_DEADLINE_EXCEEDED, "No pod."), WAIT, NOW),
            ["StartDeadlineExceeded", "Retrying"],
        ),
        (SUSPENDING, STOPPED.status, ["Suspended"]),
        (RESUMED, transitions.waiting(RESUMED, QueuePosition(RESUMED, 0), NOW), ["Resumed", "Queued"]),
        (RESUMED, transitions.starting(RESUMED, a_pod(JOB, 2), NOW), ["Resumed", "Admitted"]),
        (BACKING_OFF, transitions.waiting(BACKING_OFF, QueuePosition(BACKING_OFF, 0), DUE), ["Queued"]),
        (BACKING_OFF, transitions.starting(BACKING_OFF, a_pod(JOB, 2), DUE), ["Admitted"]),
        (RUNNING, transitions.requeued_for_model(RUNNING, BROKEN, "TrainJob/t", NOW), ["WaitingForModel"]),
    ],
)
def test_each_transition_has_its_events(job: Job, status: JobStatus, expected: list[str]) -> None:
    assert reasons(job, status) == expected


@pytest.mark.parametrize(
    ("job", "status"),
    [
        (QUEUED, transitions.waiting(QUEUED, QueuePosition(QUEUED, 2), NOW)),
        (RUNNING, transitions.running(RUNNING, RUNNING_POD, None, NOW + WAIT)),
        (RUNNING, transitions.running(RUNNING, POD, None, NOW + WAIT)),
        (RUNNING, SUSPENDING.status),
        (BACKING_OFF, transitions.waiting(BACKING_OFF, None, NOW)),
        (in_phase(JOB, Phase.SUCCEEDED), transitions.generation_observed(in_phase(JOB, Phase.SUCCEEDED), NOW)),
    ],
    ids=["moved up", "progress", "a stale pod", "being stopped", "still backing off", "observed"],
)
def test_other_changes_have_none(job: Job, status: JobStatus) -> None:
    assert reasons(job, status) == []


def test_a_run_that_failed_with_progress_is_a_retry_though_nothing_is_counted() -> None:
    saved = replace(BROKEN, saved_step=50)
    status = transitions.run_failed(RUNNING, saved, WAIT, NOW)
    assert status.failures == 0
    assert reasons(RUNNING, status) == ["Retrying"]


def test_remarks_come_before_the_end_and_only_once() -> None:
    remarks = (
        Remark(reason=RemarkReason.PROMPT_TRUNCATED, message="'at dusk' was cut."),
        Remark(reason=RemarkReason.PHOTOS_CONVERTED, message="2 photos."),
    )
    done = transitions.succeeded(RUNNING, success(JOB).model_copy(update={"remarks": remarks}), NOW)
    assert reasons(RUNNING, done) == ["PromptTruncated", "PhotosConverted", "Succeeded"]
    assert reasons(after(RUNNING, done), done) == []


def test_notes_name_the_run_the_cause_and_the_consequence() -> None:
    [retry] = events_of_change(RUNNING, BACKING_OFF.status)
    assert retry.note == (
        "Run 1 failed (StorageUnavailable). The next one starts at 12:00:10 UTC at the earliest. No answer."
    )
    [end] = events_of_change(RUNNING, transitions.succeeded(RUNNING, success(JOB), NOW))
    assert end.note == "Run 1 succeeded with 1 file."
    [admitted] = events_of_change(QUEUED, ADMITTED.status)
    assert admitted.note == f"Run 1 holds slot 0. Created pod {POD.name}."
    [failed] = events_of_change(RUNNING, transitions.failed(RUNNING, BROKEN, NOW))
    assert failed.note == "StorageUnavailable: No answer."


def test_the_most_remarks_leave_room_for_the_end() -> None:
    remarks = tuple(Remark(reason=RemarkReason.FILE_LEFT_OUT, message=str(number)) for number in range(MAX_REMARKS))
    done = transitions.succeeded(ADMITTED, success(JOB).model_copy(update={"remarks": remarks}), NOW)
    events = events_of_change(ADMITTED, done)
    assert [event.reason for event in events] == ["Started", *["FileLeftOut"] * MAX_REMARKS, "Succeeded"]
    names = [event_document(REFERENCE, event, NOW)["metadata"]["name"] for event in events]
    assert names == sorted(names)


def test_events_of_a_run_are_related_to_its_pod() -> None:
    pod = PodReference(POD.name, POD.uid)
    assert [event.pod for event in events_of_change(JOB, ADMITTED.status)] == [None, pod]
    assert [event.pod for event in events_of_change(ADMITTED, RUNNING.status)] == [pod]
    assert [event.pod for event in events_of_change(RUNNING, BACKING_OFF.status)] == [pod]


class TestTheDocument:
    EVENT = JobEvent(EventReason.ADMITTED, "Run 1 holds slot 0.", PodReference("p", "pod-uid"), 0)

    def test_it_names_job_pod_and_controller(self) -> None:
        document = event_document(REFERENCE, self.EVENT, NOW)
        assert document["apiVersion"] == "events.k8s.io/v1"
        assert document["regarding"] == {
            "apiVersion": "darkroom.dev/v1alpha1",
            "kind": "GenerateJob",
            "namespace": "default",
            "name": "a",
            "uid": JOB.uid,
        }
        assert document["related"] == {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": "default",
            "name": "p",
            "uid": "pod-uid",
        }
        assert (document["type"], document["reason"], document["action"]) == ("Normal", "Admitted", "Admit")
        assert document["eventTime"] == "2026-11-25T12:00:00.000000Z"
        assert document["reportingController"] == "darkroom.dev/darkroom-operator"

    def test_the_same_event_has_the_same_name_from_whichever_operator(self) -> None:
        names = {event_document(REFERENCE, self.EVENT, NOW + wait)["metadata"]["name"] for wait in (0 * WAIT, WAIT)}
        assert len(names) == 1

    @pytest.mark.parametrize(
        "other",
        [
            (REFERENCE, replace(EVENT, note="another")),
            (REFERENCE, replace(EVENT, pod=None)),
            (replace(REFERENCE, version="2"), EVENT),
            (replace(REFERENCE, uid="another"), EVENT),
        ],
    )
    def test_another_event_has_another_name(self, other: tuple[JobReference, JobEvent]) -> None:
        name = event_document(REFERENCE, self.EVENT, NOW)["metadata"]["name"]
        assert event_document(*other, NOW)["metadata"]["name"] != name

    def test_names_of_one_job_sort_by_time(self) -> None:
        events = [(version, order) for version in (9, 10, 255, 4096, 2**50) for order in (0, 1, 14, 15)]
        names = [
            event_document(replace(REFERENCE, version=str(version)), replace(self.EVENT, order=order), NOW)["metadata"]
            for version, order in events
        ]
        assert [each["name"] for each in names] == sorted(each["name"] for each in names)

    def test_a_long_job_name_is_cut_to_a_valid_one(self) -> None:
        long = replace(REFERENCE, name="a" * 230 + "-" + "b" * 22)
        name = event_document(long, self.EVENT, NOW)["metadata"]["name"]
        assert len(name) <= 253
        assert "-." not in name

    def test_a_long_note_is_cut_between_characters(self) -> None:
        note = event_document(REFERENCE, replace(self.EVENT, note="a" + "é" * 600), NOW)["note"]
        assert len(note.encode()) == MAX_NOTE_BYTES - 1
        assert note.endswith("é")

    def test_a_remark_of_a_newer_runner_is_a_warning(self) -> None:
        document = event_document(REFERENCE, JobEvent("SomethingNew", "x"), NOW)
        assert (document["type"], document["reason"], document["action"]) == ("Warning", "SomethingNew", "Run")


class TestTheContract:
    def test_every_reason_is_documented(self) -> None:
        assert EVENTS.keys() == set(EventReason)
        assert all(meaning.when.endswith(".") and meaning.action for meaning in EVENTS.values())

    def test_every_remark_is_a_reason(self) -> None:
        assert {reason.value for reason in RemarkReason} <= {reason.value for reason in EventReason}

    def test_events_that_need_action_are_warnings(self) -> None:
        warnings = {reason.value for reason in EventReason if EVENTS[reason].type is EventType.WARNING}
        assert {"Failed", "Retrying", "QuotaExceeded", "PodRefused", "NodeLost", "PromptTruncated"} <= warnings
        assert not {"Queued", "Admitted", "Started", "Succeeded", "Suspended", "PhotosConverted"} & warnings


def test_a_status_that_holds_a_slot_is_not_queued_again() -> None:
    held = holding(JOB, POD)
    assert reasons(held, transitions.running(held, POD, None, NOW)) == []
