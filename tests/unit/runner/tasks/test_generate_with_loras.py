"""A generation with LoRAs of several forms, from storage to the metadata of its images."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support import foreign_loras as forms

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.storage.keys import ModelRecord
from darkroom_runner.errors import ModelIncompatibleError
from darkroom_runner.models import model_store
from darkroom_runner.tasks.generate import GenerateTask

URI = "s3://darkroom/loras/default/style/style.safetensors"


@pytest.fixture
def stored(storage: Any, sdxl: Any, tmp_path: Path) -> dict[str, str]:
    """The digests of two LoRAs: the imported model `kohya`, and a LoKr by its URI."""
    lora = forms.of_unet(forms.random_lora(sdxl, size=0.2))
    lokr = {f"lora_unet_conv_out.lokr_{part}": torch.full((2, 2), 0.5) for part in ("w1",)}
    lokr["lora_unet_conv_out.lokr_w2"] = torch.full((2, 16, 3, 3), 0.5)
    files = {
        "loras/default/i1/kohya.safetensors": forms.saved(forms.kohya(lora), tmp_path / "kohya.safetensors"),
        URI.removeprefix("s3://darkroom/"): forms.saved(lokr, tmp_path / "style.safetensors"),
    }
    digests = {}
    for key, path in files.items():
        storage.write(key, path.read_bytes(), "application/octet-stream")
        digests[path.stem] = hashlib.sha256(path.read_bytes()).hexdigest()
    record = ModelRecord(
        model_id="kohya",
        weights_key="loras/default/i1/kohya.safetensors",
        sha256=digests["kohya"],
        base_model="test-sdxl",
        source="a-style.safetensors",
        created=datetime.now(UTC),
    )
    model_store.write_record(storage, "default", record)
    return digests


def generate(open_context: Callable[..., Any], loras: list[dict[str, Any]]) -> tuple[Image.Image, Any]:
    images = {"steps": 1, "guidanceScale": 1.0}
    spec = GenerateJobSpec.from_dict({"prompt": "a dog", "loras": loras, "images": images})
    context = open_context(spec)
    task = GenerateTask(context, spec)
    inputs = task.download()
    result = task.execute(inputs, task.load(inputs))
    with Image.open(result.files[0]) as image:
        image.load()
    return image, context.remarks.collected


def test_loras_of_several_forms_are_used_together_and_recorded(
    open_context: Callable[..., Any], stored: dict[str, str]
) -> None:
    loras = [{"modelId": "kohya", "scale": 0.8}, {"uri": URI, "scale": -0.5}]

    image, remarks = generate(open_context, loras)

    metadata = json.loads(image.info["darkroom"])
    hashes = [each.pop("tensorsSha256") for each in metadata["loras"]]
    assert len(set(hashes)) == 2
    assert metadata["loras"] == [loras[0] | {"sha256": stored["kohya"]}, loras[1] | {"sha256": stored["style"]}]
    assert f'Lora: "kohya:0.8, {URI}:-0.5"' in image.info["parameters"]
    [remark] = remarks
    assert remark.reason == "LoraConverted"
    assert remark.message == f"LoRA {URI!r} (LoKr) was added to the base model's weights: all 1 layers."
    images = [image, *(generate(open_context, used)[0] for used in ([], loras[:1], loras[1:]))]
    assert len({each.tobytes() for each in images}) == 4


@pytest.mark.parametrize("recorded", ["c" * 64, None], ids=["recorded", "older record"])
def test_images_name_the_kohya_file_by_its_hash(
    open_context: Callable[..., Any], storage: Any, stored: dict[str, str], recorded: str | None
) -> None:
    """Older records don't have it: then the hash is that of the file that was used."""
    used, _ = generate(open_context, [{"modelId": "kohya"}])
    record = model_store.read_record(storage, "default", "kohya")
    changed = record.model_copy(update={"kohya_tensors_sha256": recorded})
    model_store.write_record(storage, "default", changed)

    image, _ = generate(open_context, [{"modelId": "kohya"}])

    [before], [now] = (json.loads(each.info["darkroom"])["loras"] for each in (used, image))
    assert now["tensorsSha256"] == (recorded or before["tensorsSha256"])
    assert f'Lora hashes: "kohya: {now["tensorsSha256"][:12]}"' in image.info["parameters"]


def test_a_lora_of_which_a_layer_is_missing_in_the_base_model_fails_the_generation(
    open_context: Callable[..., Any], storage: Any, tmp_path: Path
) -> None:
    module = "lora_unet_down_blocks_7_attentions_0_proj_in"
    tensors = {f"{module}.{part}.weight": torch.ones(4, 4) for part in ("lora_down", "lora_up")}
    path = forms.saved(tensors, tmp_path / "other.safetensors")
    uri = "s3://darkroom/loras/default/other.safetensors"
    storage.write("loras/default/other.safetensors", path.read_bytes(), "application/octet-stream")

    with pytest.raises(ModelIncompatibleError, match="2 of its 2 tensors match no layer"):
        generate(open_context, [{"uri": uri}])
