"""The reconcile loop on a simulated API: whole lifecycles, refusals, duplicates, and stale views."""

from typing import Any

import pytest
from support.operator_snapshots import failure
from support.simulated_api import SimulatedApi
from support.simulated_operator import GENERATE, SimulatedNode, SimulatedOperator, SimulatedUser

from darkroom_contract.names import slot_lease_name
from darkroom_contract.outcome import Reason
from darkroom_operator.reconcile.actions import VerifyPods

LEASE = slot_lease_name(0)


class Stage:
    """One API, one operator, one user, one node."""

    def __init__(self, slots: int = 1) -> None:
        self.api = SimulatedApi()
        self.user, self.node = SimulatedUser(self.api), SimulatedNode(self.api)
        self.operator = SimulatedOperator(self.api, slots)

    def status(self, name: str) -> dict[str, Any]:
        status: dict[str, Any] = self.api.get(GENERATE, name).get("status", {})
        return status

    def phase(self, name: str) -> str:
        phase: str = self.status(name).get("phase", "")
        return phase

    def rest(self) -> list[str]:
        """The operator does all it can. Returns the names of the pods that may run then."""
        self.operator.rest()
        return self.node.live()

    def step_until(self, what: str) -> None:
        """Until the operator is about to send such a request."""
        for _ in range(200):
            self.operator.see_all()
            self.operator.step(1)
            if self.operator.kube.sending == what:
                return
        raise AssertionError(f"no request to {what}")


@pytest.fixture
def stage() -> Stage:
    return Stage()


class TestLifecycle:
    def test_jobs_run_one_after_the_other(self, stage: Stage) -> None:
        for name in ("a", "b", "c"):
            stage.user.create(name)
        runs: list[str] = []
        while live := stage.rest():
            runs += live
            assert len(live) == 1
            stage.node.start(live[0])
            assert stage.rest() == live
            stage.node.succeed(live[0])
        assert len(runs) == 3
        assert {stage.phase(name) for name in ("a", "b", "c")} == {"Succeeded"}

    def test_a_failed_run_is_retried_in_its_turn(self, stage: Stage) -> None:
        stage.user.create("a", priority=1)
        stage.user.create("b")
        stage.node.end(stage.rest()[0], failure(Reason.STORAGE_UNAVAILABLE), 75)
        assert stage.rest()[0].startswith("b-")
        stage.api.pass_time(10)
        stage.node.succeed(stage.rest()[0])
        [again] = stage.rest()
        assert again.startswith("a-")
        assert again.endswith("-2")

    def test_nothing_is_sent_when_nothing_changes(self, stage: Stage) -> None:
        stage.user.create("a")
        stage.user.create("b")
        stage.rest()
        sent, revision = stage.operator.kube.sent, stage.api.revision
        stage.rest()
        assert (stage.operator.kube.sent, stage.api.revision) == (sent, revision)

    @pytest.mark.parametrize("after", range(40))
    def test_an_operator_that_dies_between_any_two_requests_loses_nothing(self, stage: Stage, after: int) -> None:
        stage.user.create("a")
        stage.operator.see_all()
        stage.operator.step(after)
        stage.operator.crash()
        stage.node.succeed(stage.rest()[0])
        stage.rest()
        assert (stage.phase("a"), stage.status("a")["attempts"]) == ("Succeeded", 1)


