"""Train a LoRA, then generate images and a clip with it: real runner processes, storage and Redis."""

import hashlib
import io
import json
import re
from collections.abc import Callable
from typing import Any

import av
import pytest
from PIL import Image

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.storage.keys import Manifest, ModelRecord

BUCKET = "darkroom"


def read(s3: Any, key: str) -> bytes:
    content: bytes = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return content


def train_spec(uri: str, **training: Any) -> TrainJobSpec:
    document = {
        "modelId": "my-dog",
        "prompt": "a photo of sks dog",
        "dataset": {"uri": uri},
        "maxSteps": 3,
        "training": {"rank": 4, "learningRate": 1e-2, **training},
    }
    return TrainJobSpec.from_dict(document)


@pytest.fixture(scope="module")
def generation() -> GenerateJobSpec:
    return GenerateJobSpec.from_dict(
        {
            "prompt": "a photo of sks dog on the moon – ünïcode",
            "negativePrompt": "blurry",
            "modelId": "my-dog",
            "allowMotion": True,
            "images": {"count": 2, "steps": 4, "seed": 7},
            "cache": {"interval": 3},
            "video": {"steps": 2, "fps": 5},
        }
    )


def test_a_subject_is_trained_then_generated_and_animated(
    start_run: Callable[..., Any],
    put_dataset: Callable[..., str],
    s3: Any,
    events: Callable[[str], list[dict[str, Any]]],
    generation: GenerateJobSpec,
) -> None:
    trained = start_run(train_spec(put_dataset(), validationPrompt="a photo of sks dog")).finish()

    assert trained.exit_code == 0
    assert_trained(trained, s3)
    assert (
        "loss" in next(each for each in events(trained.uid) if each["stage"] == "Training" and each["step"])["metrics"]
    )

    generated = start_run(generation).finish()

    assert_generated(generated, s3, generation)
    reported = events(generated.uid)
    assert [each["progressPercentage"] for each in reported] == sorted(each["progressPercentage"] for each in reported)
    assert reported[-1]["stage"] == "Done"
    assert reported[-1]["progressPercentage"] == 100.0


def assert_trained(trained: Any, s3: Any) -> None:
    """The LoRA in both formats, its record, the validation image and the manifest."""
    assert trained.outcome.succeeded, trained.log
    assert [file.name for file in trained.outcome.files] == [
        "pytorch_lora_weights.safetensors",
        "my-dog.safetensors",
        "a-job-validation.png",
    ]
    record = ModelRecord.model_validate_json(read(s3, "models/default/my-dog/model.json"))
    assert hashlib.sha256(read(s3, record.weights_key)).hexdigest() == record.sha256
    assert record.weights_key.endswith("/pytorch_lora_weights.safetensors")
    kohya = read(s3, f"runs/{trained.uid}/my-dog.safetensors")
    [declared] = re.findall(rb'"sshs_model_hash":"([0-9a-f]{64})"', kohya)
    assert record.kohya_tensors_sha256 == declared.decode()
    validation = Image.open(io.BytesIO(read(s3, f"runs/{trained.uid}/a-job-validation.png")))
    metadata = json.loads(validation.info["darkroom"])
    assert metadata["scheduler"] == "default"
    assert (metadata["prompt"], metadata["modelId"], metadata["steps"]) == ("a photo of sks dog", "my-dog", 30)
    assert (metadata["loraSha256"], metadata["baseModel"], metadata["seed"]) == (record.sha256, "test-sdxl", 0)
    assert validation.info["parameters"].startswith(
        "a photo of sks dog\nSteps: 30, Sampler: Euler, Schedule type: SGM Uniform, CFG scale: 5.0, "
    )
    manifest = Manifest.model_validate_json(read(s3, f"runs/{trained.uid}/manifest.json"))
    assert manifest.outcome == trained.outcome
    assert manifest.namespace == "default"


def assert_generated(generated: Any, s3: Any, spec: GenerateJobSpec) -> None:
    """Two images with metadata, a clip of four frames, and the remarks."""
    assert generated.outcome.succeeded, generated.log
    assert [each.reason for each in generated.outcome.remarks] == ["CacheIneffective"] * 2
    assert "CacheIneffective: With images.steps 4" in generated.log
    assert [file.name for file in generated.outcome.files] == ["a-job-seed-7.png", "a-job-seed-8.png", "a-job.mp4"]
    image = Image.open(io.BytesIO(read(s3, f"runs/{generated.uid}/a-job-seed-8.png")))
    metadata = json.loads(image.info["darkroom"])
    assert (metadata["prompt"], metadata["seed"], metadata["modelId"]) == (spec.prompt, 8, "my-dog")
    record = ModelRecord.model_validate_json(read(s3, "models/default/my-dog/model.json"))
    assert record.kohya_tensors_sha256 == metadata["loraTensorsSha256"]
    assert f'Lora hashes: "my-dog: {metadata["loraTensorsSha256"][:12]}"' in image.info["parameters"]
    manifest = Manifest.model_validate_json(read(s3, f"runs/{generated.uid}/manifest.json"))
    passes = {name: value for name, value in manifest.outcome.metrics.items() if name.lower().endswith("passes")}
    assert passes == {"unetPasses": 8, "unetFullPasses": 4, "videoUnetPasses": 2, "videoUnetFullPasses": 1}
    assert manifest.outcome == generated.outcome
    with av.open(io.BytesIO(read(s3, f"runs/{generated.uid}/a-job.mp4"))) as clip:
        frames = [frame.to_image().size for frame in clip.decode(video=0)]
    assert frames == [(64, 64)] * 4
