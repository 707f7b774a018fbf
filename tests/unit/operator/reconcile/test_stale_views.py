"""Stale views and objects that were edited by hand, on a simulated API."""

from typing import Any

import pytest
from support.reconcile_stage import LEASE, Stage
from support.simulated_operator import SimulatedOperator
from support.simulated_user import GENERATE

from darkroom_operator.reconcile.actions import VerifyPods


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

    @pytest.mark.parametrize("wait", [0, 20], ids=["in time", "after the start deadline"])
    def test_a_run_that_has_started_does_not_wait_again(self, stage: Stage, wait: int) -> None:
        """The pod was seen before its container started, job and Lease after that."""
        late = SimulatedOperator(stage.api)
        stage.user.create("a", startDeadlineSeconds=10)
        [pod] = stage.rest()
        late.see("pods")
        stage.node.start(pod)
        stage.rest()
        started = stage.status("a")
        assert started["phase"] == "Running"
        stage.api.pass_time(wait)
        late.see(GENERATE)
        late.see("leases")
        late.step(100)
        assert stage.status("a") == started
        late.rest()
        stage.rest()
        assert stage.status("a")["runStartTime"] == started["runStartTime"]
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
        asking = stage.operator.executor.send(VerifyPods(0, "another"))
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
