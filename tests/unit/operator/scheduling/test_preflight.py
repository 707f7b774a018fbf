"""Preflight checks: jobs that no run can finish fail at once, without a slot and without a pod."""

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from support.operator_snapshots import a_job, a_training
from support.simulated_api import SimulatedApi
from support.simulated_node import SimulatedNode
from support.simulated_operator import SimulatedOperator
from support.simulated_user import GENERATE, TRAIN, SimulatedUser
from support.waiting import waiter

from darkroom_contract.base_models import SDXL_PIPELINE, SVD_PIPELINE
from darkroom_contract.jobs import Job
from darkroom_contract.outcome import Reason
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.video import Video
from darkroom_operator.pods.pod_outcome import Failure
from darkroom_operator.scheduling.preflight import ModelRoot, preflight_failure
from darkroom_operator.settings import Settings

DATASETS = {"s3_bucket": "darkroom", "dataset_uris": ("s3://photos/",)}
SETTINGS = Settings(runner_image="x", **DATASETS)


def refusal_of(job: Job, settings: Settings) -> Failure | None:
    return preflight_failure(job, settings, ModelRoot(settings.model_root))


def failed(job: dict[str, Any]) -> tuple[str, str]:
    """Phase, and reason of the condition `Failed`."""
    reasons = [each["reason"] for each in job["status"]["conditions"] if each["type"] == "Failed"]
    return job["status"]["phase"], *reasons


SECRET = {"uri": "s3://darkroom/datasets/lab/secret/"}


class TestForbiddenDataset:
    def test_is_rejected_with_the_allowed_addresses(self) -> None:
        found = refusal_of(a_training(dataset=SECRET), SETTINGS)
        assert found is not None
        assert found.reason is Reason.DATASET_NOT_ALLOWED
        assert "s3://darkroom/datasets/default/, s3://photos/" in found.message

    @pytest.mark.parametrize("uri", ["s3://darkroom/datasets/default/x/", "s3://photos/dogs/"])
    def test_other_datasets_are_accepted(self, uri: str) -> None:
        assert refusal_of(a_training(dataset={"uri": uri}), SETTINGS) is None

    def test_it_is_left_to_the_runner_if_the_operator_knows_no_bucket(self) -> None:
        assert refusal_of(a_training(dataset=SECRET), Settings(runner_image="x")) is None

    def test_a_generation_has_no_dataset(self) -> None:
        assert refusal_of(a_job(), SETTINGS) is None

    def test_the_namespace_is_that_of_the_job(self) -> None:
        assert refusal_of(replace(a_training(dataset=SECRET), namespace="lab"), SETTINGS) is None

    @pytest.mark.parametrize(
        "spec",
        [
            {"concepts": [{"prompt": "a sks cat", "dataset": SECRET}]},
            {"training": {"priorPreservation": {"classPrompt": "a star", "dataset": SECRET}}},
            {
                "concepts": [
                    {
                        "prompt": "a sks cat",
                        "dataset": {"uri": "s3://photos/cat/"},
                        "priorPreservation": {"classPrompt": "a cat", "dataset": SECRET},
                    }
                ]
            },
        ],
        ids=["a concept", "class pictures", "class pictures of a concept"],
    )
    def test_of_a_concept_or_a_class_is_rejected(self, spec: dict[str, Any]) -> None:
        found = refusal_of(a_training(dataset={"uri": "s3://photos/dogs/"}, **spec), SETTINGS)
        assert found is not None
        assert found.reason is Reason.DATASET_NOT_ALLOWED
        assert SECRET["uri"] in found.message


class TestForbiddenLora:
    STOLEN = "s3://darkroom/loras/lab/style.safetensors"

    def jobs(self, uri: str) -> list[Job]:
        loras = [{"modelId": "my-dog"}, {"uri": uri}]
        return [
            replace(a_job(), spec=GenerateJobSpec.from_dict({"prompt": "a dog", "loras": loras})),
            a_training(dataset={"uri": "s3://photos/dogs/"}, training={"initialLora": {"uri": uri}}),
        ]

    def test_is_rejected_with_the_allowed_addresses(self) -> None:
        for job in self.jobs(self.STOLEN):
            found = refusal_of(job, SETTINGS)
            assert found is not None
            assert found.reason is Reason.DATASET_NOT_ALLOWED
            assert "s3://darkroom/loras/default/, s3://photos/" in found.message

    @pytest.mark.parametrize("uri", ["s3://darkroom/loras/default/x.safetensors", "s3://photos/loras/x.safetensors"])
    def test_others_are_accepted(self, uri: str) -> None:
        for job in self.jobs(uri):
            assert refusal_of(job, SETTINGS) is None

    def test_a_path_out_of_the_folder_is_rejected(self) -> None:
        for job in self.jobs("s3://darkroom/loras/default/../lab/x.safetensors"):
            assert refusal_of(job, SETTINGS) is not None


