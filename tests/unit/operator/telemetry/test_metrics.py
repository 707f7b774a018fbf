"""Counters and gauges of the operator, in the text format that Prometheus reads."""

import time
from dataclasses import replace
from datetime import timedelta

import kopf
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from support.operator_snapshots import (
    NOW,
    a_job,
    a_pod,
    a_slot,
    a_snapshot,
    a_training,
    failure,
    holding,
    in_phase,
    running,
    success,
)
from support.recording_api import recording_api
from support.simulated_api import SimulatedApi
from support.simulated_node import SimulatedNode
from support.simulated_operator import SimulatedOperator
from support.simulated_user import SimulatedUser
from support.waiting import first_within

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.outcome import Reason
from darkroom_contract.progress import ProgressEvent, Stage
from darkroom_contract.status import JobStatus, Phase
from darkroom_operator.errors import UnreachableError
from darkroom_operator.kube.client import KubeClient
from darkroom_operator.pods.pod_outcome import Failure
from darkroom_operator.scheduling.slot import Slot
from darkroom_operator.scheduling.snapshot import Snapshot, UnreadableJob
from darkroom_operator.status import transitions
from darkroom_operator.status.run_ends import RunEnd, end_of_run
from darkroom_operator.telemetry.gauges import Gauges, families, waiting_since
from darkroom_operator.telemetry.metrics import Metrics

JOB = a_job("job")
POD = a_pod(JOB)
LOST = Failure(Reason.POD_LOST, "")


def scrape(snapshot: Snapshot, is_leader: bool = True) -> dict[str, float]:
    """Every value, by its name with its labels."""
    registry = CollectorRegistry()
    registry.register(Gauges(lambda: snapshot, lambda: is_leader))
    lines = generate_latest(registry).decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


