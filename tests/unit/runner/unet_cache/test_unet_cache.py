"""The U-Net cache in whole generations: equal images where nothing is reused, similar ones elsewhere."""

from typing import Any

import pytest
import torch
from diffusers import StableDiffusionXLImg2ImgPipeline, StableDiffusionXLInpaintPipeline
from PIL import Image

from darkroom_contract.specs.cache import Cache, CachePolicy, CacheProfile
from darkroom_contract.specs.images import Scheduler
from darkroom_runner.errors import InvalidRunError
from darkroom_runner.models.device import generator
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.sampling.schedulers import build_sampler
from darkroom_runner.unet_cache.cached_unet import EXTRAPOLATION, Features
from darkroom_runner.unet_cache.context import CacheInUseError, unet_cache
from darkroom_runner.unet_cache.deepcache import deepcache

OWN = [policy for policy in CachePolicy if policy is not CachePolicy.DEEPCACHE]


def generate(pipeline: Any, steps: int = 6, prompt: Any = "a dog", **extra: Any) -> torch.Tensor:
    """The latents of one image."""
    latents: torch.Tensor = pipeline(
        prompt, num_inference_steps=steps, **{"generator": generator(1), "output_type": "latent"} | extra
    ).images
    return latents


def cached(pipeline: Any, cache: Cache, steps: int = 6, **extra: Any) -> torch.Tensor:
    with unet_cache(pipeline, cache, steps):
        return generate(pipeline, steps, **extra)


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


def set_sampler(pipeline: Any, name: Scheduler | None) -> None:
    """Also turns the small model's zero terminal SNR off, which Heun does not support."""
    schedule = type(pipeline.scheduler).from_config(pipeline.scheduler.config, rescale_betas_zero_snr=False)
    pipeline.scheduler = build_sampler(schedule, name, 10, Remarks())


def test_disabled_is_bit_identical_and_leaves_the_pipeline_alone(sdxl: Any) -> None:
    unet, plain = sdxl.unet, generate(sdxl)
    with unet_cache(sdxl, Cache(profile=CacheProfile.DISABLED), 6) as report:
        assert sdxl.unet is unet
        assert torch.equal(generate(sdxl), plain)
    assert (report.full, report.single, report.shallow) == (0, 0, 0)


@pytest.mark.parametrize("cache", [Cache(threshold=0.0), Cache(policy=CachePolicy.FIRST_BLOCK, threshold=0.0)])
@pytest.mark.parametrize("guidance_scale", [1.0, 5.0])
def test_full_passes_are_bit_identical_to_diffusers(sdxl: Any, cache: Cache, guidance_scale: float) -> None:
    plain = generate(sdxl, guidance_scale=guidance_scale)
    with unet_cache(sdxl, cache, 6) as report:
        assert torch.equal(generate(sdxl, guidance_scale=guidance_scale), plain)
    assert (report.full, report.shallow) == (6, 0)


@pytest.mark.parametrize("sampler", [None, *Scheduler])
def test_interval_gives_the_images_of_the_deepcache_package(sdxl: Any, sampler: Scheduler | None) -> None:
    set_sampler(sdxl, sampler)
    with deepcache(sdxl, interval=3):
        expected = generate(sdxl, steps=7)
    assert torch.allclose(cached(sdxl, Cache(interval=3), 7), expected, atol=1e-4)


@pytest.mark.parametrize("branch", range(6))
def test_every_branch_gives_the_images_of_the_deepcache_package(sdxl: Any, branch: int) -> None:
    with deepcache(sdxl, interval=2, branch=branch):
        expected = generate(sdxl, steps=4)
    assert torch.allclose(cached(sdxl, Cache(interval=2, branch=branch), 4), expected, atol=1e-4)


@pytest.mark.parametrize("sampler", [None, *Scheduler])
def test_adaptive_images_are_similar_with_every_sampler(whole_sdxl: Any, sampler: Scheduler | None) -> None:
    set_sampler(whole_sdxl, sampler)
    plain = generate(whole_sdxl, steps=12)
    with unet_cache(whole_sdxl, Cache(), 12) as report:
        image = generate(whole_sdxl, steps=12)
    assert report.full < 12 <= report.full + report.shallow
    assert torch.nn.functional.cosine_similarity(image.flatten(), plain.flatten(), dim=0) > 0.9