PHOTOS = {"uri": "s3://photos/x/"}
DOGS = "\N{DOG FACE}" * 1000
"""Four bytes each."""
LONG_TEXTS: dict[str, Any] = {
    "concepts": [{"prompt": DOGS, "dataset": PHOTOS, "priorPreservation": {"classPrompt": DOGS}}] * 8,
    "dataset": PHOTOS | {"captions": {f"{number}.jpg": DOGS for number in range(5)}},
    "training": {"validationPrompts": [DOGS] * 8},
}
"""Each is within its bounds."""


class TestContradiction:
    VIDEO: ClassVar = {"min_guidance_scale": 3.0, "max_guidance_scale": 1.0}

    def test_is_rejected_under_crds_that_accepted_it(self) -> None:
        found = refusal_of(a_job(allow_motion=True, video=Video(**self.VIDEO)), SETTINGS)
        assert found is not None
        assert found.reason is Reason.INVALID_RUN
        assert "Raise the latter above 1 or lower the former" in found.message

    @pytest.mark.parametrize(
        ("spec", "advice"),
        [
            ({"training": {"initialLora": {}}}, "exactly one of modelId and uri"),
            ({"training": {"initialLora": {"modelId": "a", "uri": "s3://photos/a.safetensors"}}}, "exactly one"),
            ({"maxSteps": 2000, "training": {"saveSteps": 10}}, "Raise it to 20 or more"),
            ({"training": {"textEncoderLearningRate": 1e-5}}, "has no effect without training.trainTextEncoders"),
            (
                {"dataset": {"uri": "s3://photos/x/", "captions": {f"{n}.jpg": "a" * 1000 for n in range(50)}}},
                "Put them into files beside the photos",
            ),
            (LONG_TEXTS, "bytes of JSON, more than 114688. Shorten the prompts"),
        ],
    )
    def test_of_a_training_is_rejected(self, spec: dict[str, Any], advice: str) -> None:
        found = refusal_of(a_training(**{"dataset": {"uri": "s3://photos/x/"}, **spec}), SETTINGS)
        assert found is not None
        assert found.reason is Reason.INVALID_RUN
        assert advice in found.message

    @pytest.mark.parametrize(
        ("spec", "advice"),
        [
            ({"loras": [{"scale": 1}]}, "exactly one of modelId and uri"),
            ({"modelId": "a", "loras": [{"modelId": "b"}]}, "set only one of the two"),
            ({"loras": [{"modelId": "b"}, {"modelId": "b", "scale": 0.5}]}, "the same LoRA twice"),
        ],
    )
    def test_of_several_loras_is_rejected(self, spec: dict[str, Any], advice: str) -> None:
        job = replace(a_job(), spec=GenerateJobSpec.from_dict({"prompt": "a", **spec}))
        found = refusal_of(job, SETTINGS)
        assert found is not None
        assert found.reason is Reason.INVALID_RUN
        assert advice in found.message

    def test_without_a_clip_contradictory_guidance_is_accepted(self) -> None:
        assert refusal_of(a_job(video=Video(**self.VIDEO)), SETTINGS) is None


