"""DeepCache: what it may change (the speed), what it must not (everything else), and how it leaves a pipeline."""

from typing import Any

import pytest
import torch

from darkroom_contract.specs import Scheduler
from darkroom_runner.deepcache import CacheInUseError, deepcache, skip_branches
from darkroom_runner.device import generator
from darkroom_runner.errors import InvalidRunError
from darkroom_runner.remarks import Remarks
from darkroom_runner.schedulers import with_sampler


def draw(pipeline: Any, steps: int = 6, **extra: Any) -> torch.Tensor:
    """Latents of one picture."""
    latents: torch.Tensor = pipeline(
        "a dog", num_inference_steps=steps, generator=generator(1), output_type="latent", **extra
    ).images
    return latents


def set_sampler(pipeline: Any, name: Scheduler | None) -> None:
    """Without the small model's zero terminal SNR, which Heun can't sample."""
    schedule = type(pipeline.scheduler).from_config(pipeline.scheduler.config, rescale_betas_zero_snr=False)
    pipeline.scheduler = with_sampler(schedule, name, 10, Remarks())


def marks(unet: torch.nn.Module) -> list[str]:
    """The modules whose `forward` was replaced."""
    return [name for name, module in unet.named_modules() if "forward" in module.__dict__]


class Passes:
    """Counts how often the U-Net runs, and how often it runs to its middle."""

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
    plain = draw(sdxl)

    with deepcache(sdxl, interval=1):
        cached = draw(sdxl)

    assert torch.equal(plain, cached)


@pytest.mark.parametrize("sampler", [None, *Scheduler])
def test_the_whole_unet_runs_at_every_third_step_only(sdxl: Any, sampler: Scheduler | None) -> None:
    set_sampler(sdxl, sampler)
    passes = Passes(sdxl.unet)

    with deepcache(sdxl, interval=3):
        draw(sdxl, steps=7)

    # Heun runs the U-Net twice a step, but for the last.
    expected = (13, 5) if sampler is Scheduler.HEUN else (7, 3)
    assert (passes.all, passes.full) == expected


def test_a_cached_picture_is_another_but_a_like_one(sdxl: Any) -> None:
    plain = draw(sdxl)

    with deepcache(sdxl, interval=2):
        cached = draw(sdxl)

    assert not torch.equal(plain, cached)
    assert torch.nn.functional.cosine_similarity(plain.flatten(), cached.flatten(), dim=0) > 0.9


def test_a_pipeline_leaves_as_it_came(sdxl: Any) -> None:
    plain = draw(sdxl)

    with deepcache(sdxl, interval=3):
        draw(sdxl)
        assert marks(sdxl.unet)

    assert marks(sdxl.unet) == []
    assert torch.equal(draw(sdxl), plain)


def test_a_pipeline_leaves_as_it_came_after_a_failure(sdxl: Any) -> None:
    plain = draw(sdxl)

    def fail(*_: Any) -> dict[str, Any]:
        raise RuntimeError("in the midst of a picture")

    with pytest.raises(RuntimeError, match="in the midst"), deepcache(sdxl, interval=3):
        draw(sdxl, callback_on_step_end=fail)

    assert marks(sdxl.unet) == []
    assert torch.equal(draw(sdxl), plain)


def test_a_forward_that_was_there_before_stays(sdxl: Any) -> None:
    own = sdxl.unet.conv_in.forward
    sdxl.unet.conv_in.forward = own

    with deepcache(sdxl, interval=2):
        draw(sdxl)

    assert sdxl.unet.conv_in.__dict__["forward"] is own
    assert marks(sdxl.unet) == ["conv_in"]


def test_one_generation_leaves_nothing_to_the_next(sdxl: Any) -> None:
    def cached(prompt: str) -> torch.Tensor:
        with deepcache(sdxl, interval=3):
            latents: torch.Tensor = sdxl(
                prompt, num_inference_steps=5, generator=generator(2), output_type="latent"
            ).images
        return latents

    first = cached("a dog")
    cached("a castle in the evening")

    assert torch.equal(cached("a dog"), first)


def test_nesting_is_refused_and_the_outer_context_lives_on(sdxl: Any) -> None:
    with deepcache(sdxl, interval=2):
        with pytest.raises(CacheInUseError, match="one generation, one context"), deepcache(sdxl, interval=2):
            pytest.fail("entered twice")
        draw(sdxl)

    assert marks(sdxl.unet) == []


def test_every_branch_of_the_model_works_and_deeper_ones_are_truer(sdxl: Any) -> None:
    plain = draw(sdxl)
    errors = []
    for branch in range(len(skip_branches(sdxl.unet))):
        with deepcache(sdxl, interval=3, branch=branch):
            errors.append(float((draw(sdxl) - plain).abs().mean()))

    assert len(errors) == 9
    assert errors[-1] < errors[0]


def test_a_branch_that_the_model_lacks_is_refused_in_words(sdxl: Any) -> None:
    with (
        pytest.raises(InvalidRunError, match=r"cache\.branch is 9.*branches 0 to 8"),
        deepcache(sdxl, interval=3, branch=9),
    ):
        pytest.fail("entered")


def test_the_video_model_is_cached_and_restored_too(svd: Any) -> None:
    from PIL import Image

    picture = Image.new("RGB", (64, 64), "red")
    passes = Passes(svd.unet)

    with deepcache(svd, interval=2):
        svd(picture, height=64, width=64, num_inference_steps=4, generator=generator(1), output_type="latent")

    assert (passes.all, passes.full) == (4, 2)
    assert marks(svd.unet) == []
