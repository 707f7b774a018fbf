"""Our LoRA files in other programs: the models compute what they computed at the end of the training."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support.interop_adapters import KINDS, Outputs, difference, train

from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_runner.lora.diffusers_format import save_lora
from darkroom_runner.lora.kohya_format import save_kohya_lora, sgm_blocks

DIFFUSERS = ("diffusers-0.31", "diffusers-0.36", "diffusers-0.42")
BOUND = 2e-5
"""Releases compute attention and norms in other orders: the base model itself differs by up to 5e-6."""
MINIMUM_EFFECT = 0.01
PREFIXES = {"unet": "lora_unet", "text_encoder": "lora_te1", "text_encoder_2": "lora_te2"}


@dataclass
class Trained:
    """What our models compute without and with each LoRA, and the folder of files for each kind of reader."""

    base: Outputs
    expected: dict[str, Outputs]
    diffusers: Path
    kohya: Path


@pytest.fixture(scope="session")
def trained(load: Callable[[], Any], small_model: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("ours")
    result = Trained(small_model.outputs(load()), {}, folder / "diffusers", folder / "kohya")
    result.diffusers.mkdir()
    result.kohya.mkdir()
    for kind, settings in KINDS.items():
        pipeline = load()
        adapters = train(pipeline, settings)
        result.expected[kind] = small_model.outputs(pipeline)
        save_lora(adapters, result.diffusers / f"{kind}.safetensors", {"darkroom.prompt": "a photo of sks dog"})
        save_kohya_lora(adapters, result.kohya / f"{kind}.safetensors", {}, spec(settings))
    (result.kohya / "modules.json").write_text(json.dumps(module_names(pipeline)))
    return result


def spec(settings: dict[str, Any]) -> TrainJobSpec:
    """In float32, so that the bound can be tight."""
    training = {"rank": 4, "filePrecision": "Float32", **settings}
    dataset = {"uri": "s3://darkroom/photos/"}
    return TrainJobSpec.from_dict(
        {"modelId": "my-dog", "prompt": "a photo of sks dog", "dataset": dataset, "training": training}
    )


def module_names(pipeline: Any) -> dict[str, str]:
    """Kohya's names -> components and modules, for LyCORIS."""
    inside = {"conv1": "in_layers_2", "conv2": "out_layers_3", "conv_shortcut": "skip_connection"}
    blocks = sgm_blocks(pipeline.unet)
    names = {}
    for component, prefix in PREFIXES.items():
        for path, _ in getattr(pipeline, component).named_modules():
            path = path if component == "unet" or path.startswith("text_model.") else f"text_model.{path}"
            stem = path
            for block, sgm in blocks.items():
                if component == "unet" and f"{path}.".startswith(f"{block}."):
                    rest = path.removeprefix(block).removeprefix(".")
                    stem = f"{sgm}.{inside.get(rest, rest)}".removesuffix(".")
            names[f"{prefix}_{stem.replace('.', '_')}"] = f"{component}.{path}"
    return names


@pytest.fixture(scope="session")
def readings(trained: Trained, run_script: Callable[..., dict[str, Outputs]]) -> Callable[..., dict[str, Outputs]]:
    """The outputs of all files in one environment, which is started once for each kind of file."""
    known: dict[tuple[str, str, str], dict[str, Outputs]] = {}

    def read(environment: str, script: str, form: str) -> dict[str, Outputs]:
        key = (environment, script, form)
        if key not in known:
            known[key] = run_script(environment, script, getattr(trained, form))
        return known[key]

    return read


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("environment", DIFFUSERS)
def test_diffusers_reads_the_file_for_diffusers(
    readings: Callable[..., dict[str, Outputs]], trained: Trained, environment: str, kind: str
) -> None:
    outputs = readings(environment, "read_with_diffusers.py", "diffusers")[kind]
    assert difference(outputs, trained.base) > MINIMUM_EFFECT
    assert difference(outputs, trained.expected[kind]) <= BOUND


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "dora" not in kind])
@pytest.mark.parametrize("environment", DIFFUSERS)
def test_diffusers_reads_the_kohya_file(
    readings: Callable[..., dict[str, Outputs]], trained: Trained, environment: str, kind: str
) -> None:
    """Except of a DoRA: diffusers drops its magnitudes, with a warning."""
    outputs = readings(environment, "read_with_diffusers.py", "kohya")[kind]
    assert difference(outputs, trained.expected[kind]) <= BOUND


@pytest.mark.parametrize("kind", KINDS)
def test_peft_alone_reads_the_file_for_diffusers_by_its_header(
    readings: Callable[..., dict[str, Outputs]], trained: Trained, kind: str
) -> None:
    outputs = readings("peft-0.21", "read_with_peft.py", "diffusers")[kind]
    assert difference(outputs, trained.expected[kind]) <= BOUND


@pytest.mark.parametrize("kind", KINDS)
def test_lycoris_reads_the_kohya_file(readings: Callable[..., dict[str, Outputs]], trained: Trained, kind: str) -> None:
    """Magnitudes of a DoRA included."""
    outputs = readings("lycoris-4.1", "read_with_lycoris.py", "kohya")[kind]
    assert difference(outputs, trained.expected[kind]) <= BOUND