class TestGauges:
    def test_an_operator_that_is_not_the_leader_exports_nothing_else(self) -> None:
        assert scrape(a_snapshot(JOB), is_leader=False) == {"darkroom_leader": 0.0}

    def test_jobs_are_counted_by_kind_and_phase_with_zeros(self) -> None:
        unreadable = UnreadableJob(Kind.TRAIN, "default", "b", "uid-b", "1", failed=True, fault="x")
        snapshot = a_snapshot(
            JOB, in_phase(a_job("s"), Phase.SUCCEEDED), a_training("t"), unreadable={"uid-b": unreadable}
        )
        found = scrape(snapshot)
        assert found["darkroom_leader"] == 1
        assert found['darkroom_jobs{kind="GenerateJob",phase="Queued"}'] == 1
        assert found['darkroom_jobs{kind="GenerateJob",phase="Succeeded"}'] == 1
        assert found['darkroom_jobs{kind="TrainJob",phase="Queued"}'] == 1
        assert found['darkroom_jobs{kind="TrainJob",phase="Failed"}'] == 1
        assert found['darkroom_jobs{kind="TrainJob",phase="Running"}'] == 0
        assert sum(name.startswith("darkroom_jobs") for name in found) == len(Kind) * len(Phase)

    def test_a_job_that_exceeds_a_quota_waits_although_it_holds_the_slot(self) -> None:
        job = replace(JOB, status=transitions.quota_exceeded(JOB, "exceeded quota", NOW))
        found = scrape(a_snapshot(job, a_job("b"), slot=a_slot(job)))
        assert found["darkroom_queue_length"] == 2
        assert found["darkroom_queue_oldest_wait_seconds"] == 300
        assert found['darkroom_slot_busy{slot="0"}'] == 0

    def test_the_running_job_occupies_the_slot_and_does_not_wait(self) -> None:
        found = scrape(a_snapshot(holding(JOB, POD), slot=a_slot(JOB, POD), pods=(POD,)))
        assert found['darkroom_slot_busy{slot="0"}'] == 1
        assert (found["darkroom_queue_length"], found["darkroom_queue_oldest_wait_seconds"]) == (0, 0)

    def test_idle_pod_occupies_no_slot(self) -> None:
        free = Slot(0, idle_pod_uid="a-pod")
        assert scrape(replace(a_snapshot(), slots={0: free}))['darkroom_slot_idle_runner{slot="0"}'] == 1
        assert scrape(replace(a_snapshot(), slots={0: free}))['darkroom_slot_busy{slot="0"}'] == 0
        taken = replace(free, holder="a-job", pod_uid="a-pod")
        assert scrape(replace(a_snapshot(), slots={0: taken}))['darkroom_slot_idle_runner{slot="0"}'] == 0

    @pytest.mark.parametrize(
        ("job", "seconds"),
        [
            (JOB, 300),
            (replace(JOB, status=transitions.waiting(JOB, None, NOW - timedelta(seconds=9))), 300),
            (in_phase(JOB, Phase.QUEUED, next_attempt_time=NOW - timedelta(seconds=7)), 7),
            (
                replace(
                    JOB,
                    status=transitions.run_failed(holding(JOB, POD), Failure(Reason.POD_LOST, ""), timedelta(0), NOW),
                ),
                0,
            ),
        ],
        ids=["new", "has a position", "backed off", "failed just now"],
    )
    def test_a_job_waits_since_it_last_entered_the_queue(self, job: Job, seconds: float) -> None:
        assert (NOW - waiting_since(job)).total_seconds() == seconds

    def test_a_resumed_job_waits_since_it_was_resumed(self) -> None:
        suspended = replace(a_job("a", suspend=True), status=transitions.waiting(a_job("a", suspend=True), None, NOW))
        later = NOW + timedelta(seconds=60)
        resumed = replace(suspended, spec=JOB.spec)
        assert waiting_since(replace(resumed, status=transitions.waiting(resumed, None, later))) == later

    def test_the_age_of_progress_counts_from_the_last_report_and_is_absent_without_one(self) -> None:
        job = in_phase(holding(JOB, POD), Phase.RUNNING)
        without_progress = a_snapshot(job, slot=a_slot(JOB, POD), pods=(running(POD),))
        assert "darkroom_progress_age_seconds" not in scrape(without_progress)
        event = ProgressEvent(attempt=1, stage=Stage.TRAINING, time=NOW - timedelta(seconds=42))
        assert scrape(replace(without_progress, progress={job.uid: event}))["darkroom_progress_age_seconds"] == 42
        old = replace(without_progress, progress={job.uid: event.model_copy(update={"attempt": 7})})
        assert "darkroom_progress_age_seconds" not in scrape(old)

    def test_ten_thousand_jobs_are_scraped_quickly(self) -> None:
        """About 20 ms on an idle machine; the reconcile loop waits meanwhile."""
        jobs = [a_job(f"job-{number}") for number in range(10_000)]

        def cpu_seconds() -> float:
            snapshot = a_snapshot(*jobs)
            began = time.thread_time()
            found = scrape(snapshot)
            assert found["darkroom_queue_length"] == 10_000
            return time.thread_time() - began

        assert first_within(0.25, cpu_seconds) < 0.25

    def test_slots_that_never_were_assigned_are_exported_too(self) -> None:
        snapshot = replace(a_snapshot(), slots={0: a_slot(), 1: Slot(1)}, slot_count=2)
        assert [family.name for family in families(snapshot, is_leader=True)][-2:] == [
            "darkroom_slot_busy",
            "darkroom_slot_idle_runner",
        ]
        assert scrape(snapshot)['darkroom_slot_busy{slot="1"}'] == 0


