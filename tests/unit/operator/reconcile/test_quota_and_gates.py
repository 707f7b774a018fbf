"""Runs delayed by a full quota or by the scheduling gate of another controller, on a simulated API."""

from typing import Any

import pytest
from support.reconcile_stage import LEASE, Stage
from support.simulated_user import GENERATE


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
