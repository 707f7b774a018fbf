"""DeepCache: fewer U-Net passes, similar images, and a pipeline that is restored afterwards."""

from typing import Any

import pytest
import torch

from darkroom_contract.specs.images import Scheduler
from darkroom_runner.errors import InvalidRunError
from darkroom_runner.models.device import generator
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.sampling.schedulers import build_sampler
from darkroom_runner.unet_cache.deepcache import CacheInUseError, deepcache, skip_branches


def generate(pipeline: Any, steps: int = 6, **extra: Any) -> torch.Tensor:
    """The latents of one image."""
    latents: torch.Tensor = pipeline(
        "a dog", num_inference_steps=steps, generator=generator(1), output_type="latent", **extra
    ).images
    return latents


def set_sampler(pipeline: Any, name: Scheduler | None) -> None:
    """Also turns the small model's zero terminal SNR off, which Heun does not support."""
    schedule = type(pipeline.scheduler).from_config(pipeline.scheduler.config, rescale_betas_zero_snr=False)
    pipeline.scheduler = build_sampler(schedule, name, 10, Remarks())


def patched(unet: torch.nn.Module) -> list[str]:
    """The modules whose `forward` was replaced."""
    return [name for name, module in unet.named_modules() if "forward" in module.__dict__]


class Passes:
    """Counts the U-Net's passes, and those that reach its middle block."""

    def __init__(self, unet: Any) -> None:
        self.all = self.full = 0
        unet.register_forward_hook(self._count_all)
        unet.mid_block.resnets[0].register_forward_hook(self._count_full)

    def _count_all(self, *_: Any) -> None:
        self.all += 1

    def _count_full(self, *_: Any) -> None:
        self.full += 1


@pytest.mark.parametrize("sampler", [None, *Scheduler])
def test_interval_1_is_bit_identical_with_every_sampler(sdxl: Any, sampler: Scheduler | None) -> None:
    set_sampler(sdxl, sampler)
    plain = generate(sdxl)

    with deepcache(sdxl, interval=1):
        cached = generate(sdxl)

    assert torch.equal(plain, cached)


@pytest.mark.parametrize("sampler", [None, *Scheduler])
def test_the_whole_unet_runs_only_at_every_third_step(sdxl: Any, sampler: Scheduler | None) -> None:
    set_sampler(sdxl, sampler)
    passes = Passes(sdxl.unet)

    with deepcache(sdxl, interval=3):
        generate(sdxl, steps=7)

    # Heun runs the U-Net twice per step, except for the last.
    expected = (13, 5) if sampler is Scheduler.HEUN else (7, 3)
    assert (passes.all, passes.full) == expected


def test_a_cached_image_is_similar_but_not_equal(sdxl: Any) -> None:
    plain = generate(sdxl)

    with deepcache(sdxl, interval=2):
        cached = generate(sdxl)

    assert not torch.equal(plain, cached)
    assert torch.nn.functional.cosine_similarity(plain.flatten(), cached.flatten(), dim=0) > 0.9


def test_a_pipeline_is_restored(sdxl: Any) -> None:
    plain = generate(sdxl)

    with deepcache(sdxl, interval=3):
        generate(sdxl)
        assert patched(sdxl.unet)

    assert patched(sdxl.unet) == []
    assert torch.equal(generate(sdxl), plain)


def test_a_pipeline_is_restored_after_a_failure(sdxl: Any) -> None:
    plain = generate(sdxl)

    def fail(*_: Any) -> dict[str, Any]:
        raise RuntimeError("fails during an image")

    with pytest.raises(RuntimeError, match="fails during"), deepcache(sdxl, interval=3):
        generate(sdxl, callback_on_step_end=fail)

    assert patched(sdxl.unet) == []
    assert torch.equal(generate(sdxl), plain)


def test_an_earlier_forward_override_is_restored(sdxl: Any) -> None:
    own = sdxl.unet.conv_in.forward
    sdxl.unet.conv_in.forward = own

    with deepcache(sdxl, interval=2):
        generate(sdxl)

    assert sdxl.unet.conv_in.__dict__["forward"] is own
    assert patched(sdxl.unet) == ["conv_in"]


def test_one_generation_does_not_affect_the_next(sdxl: Any) -> None:
    def cached(prompt: str) -> torch.Tensor:
        with deepcache(sdxl, interval=3):
            latents: torch.Tensor = sdxl(
                prompt, num_inference_steps=5, generator=generator(2), output_type="latent"
            ).images
        return latents

    first = cached("a dog")
    cached("a castle in the evening")

    assert torch.equal(cached("a dog"), first)


def test_nesting_is_refused_and_the_outer_context_still_works(sdxl: Any) -> None:
    with deepcache(sdxl, interval=2):
        with pytest.raises(CacheInUseError, match="use one context per generation"), deepcache(sdxl, interval=2):
            pytest.fail("entered twice")
        generate(sdxl)

    assert patched(sdxl.unet) == []


def test_every_branch_works_and_deeper_ones_are_more_accurate(sdxl: Any) -> None:
    plain = generate(sdxl)
    errors = []
    for branch in range(len(skip_branches(sdxl.unet))):
        with deepcache(sdxl, interval=3, branch=branch):
            errors.append(float((generate(sdxl) - plain).abs().mean()))

    assert len(errors) == 6
    assert errors[-1] < errors[0]


def test_a_missing_branch_is_refused(sdxl: Any) -> None:
    with (
        pytest.raises(InvalidRunError, match=r"cache\.branch is 6.*branches 0 to 5"),
        deepcache(sdxl, interval=3, branch=6),
    ):
        pytest.fail("entered")


def test_the_video_model_is_cached_and_restored(svd: Any) -> None:
    from PIL import Image

    image = Image.new("RGB", (64, 64), "red")
    passes = Passes(svd.unet)

    with deepcache(svd, interval=2):
        svd(image, height=64, width=64, num_inference_steps=4, generator=generator(1), output_type="latent")

    assert (passes.all, passes.full) == (4, 2)
    assert patched(svd.unet) == []