class TestStaleView:
    def test_a_run_that_another_operator_has_started_is_not_deleted_as_a_stray(self, stage: Stage) -> None:
        """The other's jobs and Leases were not seen yet, its pod was."""
        late = SimulatedOperator(stage.api)
        stage.user.create("a")
        [pod] = stage.rest()
        stage.node.start(pod)
        late.see("pods")
        late.step(100)
        late.rest()
        assert stage.node.live() == [pod]
        assert "deletionTimestamp" not in stage.api.get("pods", pod)["metadata"]

    def test_a_run_whose_record_was_not_seen_yet_is_not_ended(self, stage: Stage) -> None:
        late = SimulatedOperator(stage.api)
        stage.user.create("a")
        late.see(GENERATE)
        [pod] = stage.rest()
        stage.node.start(pod)
        late.see("leases")
        late.see("pods")
        late.step(100)
        late.rest()
        assert stage.node.live() == [pod]
        assert stage.status("a")["attempts"] == 1
        assert "deletionTimestamp" not in stage.api.get("pods", pod)["metadata"]

    def test_a_holder_is_not_requeued_because_its_lease_was_not_seen_yet(self, stage: Stage) -> None:
        late = SimulatedOperator(stage.api)
        stage.user.create("a")
        [pod] = stage.rest()
        late.see(GENERATE)
        late.step(100)
        assert stage.status("a")["slot"] == 0
        assert stage.rest() == [pod]

    def test_a_pod_newer_than_a_list_is_not_dropped(self, stage: Stage) -> None:
        stage.user.create("a")
        [pod] = stage.rest()
        job_uid = stage.api.get(GENERATE, "a")["metadata"]["uid"]
        asking = stage.operator.executor.send(VerifyPods(job_uid, "another"))
        while stage.operator.kube.answered != "list pods":
            asking.send(None)
        later = stage.api.create("pods", a_second(stage.api.get("pods", pod)))
        stage.operator.see("pods")
        with pytest.raises(StopIteration):
            asking.send(None)
        deleted = stage.operator.cache.snapshot(stage.api.now, 1).deleted
        assert later["metadata"]["uid"] not in deleted
        assert "another" in deleted

    def test_a_pod_about_to_be_ungated_does_not_run_beside_another_when_its_lease_is_deleted(
        self, stage: Stage
    ) -> None:
        stage.user.create("a")
        stage.operator.see_all()
        stage.step_until("patch pod")
        stage.api.delete("leases", LEASE)
        stage.user.create("b", priority=9)
        other = SimulatedOperator(stage.api)
        other.rest()
        stage.operator.step(100)
        assert len(stage.node.live()) == 1

    def test_a_slot_with_a_new_holder_is_not_confirmed_for_the_former_one(self, stage: Stage) -> None:
        stage.user.create("a", priority=9)
        stage.user.create("b")
        stage.step_until("patch lease")
        stage.user.suspend(GENERATE, "a", True)
        SimulatedOperator(stage.api).rest()
        lease, [pod] = stage.api.get("leases", LEASE), stage.node.live()
        stage.operator.step(2)
        assert pod.startswith("b-")
        assert stage.api.get("leases", LEASE) == lease
        stage.operator.step(100)
        assert stage.node.live() == [pod]

    def test_a_run_that_no_watch_has_delivered_is_found_before_a_lease_is_created_again(self, stage: Stage) -> None:
        late = SimulatedOperator(stage.api)
        stage.user.create("a")
        [pod] = stage.rest()
        stage.api.delete("leases", LEASE)
        stage.user.create("b", priority=9)
        late.see(GENERATE)
        late.step(1000)
        assert stage.node.live() == [pod]


class TestRefusals:
    def test_a_refused_pod_of_one_slot_delays_neither_the_other_slot_nor_the_queue(self) -> None:
        stage = Stage(slots=2)
        for name in ("a", "b", "c"):
            stage.user.create(name)
        stage.api.forbid("create pod", lambda manifest: manifest["metadata"]["name"].startswith("a-"))
        assert [name[:2] for name in stage.rest()] == ["b-"]
        assert stage.status("c")["queue"]["position"] == 0
        assert stage.status("a")["conditions"][-1]["reason"] == "PodRefused"

    def test_a_refused_status_delays_no_other(self, stage: Stage) -> None:
        for name in ("a", "b", "c"):
            stage.user.create(name)
        stage.api.forbid("patch status", lambda request: request["name"] == "b")
        stage.rest()
        for _ in range(3):
            stage.api.pass_time(30)
            stage.rest()
        assert stage.status("c")["queue"]["position"] == 1

    def test_an_action_that_changes_nothing_is_not_repeated_forever(self, stage: Stage) -> None:
        stage.user.create("a")
        stage.api.ignore("patch status")
        stage.operator.see_all()
        stage.operator.step(10_000)
        assert stage.operator.kube.sent < 20

    def test_a_foreign_pod_with_the_same_name_is_reported_and_fails_the_run_in_time(self, stage: Stage) -> None:
        stage.user.create("a", startDeadlineSeconds=30, backoffLimit=0)
        uid = stage.api.get(GENERATE, "a")["metadata"]["uid"].replace("-", "")[:8]
        stage.api.create("pods", {"metadata": {"name": f"a-{uid}-1", "ownerReferences": [{"uid": ""}]}, "spec": {}})
        stage.rest()
        assert stage.status("a")["conditions"][-1]["reason"] == "PodRefused"
        stage.api.pass_time(31)
        stage.rest()
        assert stage.phase("a") == "Failed"

    def test_one_refusal_does_not_count_against_a_later_try(self, stage: Stage) -> None:
        """Only a refusal counts: not an operator that was down for longer than the deadline."""
        stage.user.create("a", startDeadlineSeconds=30, backoffLimit=0)
        stage.step_until("create pod")
        stage.operator.crash()
        stage.api.pass_time(3600)
        assert len(stage.rest()) == 1
        assert stage.status("a").get("failures", 0) == 0