class TestBaseModelInTheModelRoot:
    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        for name, pipeline in (("sdxl", SDXL_PIPELINE), ("svd", SVD_PIPELINE)):
            (tmp_path / name).mkdir()
            (tmp_path / name / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
        models = {"model_root": tmp_path, "default_base_model": "sdxl", "default_video_base_model": "svd"}
        return SETTINGS.model_copy(update=models)

    @pytest.mark.parametrize(
        ("job", "reason"),
        [
            (a_job(base_model="sdx"), Reason.BASE_MODEL_NOT_FOUND),
            (a_job(base_model="sdxl@v2"), Reason.BASE_MODEL_NOT_FOUND),
            (a_job(base_model="svd"), Reason.MODEL_INCOMPATIBLE),
            (a_job(allow_motion=True, video=Video(base_model="sdxl")), Reason.MODEL_INCOMPATIBLE),
            (a_job(allow_motion=True, video=Video(base_model="nothing")), Reason.BASE_MODEL_NOT_FOUND),
            (a_training(baseModel="sdx", dataset={"uri": "s3://photos/x/"}), Reason.BASE_MODEL_NOT_FOUND),
        ],
    )
    def test_a_missing_or_unsuitable_one_is_rejected(self, settings: Settings, job: Job, reason: Reason) -> None:
        found = refusal_of(job, settings)
        assert found is not None
        assert found.reason is reason
        assert refusal_of(job, settings.model_copy(update={"model_root": None})) is None

    @pytest.mark.parametrize(
        "job",
        [
            a_job(),
            a_job(allow_motion=True),
            a_job(base_model="owner/of-the-hub@v1"),
            a_job(video=Video(base_model="nothing")),
        ],
    )
    def test_other_models_are_accepted(self, settings: Settings, job: Job) -> None:
        assert refusal_of(job, settings) is None

    def test_a_missing_default_model_is_rejected_too(self, settings: Settings) -> None:
        found = refusal_of(a_job(), settings.model_copy(update={"default_base_model": "gone"}))
        assert found is not None
        assert "'gone' in the model root. It has sdxl." in found.message

    def test_a_file_system_that_hangs_rejects_nothing_and_is_awaited_once(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers, looks = threading.Event(), []
        is_file = Path.is_file

        def wait(path: Path) -> bool:
            looks.append(path)
            answers.wait()
            return is_file(path)

        monkeypatch.setattr(Path, "is_file", wait)
        root = ModelRoot(settings.model_root, look_up_seconds=0.05)
        assert [preflight_failure(a_job(base_model="sdx"), settings, root) for _ in range(3)] == [None] * 3
        assert len(looks) == 1
        answers.set()
        wait_until = waiter(10)
        wait_until(lambda: preflight_failure(a_job(base_model="sdx"), settings, root), "the file system answers again")


class TestRejectedJob:
    def stage(self) -> tuple[SimulatedApi, SimulatedUser, SimulatedNode, SimulatedOperator]:
        api = SimulatedApi()
        operator = SimulatedOperator(api, **DATASETS)
        return api, SimulatedUser(api), SimulatedNode(api), operator

    def test_fails_without_a_slot_and_without_a_pod(self) -> None:
        api, user, node, operator = self.stage()
        user.train("thief", "m", dataset={"uri": "s3://darkroom/datasets/lab/secret/"})
        operator.rest()
        assert failed(api.get(TRAIN, "thief")) == ("Failed", Reason.DATASET_NOT_ALLOWED)
        assert "attempts" not in api.get(TRAIN, "thief")["status"]
        assert api.all("pods") == []
        assert node.live() == []

    def test_fails_at_once_behind_a_long_run_and_delays_no_other_job(self) -> None:
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

    def test_is_checked_when_it_is_resumed(self) -> None:
        api, user, _, operator = self.stage()
        user.train("later", "m", dataset={"uri": "s3://elsewhere/photos/"}, suspend=True)
        operator.rest()
        assert failed(api.get(TRAIN, "later")) == ("Suspended",)
        user.suspend(TRAIN, "later", False)
        operator.rest()
        assert failed(api.get(TRAIN, "later")) == ("Failed", Reason.DATASET_NOT_ALLOWED)

    def test_a_run_that_started_under_other_settings_may_end(self) -> None:
        api, user, node, _ = self.stage()
        free = SimulatedOperator(api)
        user.train("early", "m", dataset={"uri": "s3://elsewhere/photos/"})
        free.rest()
        [pod] = node.live()
        node.start(pod)
        strict = SimulatedOperator(api, **DATASETS)
        strict.rest()
        assert api.get(TRAIN, "early")["status"]["phase"] == "Running"
        node.succeed(pod)
        strict.rest()
        assert api.get(TRAIN, "early")["status"]["phase"] == "Succeeded"
