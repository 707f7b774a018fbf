"""The lifecycle of jobs: an operator process with a real API server; the test acts as user and node."""

from collections.abc import Callable

import pytest
from support.operator_processes import Namespace, Node, failure, wait_until
from support.server_process import Process

from darkroom_contract.names import Kind
from darkroom_contract.outcome import Reason


@pytest.mark.usefixtures("operator")
class TestWholeLifecycle:
    def test_a_job_is_queued_started_run_and_gets_its_artifacts(self, namespace: Namespace) -> None:
        namespace.create_job("a")
        pod = namespace.wait_for_pod("a")
        assert namespace.status("a")["podName"] == pod["metadata"]["name"]
        namespace.run_pod(pod)
        running = namespace.wait_for_phase("a", "Running")
        assert running["attempts"] == 1
        namespace.finish_pod(pod)
        done = namespace.wait_for_phase("a", "Succeeded")
        assert [each["key"] for each in done["artifacts"]] == ["runs/x/image-1.png"]
        assert namespace.condition("a", "Complete")["status"] == "True"
        wait_until(namespace.slot_is_free, "the slot is given back")

    def test_ten_jobs_of_both_kinds_run_one_after_the_other_in_their_order(self, namespace: Namespace) -> None:
        holder = namespace.create_job("first", priority=1)["metadata"]["name"]
        namespace.wait_for_pod(holder)
        for number in range(10):
            namespace.create_job(f"job-{number}", Kind.TRAIN if number % 2 else Kind.GENERATE, priority=-number)
        node = Node(namespace)
        node.run_until(namespace.all_succeeded, "all jobs succeed")
        assert node.most_at_once == 1
        assert [name.rsplit("-", 2)[0] for name in node.started] == [holder, *(f"job-{n}" for n in range(10))]

    def test_waiting_jobs_have_their_position_and_the_holder_of_the_slot(self, namespace: Namespace) -> None:
        namespace.create_job("a")
        namespace.wait_for_pod("a")
        namespace.create_job("b", priority=2)
        namespace.create_job("c", priority=1)
        wait_until(lambda: namespace.status("c").get("queue", {}).get("position") == 1, "c is second")
        assert namespace.status("b")["queue"] == {"position": 0, "waitingFor": "GenerateJob/a"}

    def test_a_deleted_job_releases_its_slot_only_when_its_pod_is_gone(self, namespace: Namespace) -> None:
        namespace.create_job("a", priority=1)
        pod = namespace.wait_for_pod("a")
        namespace.run_pod(pod)
        namespace.create_job("b")
        namespace.delete(Kind.GENERATE.plural, "a")
        wait_until(lambda: "deletionTimestamp" in namespace.pods()[0]["metadata"], "the pod is being deleted")
        wait_until(lambda: namespace.status("b").get("queue"), "b waits")
        assert [each["metadata"]["name"] for each in namespace.active_pods()] == [pod["metadata"]["name"]]
        namespace.remove_pod(pod)
        namespace.wait_for_pod("b")


