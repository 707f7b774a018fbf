"""LoRA files that other programs wrote, in our loader: the models compute what theirs computed."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support.interop_adapters import Outputs, difference

from darkroom_runner.lora.loading import LoraToLoad, load_loras

BOUND = 5e-5
MINIMUM_EFFECT = 0.01

DIFFUSERS = ("diffusers-0.31", "diffusers-0.36", "diffusers-0.42")
OF_DIFFUSERS = ("peft-names", "diffusers-names", "kohya-diffusers-blocks", "attention-processors")
OF_PEFT = ("lora", "dora", "loha", "lokr")
OF_LYCORIS = ("lora", "dora", "dora-of-inputs", "loha", "lokr", "tucker")
FILES = [
    *((environment, "write_with_diffusers.py", kind) for environment in DIFFUSERS for kind in OF_DIFFUSERS),
    *(("peft-0.21", "write_with_peft.py", kind) for kind in OF_PEFT),
    *(("lycoris-4.1", "write_with_lycoris.py", kind) for kind in OF_LYCORIS),
]


@pytest.fixture(scope="session")
def written(
    tmp_path_factory: pytest.TempPathFactory, run_script: Callable[..., dict[str, Outputs]]
) -> Callable[[str, str], tuple[Path, dict[str, Outputs]]]:
    """The folder of a program's files, and the outputs of its models. Each program is started once."""
    known: dict[str, tuple[Path, dict[str, Outputs]]] = {}

    def write(environment: str, script: str) -> tuple[Path, dict[str, Outputs]]:
        if environment not in known:
            folder = tmp_path_factory.mktemp(environment)
            known[environment] = (folder, run_script(environment, script, folder))
        return known[environment]

    return write


@pytest.mark.parametrize(("environment", "script", "kind"), FILES, ids=lambda each: each.removesuffix(".py"))
def test_a_foreign_file_has_its_effect(
    written: Callable[[str, str], tuple[Path, dict[str, Outputs]]],
    load: Callable[[], Any],
    small_model: ModuleType,
    environment: str,
    script: str,
    kind: str,
) -> None:
    folder, expected = written(environment, script)
    pipeline = load()
    without = small_model.outputs(pipeline)

    load_loras(pipeline, [LoraToLoad(folder / f"{kind}.safetensors", 1.0, kind)])

    assert difference(expected[kind], without) > MINIMUM_EFFECT
    assert difference(small_model.outputs(pipeline), expected[kind]) <= BOUND
