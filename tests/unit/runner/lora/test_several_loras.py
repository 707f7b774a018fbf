"""Several LoRAs at once: their effects add up, in any order and with any sign."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import foreign_loras as forms
from support.foreign_loras import output_of, random_lora, saved

from darkroom_runner.lora.loading import LoraToLoad, load_loras


def cosine(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(first, second, dim=0))


@pytest.fixture
def effect_of(sdxl: Any, tmp_path: Path) -> Callable[..., torch.Tensor]:
    """The effect of LoRAs with scales on the output of the small model; numbers are seeds."""
    base = output_of(sdxl)
    for seed in (1, 2):
        lora = random_lora(sdxl, seed=seed, size=0.02, text_encoders=seed == 1)
        saved(forms.kohya(lora), tmp_path / f"{seed}.safetensors")

    def measure(*scales: tuple[int, float]) -> torch.Tensor:
        uses = [LoraToLoad(tmp_path / f"{seed}.safetensors", scale, str(seed)) for seed, scale in scales]
        load_loras(sdxl, uses)
        found = forms.effect(sdxl, base)
        sdxl.unload_lora_weights()
        return found

    return measure


def test_the_effect_of_two_loras_is_the_sum_of_both(effect_of: Callable[..., torch.Tensor]) -> None:
    first, second, both = effect_of((1, 1.0)), effect_of((2, 1.0)), effect_of((1, 1.0), (2, 1.0))

    assert cosine(both, first + second) > 0.99
    assert cosine(both, first) < 0.98
    assert float(both.norm()) == pytest.approx(float((first + second).norm()), rel=0.1)


def test_the_order_of_loras_does_not_matter(effect_of: Callable[..., torch.Tensor]) -> None:
    assert torch.equal(effect_of((1, 0.5), (2, -1.0)), effect_of((2, -1.0), (1, 0.5)))


def test_a_scale_of_0_equals_leaving_the_lora_out(effect_of: Callable[..., torch.Tensor]) -> None:
    assert torch.equal(effect_of((1, 0.0), (2, 1.0)), effect_of((2, 1.0)))
    assert not effect_of((1, 0.0)).any()


def test_a_negative_scale_has_the_opposite_effect_and_a_larger_one_more(effect_of: Callable[..., torch.Tensor]) -> None:
    once = effect_of((1, 1.0))

    assert cosine(effect_of((1, -1.0)), once) < -0.98
    assert float(effect_of((1, 2.0)).norm()) > 1.7 * float(once.norm())
