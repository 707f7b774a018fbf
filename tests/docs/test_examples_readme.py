"""The command of examples/README.md makes jobs for the local cluster from the examples for SDXL."""

import subprocess
from pathlib import Path

import pytest
import yaml
from support.markdown import REPOSITORY, commands, read

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.storage.datasets import DatasetPolicy, read_allowed_uris
from darkroom_local.example_photos import example_objects
from darkroom_local.s3.storage import BUCKET, EXAMPLE_FOLDERS, EXAMPLE_PHOTOS

EXAMPLES = REPOSITORY / "examples"
TRAININGS = sorted(EXAMPLES.glob("train-*.yaml"))
GENERATIONS = sorted(EXAMPLES.glob("generate-*.yaml"))
SHOWN = "examples/train-saved-steps.yaml"


def for_local_cluster(example: Path) -> str:
    """What the command writes to kubectl for an example."""
    [command] = [each for each in commands(read(EXAMPLES / "README.md")) if each.startswith("sed ")]
    command = command.removesuffix("| kubectl apply -f -").replace(SHOWN, str(example))
    return subprocess.run(["sh", "-c", command], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("example", TRAININGS, ids=lambda each: each.stem)
def test_training_example_fits_the_local_cluster(example: Path) -> None:
    spec = TrainJobSpec.model_validate(yaml.safe_load(for_local_cluster(example))["spec"])

    assert (spec.base_model, spec.training.resolution, spec.max_steps) == (None, None, 60)
    assert {each.uri for each in spec.datasets.values()} == {EXAMPLE_PHOTOS}
    assert spec.contradiction is None
    assert max(spec.training.save_steps, spec.training.validation_steps) <= 20


@pytest.mark.parametrize("example", GENERATIONS, ids=lambda each: each.stem)
def test_generation_example_fits_the_local_cluster(example: Path) -> None:
    for job in yaml.safe_load_all(for_local_cluster(example)):
        spec = GenerateJobSpec.model_validate(job["spec"])

        assert (spec.base_model, spec.video.base_model) == (None, None)
        assert (spec.images.width, spec.images.height) == (None, None)


def test_saved_step_of_another_example_exists_there() -> None:
    saved = TrainJobSpec.model_validate(yaml.safe_load(for_local_cluster(REPOSITORY / SHOWN))["spec"])
    used = GenerateJobSpec.model_validate(
        yaml.safe_load(for_local_cluster(EXAMPLES / "generate-several-loras.yaml"))["spec"]
    )

    assert used.loras[0].model_id == f"{saved.model_id}@{2 * saved.training.save_steps}"


def test_start_pictures_of_examples_are_in_the_local_bucket_and_allowed() -> None:
    policy = DatasetPolicy(BUCKET, read_allowed_uris(EXAMPLE_FOLDERS))
    jobs = [job for each in GENERATIONS for job in yaml.safe_load_all(for_local_cluster(each))]
    sources = [each for job in jobs for each in GenerateJobSpec.model_validate(job["spec"]).image_sources.values()]

    assert len(sources) >= 4
    assert {each.uri for each in sources} <= {f"s3://{BUCKET}/{key}" for key in example_objects()}
    assert [fault for each in sources if (fault := policy.image_fault(each.uri, "default"))] == []
