"""Events of real operators on a real API server: the story of each kind of job, refusals, restarts, missing rights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from support.fault_proxy import FaultProxy, Refusal
from support.kube_api import ApiServer
from support.operator_processes import Namespace, failure, wait_until
from support.server_process import Process

from darkroom_contract.event_reasons import EVENTS, EventReason
from darkroom_contract.outcome import Reason
from darkroom_local.kube.kubeconfig import write_kubeconfig
from darkroom_operator.telemetry.job_events import CONTROLLER

Json = dict[str, Any]


def story(namespace: Namespace, job: str) -> list[str]:
    """Reasons of the job's Events, as `kubectl describe` lists them."""
    return [event["reason"] for event in events(namespace, job)]


def events(namespace: Namespace, job: str) -> list[Json]:
    path = f"/apis/events.k8s.io/v1/namespaces/{namespace.name}/events"
    answer = namespace.server.http.get(path, params={"fieldSelector": f"regarding.name={job}"})
    found: list[Json] = answer.json()["items"]
    return found


def assert_story(namespace: Namespace, job: str, *reasons: str) -> None:
    wait_until(lambda: story(namespace, job) == list(reasons), f"the Events of {job} are {reasons}")


def test_a_job_that_succeeds(namespace: Namespace, operator: Process) -> None:
    job = namespace.create_job("a")
    pod = namespace.wait_for_pod("a")
    namespace.run_pod(pod)
    namespace.wait_for_phase("a", "Running")
    namespace.finish_pod(pod)
    assert_story(namespace, "a", "Queued", "Admitted", "Started", "Succeeded")
    for event in events(namespace, "a"):
        assert event["regarding"]["uid"] == job["metadata"]["uid"]
        assert event["type"] == EVENTS[EventReason(event["reason"])].type
        assert event["reportingController"] == CONTROLLER
    assert [event["related"]["uid"] for event in events(namespace, "a")[1:]] == [pod["metadata"]["uid"]] * 3


def test_a_job_that_waits_and_is_suspended_and_resumed(namespace: Namespace, operator: Process) -> None:
    namespace.create_job("first", priority=1)
    pod = namespace.wait_for_pod("first")
    namespace.create_job("a")
    wait_until(lambda: story(namespace, "a") == ["Queued"], "it is queued")
    namespace.patch_job("a", suspend=True)
    namespace.wait_for_phase("a", "Suspended")
    namespace.patch_job("a", suspend=False)
    namespace.wait_for_phase("a", "Queued")
    namespace.finish_pod(pod)
    namespace.finish_pod(namespace.wait_for_pod("a"))
    # The second time in the queue is a repeat of the first, if its place is the same.
    assert_story(namespace, "a", "Queued", "Suspended", "Resumed", "Admitted", "Started", "Succeeded")
    assert events(namespace, "a")[0]["series"]["count"] == 2


def test_a_job_that_fails_and_is_retried(namespace: Namespace, operator: Process) -> None:
    namespace.create_job("a", backoffLimit=1)
    for attempt in (1, 2):
        pod = namespace.wait_for_pod("a")
        namespace.run_pod(pod)
        wait_until(lambda n=attempt: story(namespace, "a").count("Started") == n, "the run has started")
        namespace.end_pod(pod, failure(Reason.STORAGE_UNAVAILABLE), 75)
    run = ["Admitted", "Started"]
    wait_until(lambda: story(namespace, "a")[-1:] == ["Failed"], "it has failed")
    reasons = [reason for reason in story(namespace, "a") if reason != "Queued"]
    assert reasons == [*run, "Retrying", *run, "Failed"]
    by_reason = {event["reason"]: event for event in events(namespace, "a")}
    assert by_reason["Retrying"]["note"].startswith("Run 1 failed (StorageUnavailable). The next one starts at ")
    assert by_reason["Failed"]["note"].startswith("BackoffLimitExceeded: StorageUnavailable: it broke")


