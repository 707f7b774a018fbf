"""The reconcile loop on a simulated API: lifecycles, refusals and the cost of planning."""

import pytest
from support.operator_snapshots import failure
from support.reconcile_stage import Stage
from support.simulated_user import GENERATE

from darkroom_contract.outcome import Reason


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