@pytest.mark.parametrize("policy", [CachePolicy.ADAPTIVE, CachePolicy.FIRST_BLOCK])
def test_a_lower_threshold_runs_more_full_passes_and_changes_the_image_less(sdxl: Any, policy: CachePolicy) -> None:
    plain, full, distances = generate(sdxl, steps=16), [], []
    for threshold in (0.0, 0.01, 1.0):
        with unet_cache(sdxl, Cache(policy=policy, threshold=threshold), 16) as report:
            distances.append(distance(generate(sdxl, steps=16), plain))
        full.append(report.full)
    assert full == sorted(full, reverse=True)
    assert full[0] == 16 > full[-1]
    assert distances[0] == 0 < distances[-1]


def test_a_faster_profile_runs_fewer_full_passes(sdxl: Any) -> None:
    full = []
    for profile in (CacheProfile.QUALITY, CacheProfile.BALANCED, CacheProfile.FAST):
        with unet_cache(sdxl, Cache(profile=profile), 25) as report:
            generate(sdxl, steps=25)
        full.append(report.full)
    assert full[0] > full[1] > full[2]


def test_features_are_extrapolated_at_part_of_the_last_rate() -> None:
    features = Features(extrapolates=True)
    for time, value in ((0.0, 9.0), (2.0, 1.0), (4.0, 2.0)):
        features.add(time, torch.tensor([value]))
    assert features.at(8.0).item() == pytest.approx(2.0 + EXTRAPOLATION * 2.0)


def test_features_are_repeated_without_extrapolation() -> None:
    features = Features(extrapolates=False)
    for time, value in ((2.0, 1.0), (4.0, 2.0)):
        features.add(time, torch.tensor([value]))
    assert features.at(8.0).item() == 2.0


def test_guidance_reuse_runs_late_passes_on_one_input(sdxl: Any) -> None:
    sizes: list[int] = []
    cache = Cache(reuse_guidance=True, threshold=0.001)
    hook = sdxl.unet.mid_block.resnets[0].register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    with hook, unet_cache(sdxl, cache, 8) as report:
        generate(sdxl, steps=8, guidance_scale=5.0)
    assert sizes[0] == 2
    assert sizes[-1] == 1
    assert report.single == sizes.count(1)


def test_guidance_reuse_has_no_effect_without_guidance(sdxl: Any) -> None:
    with unet_cache(sdxl, Cache(reuse_guidance=True, threshold=0.001), 8) as report:
        generate(sdxl, steps=8, guidance_scale=1.0)
    assert report.single == 0


def test_attention_reuse_computes_fewer_queries(sdxl: Any) -> None:
    def queries(cache: Cache) -> int:
        calls: list[object] = []
        query = sdxl.unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_q
        with query.register_forward_hook(lambda *_: calls.append(None)):
            cached(sdxl, cache, 10)
        return len(calls)

    assert queries(Cache(reuse_attention=True, threshold=0.0)) < queries(Cache(threshold=0.0)) == 10


def test_both_reuses_work_together(sdxl: Any) -> None:
    cache = Cache(reuse_guidance=True, reuse_attention=True, threshold=0.001)
    assert torch.isfinite(cached(sdxl, cache, 10)).all()


@pytest.mark.parametrize("policy", CachePolicy)
def test_a_batch_is_cached(sdxl: Any, policy: CachePolicy) -> None:
    prompts, seeds = ["a dog", "a castle"], {"generator": [generator(1), generator(2)]}
    plain = generate(sdxl, 12, prompts, generator=[generator(1), generator(2)])
    with unet_cache(sdxl, Cache(policy=policy), 12):
        image = generate(sdxl, 12, prompts, **seeds)
    assert torch.nn.functional.cosine_similarity(image.flatten(), plain.flatten(), dim=0) > 0.9


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 8])
def test_few_steps_work_and_keep_at_least_three_full_passes(sdxl: Any, steps: int) -> None:
    with unet_cache(sdxl, Cache(), steps) as report:
        generate(sdxl, steps=steps)
    assert report.full + report.shallow == steps
    assert report.full >= min(steps, 3)