def test_a_quota_that_is_full_is_one_event_that_counts(namespace: Namespace, operator: Process) -> None:
    metadata = {"name": "full", "namespace": namespace.name}
    namespace.create_object("resourcequotas", {"metadata": metadata, "spec": {"hard": {"pods": "0"}}})
    namespace.create_job("a")
    wait_until(lambda: has_series(namespace, "a", "QuotaExceeded"), "it was refused twice")
    assert story(namespace, "a") == ["Queued", "QuotaExceeded"]
    namespace.delete("resourcequotas", "full")
    namespace.finish_pod(namespace.wait_for_pod("a"))
    assert_story(namespace, "a", "Queued", "QuotaExceeded", "Admitted", "Started", "Succeeded")


def has_series(namespace: Namespace, job: str, reason: str) -> bool:
    return any(event["reason"] == reason and event.get("series") for event in events(namespace, job))


def test_a_restarted_operator_adds_to_the_event_of_the_one_before(namespace: Namespace, operator: Process) -> None:
    metadata = {"name": "full", "namespace": namespace.name}
    namespace.create_object("resourcequotas", {"metadata": metadata, "spec": {"hard": {"pods": "0"}}})
    namespace.create_job("a")
    wait_until(lambda: has_series(namespace, "a", "QuotaExceeded"), "it was refused twice")
    before = count(namespace, "a", "QuotaExceeded")
    operator.kill()
    operator.start()
    wait_until(lambda: count(namespace, "a", "QuotaExceeded") > before, "it is counted on")
    assert story(namespace, "a") == ["Queued", "QuotaExceeded"]


def count(namespace: Namespace, job: str, reason: str) -> int:
    [event] = [event for event in events(namespace, job) if event["reason"] == reason]
    found: int = event.get("series", {"count": 1})["count"]
    return found


def test_a_pod_that_is_refused(
    namespace: Namespace, start_operator: Callable[..., Process], tmp_path: Path, api_server: ApiServer
) -> None:
    kubeconfig = tmp_path / "proxy.yaml"
    with Refusing("pods", api_server.url, seed=1, request_rate=0) as proxy:
        kubeconfig.write_text(write_kubeconfig(proxy.url, "a-token", namespace.name))
        proxy.begin()
        start_operator(KUBECONFIG=str(kubeconfig))
        namespace.create_job("a")
        wait_until(lambda: story(namespace, "a") == ["Queued", "PodRefused"], "the refusal is an Event")
        assert events(namespace, "a")[1]["type"] == "Warning"
        proxy.calm()
        namespace.finish_pod(namespace.wait_for_pod("a"))
        assert_story(namespace, "a", "Queued", "PodRefused", "Admitted", "Started", "Succeeded")


def test_without_rights_to_events_jobs_run_as_before(
    namespace: Namespace, start_operator: Callable[..., Process], tmp_path: Path, api_server: ApiServer
) -> None:
    kubeconfig = tmp_path / "proxy.yaml"
    with Refusing("events", api_server.url, seed=1, request_rate=0) as proxy:
        kubeconfig.write_text(write_kubeconfig(proxy.url, "a-token", namespace.name))
        proxy.begin()
        operator = start_operator(KUBECONFIG=str(kubeconfig))
        for number in range(3):
            namespace.create_job(f"job-{number}")
            namespace.finish_pod(namespace.wait_for_pod(f"job-{number}"))
            namespace.wait_for_phase(f"job-{number}", "Succeeded")
        assert proxy.faults["events"] == 1
        assert operator.log().count("Events are not posted until the operator may create and patch them") == 1
        assert not operator.ended()


class Refusing(FaultProxy):
    """Until it is calm, nothing of one kind can be created."""

    def __init__(self, plural: str, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._plural = plural

    def _draw_fault(self, request: web.Request, is_watch: bool) -> Refusal | None:
        if self._calm.is_set() or request.method != "POST" or not request.path.endswith(f"/{self._plural}"):
            return None
        self.faults[self._plural] += 1
        return Refusal.FORBIDDEN