class TestQuota:
    """It counts every pod that is not terminated, of any owner."""

    @pytest.fixture
    def full(self, stage: Stage) -> Stage:
        """A job whose pod exceeds the quota, because of a pod of another owner."""
        stage.api.pod_quota = 1
        stage.api.create("pods", {"metadata": {"name": "foreign", "ownerReferences": [{"uid": ""}]}, "spec": {}})
        stage.user.create("a", startDeadlineSeconds=30, backoffLimit=0)
        stage.rest()
        return stage

    def condition(self, stage: Stage) -> dict[str, Any]:
        [found] = [each for each in stage.status("a")["conditions"] if each["type"] == "Admitted"]
        return found

    def test_the_job_stays_queued_with_the_api_server_s_message(self, full: Stage) -> None:
        condition = self.condition(full)
        assert (full.phase("a"), condition["status"], condition["reason"]) == ("Queued", "False", "QuotaExceeded")
        assert condition["message"].endswith(
            "is forbidden: exceeded quota: darkroom-runner, requested: pods=1, used: pods=1, limited: pods=1"
        )

    def test_it_is_never_a_failure_however_long_it_lasts(self, full: Stage) -> None:
        for _ in range(20):
            full.api.pass_time(30)
            full.rest()
        assert full.phase("a") == "Queued"
        full.api.remove("pods", "foreign")
        full.api.pass_time(5)
        assert full.rest() == ["a-uid1-1"]
        assert full.status("a").get("failures", 0) == 0

    def test_a_full_quota_is_retried_only_every_few_seconds(self, full: Stage) -> None:
        refusals = full.api.quota_refusals
        for _ in range(120):
            assert 0 < full.operator.seconds_until_the_next_look() <= 5
            full.api.pass_time(0.5)
            full.rest()
        assert 11 <= full.api.quota_refusals - refusals <= 18

    def test_the_end_of_a_run_lets_the_next_start_at_once(self) -> None:
        stage = Stage(slots=2)
        stage.api.pod_quota = 1
        for name in ("a", "b", "c"):
            stage.user.create(name)
        [first] = stage.rest()
        for _ in range(10):
            stage.api.pass_time(5)
            assert stage.rest() == [first]
        stage.node.succeed(first)
        [second] = stage.rest()
        assert (first[0], second[0]) == ("a", "b")
        stage.node.succeed(second)
        assert [name[0] for name in stage.rest()] == ["c"]

    def test_other_jobs_get_their_position_and_the_holder_can_be_suspended_without_delay(self, full: Stage) -> None:
        full.user.create("b")
        full.rest()
        assert full.status("b")["queue"] == {"position": 0, "waitingFor": "GenerateJob/a"}
        full.user.suspend(GENERATE, "a", True)
        full.rest()
        assert (full.phase("a"), self.condition(full)["reason"]) == ("Suspended", "Suspended")
        assert full.api.get("leases", LEASE)["metadata"]["annotations"]["darkroom.dev/job"] == "GenerateJob/b"

    def test_the_slot_is_freed_when_no_job_is_left_to_hold_it(self, full: Stage) -> None:
        full.api.delete(GENERATE, "a")
        full.rest()
        assert "holderIdentity" not in full.api.get("leases", LEASE)["spec"]


