"""The command of examples/README.md makes jobs for the local cluster from the examples for SDXL."""

import subprocess
from pathlib import Path

import pytest
import yaml
from support.markdown import REPOSITORY, commands, read

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_local.s3.storage import EXAMPLE_PHOTOS

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
