"""A DoRA that was trained here is added to the weights when images are generated: with the trained effect."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.foreign_loras import assert_same_effect, output_of

from darkroom_runner.lora.diffusers_format import load_lora


@pytest.mark.parametrize("save", ["save", "save_kohya"])
def test_a_reload_of_a_dora_has_the_trained_weights(
    open_training: Callable[..., Any], photos: Any, sdxl: Any, tmp_path: Path, save: str
) -> None:
    training = {"dora": True, "alpha": 2, "layers": "All", "trainTextEncoders": True, "filePrecision": "Float32"}
    session = open_training(**training)
    session.train(photos)
    session.pipeline.unet.eval()
    base, expected = output_of(sdxl), output_of(session.pipeline)
    getattr(session, save)(tmp_path / "a.safetensors", {})

    load_lora(sdxl, tmp_path / "a.safetensors", scale=1.0, model_id="my-dog")

    assert_same_effect(sdxl, expected, base)
    for component, model in session.adapters.models.items():
        loaded = dict(getattr(sdxl, component).named_modules())
        for name, layer in model.named_modules():
            if hasattr(layer, "lora_magnitude_vector"):
                layer.merge()
                torch.testing.assert_close(loaded[name].weight, layer.base_layer.weight)