class TestRunEnds:
    HELD = holding(JOB, POD)
    PAST = replace(running(POD, seconds=30), finished=NOW - timedelta(seconds=5))

    def end(self, job: Job, status: JobStatus) -> tuple[str, str, float | None] | None:
        found = end_of_run(job, status, self.PAST)
        return found and (found.result, found.reason, found.seconds)

    def test_each_is_derived_from_the_status_change(self) -> None:
        held, broke = self.HELD, Failure(Reason.STORAGE_UNAVAILABLE, "no")
        assert self.end(held, transitions.succeeded(held, success(JOB), NOW)) == ("succeeded", "", 25.0)
        assert self.end(held, transitions.run_failed(held, broke, timedelta(0), NOW)) == (
            "retried",
            "StorageUnavailable",
            25.0,
        )
        progressed = replace(broke, saved_step=50)
        assert self.end(held, transitions.run_failed(held, progressed, timedelta(0), NOW)) == (
            "retried",
            "StorageUnavailable",
            25.0,
        )
        drained = Failure(Reason.INTERRUPTED, "", interrupted=True)
        assert self.end(held, transitions.run_interrupted(held, drained, timedelta(0), NOW)) == (
            "interrupted",
            "Interrupted",
            25.0,
        )
        last = replace(held, spec=a_job(backoff_limit=0).spec)
        assert self.end(last, transitions.run_failed(last, broke, timedelta(0), NOW)) == (
            "failed",
            "BackoffLimitExceeded",
            25.0,
        )
        stopped = replace(held, spec=a_job(suspend=True).spec)
        end = Failure(Reason.INTERRUPTED, "")
        assert self.end(stopped, transitions.run_suspended(stopped, end, NOW)) == ("suspended", "Suspended", 25.0)

    @pytest.mark.parametrize(
        ("job", "status"),
        [
            (JOB, transitions.waiting(JOB, None, NOW)),
            (JOB, transitions.quota_exceeded(JOB, "q", NOW)),
            (JOB, transitions.starting(JOB, POD, NOW)),
            (a_job("a", suspend=True), transitions.waiting(a_job("a", suspend=True), None, NOW)),
            (in_phase(JOB, Phase.FAILED), in_phase(JOB, Phase.FAILED).status),
        ],
        ids=["queued", "over the quota", "starting", "suspended in the queue", "over already"],
    )
    def test_no_other_change_counts_as_an_end(self, job: Job, status: JobStatus) -> None:
        assert end_of_run(job, status, None) is None


class TestCounters:
    def test_they_count_what_has_happened(self) -> None:
        api, metrics = SimulatedApi(pod_quota=0), Metrics()
        user, node = SimulatedUser(api), SimulatedNode(api)
        operator = SimulatedOperator(api, metrics=metrics)
        user.create("a")
        operator.rest()
        assert metrics.registry.get_sample_value("darkroom_quota_refusals_total") == 1
        api.pod_quota = None
        api.pass_time(1)
        operator.rest()
        [pod] = node.live()
        node.end(pod, failure(Reason.STORAGE_UNAVAILABLE), 75)
        operator.rest()
        api.pass_time(10)
        operator.rest()
        node.succeed(node.live()[0])
        operator.rest()
        runs = {"kind": "GenerateJob", "result": "retried", "reason": "StorageUnavailable"}
        assert metrics.registry.get_sample_value("darkroom_runs_total", runs) == 1
        runs = {"kind": "GenerateJob", "result": "succeeded", "reason": ""}
        assert metrics.registry.get_sample_value("darkroom_runs_total", runs) == 1
        assert (metrics.registry.get_sample_value("darkroom_reconcile_duration_seconds_count") or 0) > 3

    def test_a_run_is_timed_by_its_container(self) -> None:
        metrics = Metrics()
        metrics.count_run(RunEnd(Kind.TRAIN, "succeeded", "", 70.0))
        metrics.count_run(RunEnd(Kind.TRAIN, "failed", "PodLost", None))
        value = metrics.registry.get_sample_value
        assert value("darkroom_run_duration_seconds_sum", {"kind": "TrainJob"}) == 70
        assert value("darkroom_run_duration_seconds_count", {"kind": "TrainJob"}) == 1

    async def test_requests_are_counted_by_the_kubernetes_client(self) -> None:
        metrics, value = Metrics(), "darkroom_api_requests_total"
        with recording_api() as server:
            login = kopf.ConnectionInfo(server=server.url)
            async with KubeClient("x", lambda: login, count_request=metrics.count_request) as cluster:
                await cluster.get_pod("a")
                await cluster.create_pod({})
                await cluster.remove_gate("a", "u", "g")
        async with KubeClient("x", lambda: login, count_request=metrics.count_request) as cluster:
            with pytest.raises(UnreachableError):
                await cluster.get_pod("a")
        for method, code in (("GET", "200"), ("POST", "201"), ("PATCH", "200"), ("GET", "unanswered")):
            assert metrics.registry.get_sample_value(value, {"method": method, "code": code}) == 1

    def test_two_operators_in_one_process_count_separately(self) -> None:
        one, other = Metrics(), Metrics()
        one.count_request("GET", 200)
        other.count_request("GET", None)
        labels = {"method": "GET", "code": "200"}
        assert one.registry.get_sample_value("darkroom_api_requests_total", labels) == 1
        assert other.registry.get_sample_value("darkroom_api_requests_total", labels) is None
        labels["code"] = "unanswered"
        assert other.registry.get_sample_value("darkroom_api_requests_total", labels) == 1
