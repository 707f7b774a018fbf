"""Generates the frames of a clip from an image with an SVD pipeline."""

from typing import Any

from PIL import Image

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner.models.device import generator
from darkroom_runner.sampling.image_fit import fit_image
from darkroom_runner.sampling.step_callback import OnStep, step_callback
from darkroom_runner.sampling.vae_format import set_vae_format
from darkroom_runner.unet_cache.context import CacheReport, unet_cache


def generate_frames(
    pipeline: Any,
    image: Image.Image,
    spec: GenerateJobSpec,
    on_step: OnStep,
    max_chunk: int | None = None,
    report: CacheReport | None = None,
) -> list[Image.Image]:
    """The frames of a clip that begins with `image`, which is first fitted to the clip's size as `video.fit` says.

    `max_chunk` limits the number of frames decoded at once, in addition to `video.decodeChunkSize`. The passes
    of the U-Net are added to `report`.
    """
    video = spec.video
    set_vae_format(pipeline, is_fast=spec.cache.enabled)
    width, height = clip_size(pipeline, image.size)
    with unet_cache(pipeline, spec.cache, video.steps, report):
        frames: list[Image.Image] = pipeline(
            fit_image(image, (width, height), video.fit),
            width=width,
            height=height,
            num_frames=video.frames,
            num_inference_steps=video.steps,
            min_guidance_scale=video.min_guidance_scale,
            max_guidance_scale=video.max_guidance_scale,
            fps=video.fps,
            motion_bucket_id=video.motion_bucket_id,
            noise_aug_strength=video.noise_aug_strength,
            decode_chunk_size=min(filter(None, (video.decode_chunk_size, max_chunk)), default=None),
            generator=generator(video.seed),
            callback_on_step_end=step_callback(on_step),
        ).frames[0]
    return frames


def clip_size(pipeline: Any, image_px: tuple[int, int]) -> tuple[int, int]:
    """Width and height in pixels: close to the image's aspect ratio, with the number of pixels that the model knows.

    SVD was trained on 1024×576, which has as many pixels as the 768×768 in its configuration. Sides are multiples of
    what the U-Net can halve, and therefore even, as h264's chroma subsampling requires.
    """
    unet = pipeline.unet
    own_side = unet.config.sample_size * pipeline.vae_scale_factor
    multiple = pipeline.vae_scale_factor * 2 ** (len(unet.down_blocks) - 1)
    proportion = (image_px[0] / image_px[1]) ** 0.5
    width, height = (
        max(1, round(side / multiple)) * multiple for side in (own_side * proportion, own_side / proportion)
    )
    return width, height
