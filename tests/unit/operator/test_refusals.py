"""Jobs that no run can finish fail at once: no slot is taken for them, and no pod is made."""

from dataclasses import replace
from typing import Any

import pytest
from support.operator_worlds import a_job, a_training
from support.simulated_api import SimulatedApi
from support.simulated_operator import GENERATE, TRAIN, SimulatedNode, SimulatedOperator, SimulatedUser

from darkroom_contract.datasets import DatasetPolicy
from darkroom_contract.outcome import Reason
from darkroom_operator.refusals import refusal
from darkroom_operator.settings import Settings

POLICY = DatasetPolicy("darkroom", ("s3://photos/",))
SETTINGS = Settings(runner_image="x", dataset_policy=POLICY)


def failed(job: dict[str, Any]) -> tuple[str, str]:
    """Phase, and reason of the condition `Failed`."""
    reasons = [each["reason"] for each in job["status"]["conditions"] if each["type"] == "Failed"]
    return job["status"]["phase"], *reasons


SECRET = {"uri": "s3://darkroom/datasets/lab/secret/"}


class TestADatasetOutsideOfWhatIsAllowed:
    def test_is_refused_with_what_is_allowed(self) -> None:
        found = refusal(a_training(dataset=SECRET), SETTINGS)
        assert found is not None
        assert found.reason is Reason.DATASET_NOT_ALLOWED
        assert "s3://darkroom/datasets/default/, s3://photos/" in found.message

    @pytest.mark.parametrize("uri", ["s3://darkroom/datasets/default/x/", "s3://photos/dogs/"])
    def test_others_are_not(self, uri: str) -> None:
        assert refusal(a_training(dataset={"uri": uri}), SETTINGS) is None

    def test_it_is_left_to_the_runner_where_the_operator_was_told_of_no_bucket(self) -> None:
        assert refusal(a_training(dataset=SECRET), Settings(runner_image="x")) is None

    def test_a_generation_has_none(self) -> None:
        assert refusal(a_job(), SETTINGS) is None

    def test_the_namespace_is_the_job_s_own(self) -> None:
        assert refusal(replace(a_training(dataset=SECRET), namespace="lab"), SETTINGS) is None


class TestARefusedJob:
    def stage(self) -> tuple[SimulatedApi, SimulatedUser, SimulatedNode, SimulatedOperator]:
        api = SimulatedApi()
        operator = SimulatedOperator(api, dataset_policy=POLICY)
        return api, SimulatedUser(api), SimulatedNode(api), operator

    def test_fails_without_a_slot_and_without_a_pod(self) -> None:
        api, user, node, operator = self.stage()
        user.train("thief", "m", dataset={"uri": "s3://darkroom/datasets/lab/secret/"})
        operator.rest()
        assert failed(api.get(TRAIN, "thief")) == ("Failed", Reason.DATASET_NOT_ALLOWED)
        assert "attempts" not in api.get(TRAIN, "thief")["status"]
        assert api.all("pods") == []
        assert node.live() == []

    def test_fails_at_once_behind_a_long_run_and_keeps_nobody_from_his_turn(self) -> None:
        api, user, node, operator = self.stage()
        user.create("long")
        operator.rest()
        user.train("thief", "m", dataset={"uri": "s3://elsewhere/photos/"}, priority=9)
        user.create("next")
        operator.rest()
        assert failed(api.get(TRAIN, "thief")) == ("Failed", Reason.DATASET_NOT_ALLOWED)
        assert api.get(GENERATE, "next")["status"]["queue"]["position"] == 0
        [pod] = node.live()
        node.start(pod)
        node.succeed(pod)
        operator.rest()
        assert [name for name in node.live() if name.startswith("next")] == node.live() != []

    def test_that_is_suspended_is_judged_when_it_would_run(self) -> None:
        api, user, _, operator = self.stage()
        user.train("later", "m", dataset={"uri": "s3://elsewhere/photos/"}, suspend=True)
        operator.rest()
        assert failed(api.get(TRAIN, "later")) == ("Suspended",)
        user.suspend(TRAIN, "later", False)
        operator.rest()
        assert failed(api.get(TRAIN, "later")) == ("Failed", Reason.DATASET_NOT_ALLOWED)

    def test_whose_run_began_under_other_settings_is_judged_by_its_run(self) -> None:
        api, user, node, _ = self.stage()
        free = SimulatedOperator(api)
        user.train("early", "m", dataset={"uri": "s3://elsewhere/photos/"})
        free.rest()
        [pod] = node.live()
        node.start(pod)
        strict = SimulatedOperator(api, dataset_policy=POLICY)
        strict.rest()
        assert api.get(TRAIN, "early")["status"]["phase"] == "Running"
        node.succeed(pod)
        strict.rest()
        assert api.get(TRAIN, "early")["status"]["phase"] == "Succeeded"
