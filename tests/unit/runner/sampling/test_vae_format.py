"""The memory format of the VAE: faster with a cache, bit-equal to diffusers without one."""

from typing import Any

import pytest
import torch
from PIL import Image, ImageChops

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner.models.device import generator
from darkroom_runner.sampling.sdxl import generate_image
from darkroom_runner.sampling.svd import generate_frames
from darkroom_runner.sampling.vae_format import set_vae_format

DRAWN = {"num_inference_steps": 4, "width": 64, "height": 64, "guidance_scale": 5.0}


def image(pipeline: Any, profile: str) -> Image.Image:
    spec = {"prompt": "a dog", "images": {"steps": 4, "width": 64, "height": 64, "guidanceScale": 5.0}}
    document = spec | {"cache": {"profile": profile}}
    return generate_image(pipeline, GenerateJobSpec.from_dict(document), 3, lambda step, total: None)


def plain(pipeline: Any) -> Image.Image:
    drawn: Image.Image = pipeline("a dog", generator=generator(3), **DRAWN).images[0]
    return drawn


def is_channels_last(pipeline: Any) -> set[bool]:
    """Of the weights whose order differs between the two formats."""
    return {
        each.is_contiguous(memory_format=torch.channels_last)
        for each in pipeline.vae.parameters()
        if each.dim() == 4 and each.shape[1] > 1 and max(each.shape[2:]) > 1
    }


def test_jobs_with_a_cache_decode_in_channels_last_order(sdxl: Any, svd: Any) -> None:
    image(sdxl, "Balanced")
    assert is_channels_last(sdxl) == {True}
    clip = {"prompt": "p", "allowMotion": True, "video": {"steps": 2, "frames": 2}}
    generate_frames(svd, Image.new("RGB", (64, 64)), GenerateJobSpec.from_dict(clip), lambda step, total: None)
    assert is_channels_last(svd) == {True}


def test_an_image_without_a_cache_is_bit_identical_to_diffusers_after_one_with_a_cache(sdxl: Any) -> None:
    expected = plain(sdxl)
    image(sdxl, "Balanced")
    assert ImageChops.difference(image(sdxl, "Disabled"), expected).getbbox() is None
    assert is_channels_last(sdxl) == {False}


def test_both_orders_give_the_same_image_within_rounding(sdxl: Any) -> None:
    expected = plain(sdxl)
    set_vae_format(sdxl, is_fast=True)
    assert max(high for _, high in ImageChops.difference(plain(sdxl), expected).getextrema()) <= 1


def test_the_weights_keep_their_values(sdxl: Any) -> None:
    before = {name: value.clone() for name, value in sdxl.vae.state_dict().items()}
    set_vae_format(sdxl, is_fast=True)
    assert all(torch.equal(before[name], value) for name, value in sdxl.vae.state_dict().items())


def test_gpus_keep_the_default_order(sdxl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(sdxl), "device", torch.device("cuda"))
    set_vae_format(sdxl, is_fast=True)
    assert is_channels_last(sdxl) == {False}