@pytest.mark.usefixtures("operator")
class TestStopping:
    def test_a_suspended_run_is_stopped_and_runs_again_when_it_is_resumed(self, namespace: Namespace) -> None:
        namespace.create_job("a")
        pod = namespace.wait_for_pod("a")
        namespace.run_pod(pod)
        namespace.patch_job("a", suspend=True)
        wait_until(lambda: "deletionTimestamp" in namespace.pods()[0]["metadata"], "the pod is being deleted")
        assert namespace.condition("a", "PodReady")["reason"] == "Suspended"
        namespace.end_pod(pod, failure(Reason.INTERRUPTED), 143)
        namespace.remove_pod(pod)
        suspended = namespace.wait_for_phase("a", "Suspended")
        assert (suspended.get("failures", 0), suspended["attempts"]) == (0, 1)
        namespace.patch_job("a", suspend=False)
        namespace.finish_pod(namespace.wait_for_pod("a"))
        assert namespace.wait_for_phase("a", "Succeeded")["attempts"] == 2

    def test_a_job_created_suspended_is_overtaken(self, namespace: Namespace) -> None:
        namespace.create_job("a", priority=9, suspend=True)
        namespace.create_job("b")
        namespace.wait_for_pod("b")
        namespace.wait_for_phase("a", "Suspended")
        assert namespace.condition("a", "Suspended")["status"] == "True"

    def test_a_pod_that_does_not_start_in_time_fails_its_run_with_the_scheduler_s_message(
        self, namespace: Namespace
    ) -> None:
        namespace.create_job("a", startDeadlineSeconds=1, backoffLimit=0)
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/1 nodes: no GPU.",
        }
        namespace.set_pod_status(namespace.wait_for_pod("a"), conditions=[condition])
        namespace.wait_for_phase("a", "Failed")
        message = namespace.condition("a", "Failed")["message"]
        assert message.startswith("StartDeadlineExceeded")
        assert "0/1 nodes: no GPU." in message
        wait_until(namespace.slot_is_free, "the slot is given back")

    def test_a_run_past_its_deadline_fails_its_job(self, namespace: Namespace) -> None:
        namespace.create_job("a", activeDeadlineSeconds=1)
        pod = namespace.wait_for_pod("a")
        namespace.run_pod(pod)
        wait_until(lambda: "deletionTimestamp" in namespace.pods()[0]["metadata"], "the pod is being deleted")
        namespace.remove_pod(pod)
        namespace.wait_for_phase("a", "Failed")
        assert namespace.condition("a", "Failed")["reason"] == "ActiveDeadlineExceeded"


@pytest.mark.usefixtures("operator")
class TestFailing:
    def test_a_failed_run_is_retried_after_other_jobs_until_the_limit(self, namespace: Namespace) -> None:
        namespace.create_job("a", priority=1, backoffLimit=1)
        namespace.end_pod(namespace.wait_for_pod("a"), failure(Reason.STORAGE_UNAVAILABLE), 75)
        waiting = namespace.wait_for_phase("a", "Queued")
        assert waiting["failures"] == 1
        assert waiting["nextAttemptTime"]
        assert namespace.condition("a", "Admitted")["reason"] == "BackingOff"
        second = namespace.wait_for_pod("a")
        assert second["metadata"]["labels"]["darkroom.dev/attempt"] == "2"
        namespace.end_pod(second, failure(Reason.STORAGE_UNAVAILABLE), 75)
        namespace.wait_for_phase("a", "Failed")
        assert namespace.condition("a", "Failed")["reason"] == "BackoffLimitExceeded"

    def test_invalid_input_fails_the_job_at_once(self, namespace: Namespace) -> None:
        namespace.create_job("a")
        namespace.end_pod(namespace.wait_for_pod("a"), failure(Reason.MODEL_NOT_FOUND), 2)
        assert namespace.wait_for_phase("a", "Failed")["attempts"] == 1
        assert namespace.condition("a", "Failed")["reason"] == "ModelNotFound"

    def test_a_finished_job_is_deleted_with_its_pods_when_its_time_to_live_expires(self, namespace: Namespace) -> None:
        namespace.create_job("a", ttlSecondsAfterFinished=1)
        namespace.finish_pod(namespace.wait_for_pod("a"))
        wait_until(lambda: not namespace.exists(Kind.GENERATE.plural, "a"), "the job is removed")
        wait_until(lambda: not namespace.pods(), "its pod is removed")

    def test_a_pod_that_was_deleted_by_hand_counts_as_a_failed_run(self, namespace: Namespace) -> None:
        namespace.create_job("a", backoffLimit=0)
        namespace.delete("pods", namespace.wait_for_pod("a")["metadata"]["name"])
        namespace.wait_for_phase("a", "Failed")
        assert namespace.condition("a", "Failed")["message"].startswith("PodLost")


def test_a_pod_that_can_t_be_created_is_reported_and_fails_the_run_in_time(
    namespace: Namespace, start_operator: Callable[..., Process]
) -> None:
    job = namespace.create_job("a", startDeadlineSeconds=2, backoffLimit=0, priority=1)
    namespace.create_job("b")
    namespace.create_foreign_pod(f"a-{job['metadata']['uid'].replace('-', '')[:8]}-1")
    start_operator()
    wait_until(lambda: namespace.condition("a", "PodReady").get("reason") == "PodRefused", "the refusal is reported")
    assert "already exists" in namespace.condition("a", "PodReady")["message"]
    namespace.wait_for_phase("a", "Failed")
    namespace.wait_for_pod("b")