def test_an_image_whose_sides_cannot_be_halved_evenly_is_bit_identical(sdxl: Any) -> None:
    size = {"width": 72, "height": 88}
    assert torch.equal(cached(sdxl, Cache(threshold=0.0), **size), generate(sdxl, **size))


@pytest.mark.parametrize("policy", OWN)
def test_image_to_image_after_text_to_image_is_correct(sdxl: Any, policy: CachePolicy) -> None:
    pipeline = StableDiffusionXLImg2ImgPipeline(**sdxl.components, add_watermarker=False)
    pipeline.set_progress_bar_config(disable=True)
    start = {"image": Image.new("RGB", (64, 64), "red"), "strength": 0.6}
    plain = generate(pipeline, 15, **start)
    cached(sdxl, Cache(policy=policy), 15)
    image = cached(pipeline, Cache(policy=policy), 15, **start)
    assert torch.nn.functional.cosine_similarity(image.flatten(), plain.flatten(), dim=0) > 0.9
    assert torch.equal(cached(pipeline, Cache(threshold=0.0), 15, **start), plain)


@pytest.mark.parametrize("sampler", [None, Scheduler.HEUN])
def test_inpainting_is_cached(sdxl: Any, sampler: Scheduler | None) -> None:
    set_sampler(sdxl, sampler)
    pipeline = StableDiffusionXLInpaintPipeline(**sdxl.components, add_watermarker=False)
    pipeline.set_progress_bar_config(disable=True)
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (16, 16, 48, 48))
    start = {"image": Image.new("RGB", (64, 64), "red"), "mask_image": mask, "width": 64, "height": 64, "strength": 0.8}
    assert torch.equal(cached(pipeline, Cache(threshold=0.0), 10, **start), generate(pipeline, 10, **start))
    with unet_cache(pipeline, Cache(), 10) as report:
        generate(pipeline, 10, **start)
    assert report.shallow > 0


def test_a_missing_branch_is_refused(sdxl: Any) -> None:
    sdxl.unet.up_blocks = sdxl.unet.up_blocks[1:]
    with (
        pytest.raises(InvalidRunError, match=r"cache\.branch is 5.*branches 0 to 3"),
        unet_cache(sdxl, Cache(interval=3, branch=5), 6),
    ):
        pytest.fail("entered")


@pytest.mark.parametrize("policy", OWN)
def test_a_pipeline_is_restored_after_a_failure(sdxl: Any, policy: CachePolicy) -> None:
    unet, plain, configuration = sdxl.unet, generate(sdxl), dict(sdxl.config)

    def fail(*_: Any) -> dict[str, Any]:
        raise RuntimeError("fails during an image")

    with pytest.raises(RuntimeError, match="fails during"), unet_cache(sdxl, Cache(policy=policy), 6):
        generate(sdxl, callback_on_step_end=fail)

    assert sdxl.unet is unet
    assert dict(sdxl.config) == configuration
    assert torch.equal(generate(sdxl), plain)


def test_nothing_inside_the_unet_is_patched(sdxl: Any) -> None:
    unet = sdxl.unet
    with unet_cache(sdxl, Cache(), 6):
        generate(sdxl)
        assert not [name for name, module in unet.named_modules() if "forward" in module.__dict__]


def test_nesting_is_refused_and_the_outer_context_still_works(sdxl: Any) -> None:
    with unet_cache(sdxl, Cache(), 6) as report:
        copy = StableDiffusionXLImg2ImgPipeline(**sdxl.components | {"unet": sdxl.unet._network.unet})
        with pytest.raises(CacheInUseError, match="use one context per generation"), unet_cache(copy, Cache(), 6):
            pytest.fail("entered twice")
        generate(sdxl)
    assert report.full


def test_the_deepcache_policy_uses_the_package(sdxl: Any) -> None:
    with deepcache(sdxl, interval=2):
        expected = generate(sdxl)
    assert torch.equal(cached(sdxl, Cache(policy=CachePolicy.DEEPCACHE, interval=2)), expected)