class TestForeignGate:
    def test_it_stays_when_ours_is_removed_and_the_run_starts_when_it_is_removed(self, stage: Stage) -> None:
        stage.api.added_gate = "kueue.x-k8s.io/admission"
        stage.user.create("a")
        stage.user.create("b")
        [pod] = stage.rest()
        assert stage.api.get("pods", pod)["spec"]["schedulingGates"] == [{"name": "kueue.x-k8s.io/admission"}]
        assert "kueue.x-k8s.io/admission" in stage.status("a")["conditions"][-1]["message"]
        stage.node.start(pod)
        stage.node.succeed(pod)
        stage.rest()
        assert stage.phase("a") == "Succeeded"


class TestManualEdits:
    def test_a_deleted_lease_is_not_trusted_when_a_late_response_brings_it_back(self, stage: Stage) -> None:
        """Its job is requeued, although the cache contains two Leases for a while."""
        other = SimulatedOperator(stage.api)
        stage.user.create("a")
        stage.operator.see_all()
        while stage.operator.kube.answered != "patch lease":
            stage.operator.step(1)
        stage.api.delete("leases", LEASE)
        stage.user.create("b")
        other.see(GENERATE)
        while other.kube.sending != "create pod":
            other.step(1)
        assert [name[0] for name in stage.rest()] == ["b"]
        assert stage.phase("a") == "Queued"

    def test_the_success_of_a_run_counts_even_if_its_lease_was_deleted(self, stage: Stage) -> None:
        stage.user.create("a")
        [pod] = stage.rest()
        stage.operator.crash()
        stage.node.succeed(pod)
        stage.api.delete("leases", LEASE)
        stage.user.create("b", priority=9)
        assert stage.rest()[0].startswith("b-")
        assert (stage.phase("a"), stage.status("a")["attempts"]) == ("Succeeded", 1)

    def test_a_holder_that_was_removed_from_the_lease_does_not_run_beside_another(self, stage: Stage) -> None:
        stage.user.create("a")
        [pod] = stage.rest()
        stage.user.create("b", priority=9)
        stage.api.patch("leases", LEASE, {"spec": {"holderIdentity": None}})
        assert stage.rest() == [pod]

    def test_a_lease_without_the_key_of_its_holder_is_corrected(self, stage: Stage) -> None:
        stage.user.create("a")
        [pod] = stage.rest()
        stage.api.patch("leases", LEASE, {"metadata": {"annotations": {"darkroom.dev/job": None}}})
        stage.operator.crash()
        assert stage.rest() == [pod]
        stage.node.succeed(pod)
        stage.rest()
        assert stage.phase("a") == "Succeeded"

    @pytest.mark.parametrize(
        "status",
        [
            {"failures": 10**6},
            {"attempts": 0},
            {"nextAttemptTime": "2026-11-25T12:00:00"},
            {"phase": "Queued", "slot": 7},
            {"podUid": "x"},
        ],
    )
    def test_an_edited_status_ends_neither_the_operator_nor_the_queue(
        self, stage: Stage, status: dict[str, Any]
    ) -> None:
        stage.user.create("a")
        stage.user.create("b")
        stage.rest()
        stage.api.patch(GENERATE, "a", {"status": status})
        for _ in range(8):
            for pod in stage.rest():
                stage.node.succeed(pod)
            stage.node.remove_deleted()
            stage.api.pass_time(20)
        assert stage.phase("b") == "Succeeded"


def a_second(pod: dict[str, Any]) -> dict[str, Any]:
    """The same pod under another name."""
    return {**pod, "metadata": {**pod["metadata"], "name": pod["metadata"]["name"] + "0"}}


def test_planning_that_takes_long_with_many_jobs_is_done_rarely_and_delays_no_slot(stage: Stage) -> None:
    stage.operator.look_cpu_seconds = 1.0
    stage.user.create("a")
    stage.rest()
    stage.api.pass_time(30)
    stage.rest()  # A look, and the next one is due in 19 s.
    stage.user.create("b")
    stage.api.pass_time(18)
    assert stage.rest()
    assert (stage.phase("a"), stage.phase("b")) == ("Starting", "")
    stage.api.pass_time(2)
    stage.rest()
    assert stage.phase("b") == "Queued"
