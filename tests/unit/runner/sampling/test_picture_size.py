"""Sizes of results and of VAE tiles. SDXL's own numbers: 1024 pixels, a VAE of factor 8, three levels."""

from types import SimpleNamespace
from typing import Any

import pytest

from darkroom_contract.specs.images import Images, VaeTiling
from darkroom_runner.sampling.picture_size import image_size, upscaled_size
from darkroom_runner.sampling.vae_tiling import tile_side, vae_tiling

VAE = {"use_tiling": False, "tile_sample_min_size": 1024, "tile_latent_min_size": 128}


def sdxl_sizes(**vae: Any) -> Any:
    unet = SimpleNamespace(config=SimpleNamespace(sample_size=128), down_blocks=[None] * 3)
    return SimpleNamespace(unet=unet, vae_scale_factor=8, vae=SimpleNamespace(**vae))


@pytest.mark.parametrize(
    ("images", "start", "expected"),
    [
        ({}, None, (1024, 1024)),
        ({"width": 512}, None, (512, 1024)),
        ({}, (640, 480), (1184, 896)),
        ({}, (3000, 4000), (896, 1184)),
        ({}, (500, 500), (1024, 1024)),
        ({"width": 1000}, (2000, 1000), (1000, 512)),
        ({"height": 512}, (2000, 1000), (1024, 512)),
        ({"width": 1000, "height": 600}, (100, 900), (1000, 600)),
        ({}, (8000, 100), (2048, 128)),
    ],
)
def test_the_size_follows_the_start_image_at_the_model_s_pixel_count(
    images: dict[str, int], start: tuple[int, int] | None, expected: tuple[int, int]
) -> None:
    assert image_size(sdxl_sizes(), Images.from_dict(images), start) == expected


@pytest.mark.parametrize(
    ("size", "factor", "expected"),
    [((1024, 1024), 1.5, (1536, 1536)), ((1184, 896), 2.0, (2368, 1792)), ((1000, 600), 1.1, (1088, 672))],
)
def test_the_upscaled_size_is_one_that_the_u_net_can_halve(
    size: tuple[int, int], factor: float, expected: tuple[int, int]
) -> None:
    assert upscaled_size(sdxl_sizes(), size, factor) == expected


@pytest.mark.parametrize(
    ("setting", "size", "tile"),
    [
        (VaeTiling.AUTO, (1024, 1024), None),
        (VaeTiling.AUTO, (1536, 1536), None),
        (VaeTiling.AUTO, (2048, 1024), None),
        (VaeTiling.AUTO, (1568, 1536), 1024),
        (VaeTiling.ENABLED, (1024, 1024), 512),
        (VaeTiling.DISABLED, (2048, 2048), None),
    ],
)
def test_large_images_are_tiled(setting: VaeTiling, size: tuple[int, int], tile: int | None) -> None:
    assert tile_side(sdxl_sizes(**VAE), setting, size) == tile


def test_a_vae_without_tiles_is_left_as_it_is() -> None:
    assert tile_side(sdxl_sizes(), VaeTiling.ENABLED, (2048, 2048)) is None


def test_tiling_ends_with_the_image() -> None:
    pipeline = sdxl_sizes(**VAE)
    with vae_tiling(pipeline, VaeTiling.ENABLED, (1024, 1024)):
        assert vars(pipeline.vae) == {"use_tiling": True, "tile_sample_min_size": 512, "tile_latent_min_size": 64}
    assert vars(pipeline.vae) == VAE


def test_tiles_lower_the_largest_activation(sdxl: Any) -> None:
    """The decoder's memory follows its largest activation, at full resolution."""
    import torch

    def largest(setting: VaeTiling) -> int:
        seen = [0]
        hooks = [
            each.register_forward_hook(lambda module, inputs, output: seen.append(output.numel()))
            for each in sdxl.vae.decoder.modules()
            if isinstance(each, torch.nn.Conv2d)
        ]
        with torch.no_grad(), vae_tiling(sdxl, setting, (128, 128)):
            sdxl.vae.decode(torch.zeros(1, 4, 16, 16))
        for hook in hooks:
            hook.remove()
        return max(seen)

    assert largest(VaeTiling.AUTO) * 4 == largest(VaeTiling.DISABLED)
    assert largest(VaeTiling.ENABLED) * 16 == largest(VaeTiling.DISABLED)
