"""Jobs with start images or masks that their namespace may not read are refused before they take a slot."""

from typing import Any

import pytest
from support.operator_snapshots import a_job

from darkroom_contract.jobs import Job
from darkroom_contract.outcome import Reason
from darkroom_operator.pods.pod_outcome import Failure
from darkroom_operator.scheduling.preflight import ModelRoot, preflight_failure
from darkroom_operator.settings import Settings

SETTINGS = Settings(runner_image="x", s3_bucket="darkroom", dataset_uris=("s3://photos/",))


def refusal_of(job: Job, settings: Settings) -> Failure | None:
    return preflight_failure(job, settings, ModelRoot(settings.model_root))


@pytest.mark.parametrize(
    ("field", "spec"),
    [
        ("startImage", {"startImage": {"uri": "s3://darkroom/images/lab/secret.png"}}),
        (
            "mask",
            {
                "startImage": {"uri": "s3://photos/dog.png"},
                "mask": {"uri": "s3://darkroom/images/lab/secret.png"},
            },
        ),
        (
            "video.startImage",
            {"allowMotion": True, "video": {"startImage": {"uri": "s3://darkroom/images/lab/secret.png"}}},
        ),
    ],
)
def test_forbidden_image_is_rejected_with_its_field_and_the_allowed_folders(field: str, spec: dict[str, Any]) -> None:
    found = refusal_of(a_job(**spec), SETTINGS)
    assert found is not None
    assert found.reason is Reason.IMAGE_NOT_ALLOWED
    assert found.message.startswith(f"{field}.uri s3://darkroom/images/lab/secret.png is outside")
    assert "s3://darkroom/images/default/" in found.message


@pytest.mark.parametrize("uri", ["s3://darkroom/images/default/1.png", "s3://darkroom/runs/ab-1/dog-seed-0.png"])
def test_own_images_are_accepted(uri: str) -> None:
    """The operator can't read the manifest that names the namespace of a run: the runner does."""
    assert refusal_of(a_job(startImage={"uri": uri}), SETTINGS) is None


def test_image_is_left_to_the_runner_if_the_operator_knows_no_bucket() -> None:
    spec = {"startImage": {"uri": "s3://darkroom/images/lab/secret.png"}}
    assert refusal_of(a_job(**spec), Settings(runner_image="x")) is None
