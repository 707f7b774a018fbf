"""A short clip from a picture: SVD's frames, and h264 in an mp4. Called by `drawing`."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from PIL import Image

from darkroom_contract.specs import GenerateJobSpec
from darkroom_runner.bt709 import yuv420
from darkroom_runner.deepcache import deepcache
from darkroom_runner.device import generator
from darkroom_runner.picture_fit import fit_picture

_CONSTANT_RATE_FACTOR = "17"
"""x264's quality scale: visually lossless begins about here."""
_PIXEL_FORMAT = "yuv420p"


def animate(
    pipeline: Any,
    picture: Image.Image,
    spec: GenerateJobSpec,
    on_step: Callable[[int, int], None],
    max_chunk: int | None = None,
) -> list[Image.Image]:
    """The clip's frames. The picture is fitted to the size that the video model knows, as `video.fit` asks for.

    With `max_chunk`, at most that number of frames is decoded at once, whatever `video.decodeChunkSize` is.
    """

    def report(pipe: Any, step: int, timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        on_step(step + 1, pipe.num_timesteps)
        return kwargs

    video = spec.video
    width, height = clip_size(pipeline, picture.size)
    with deepcache(pipeline, spec.cache.effective_interval, spec.cache.branch):
        frames: list[Image.Image] = pipeline(
            fit_picture(picture, (width, height), video.fit),
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
            callback_on_step_end=report,
        ).frames[0]
    return frames


def clip_size(pipeline: Any, picture_px: tuple[int, int]) -> tuple[int, int]:
    """Width and height: the picture's proportions, as nearly as they go, and the model's number of pixels.

    SVD was trained on 1024×576, which is as many pixels as the 768×768 that its configuration gives. Sides are
    multiples of what the U-Net halves evenly, and so also even, as h264's colour subsampling wants them.
    """
    unet = pipeline.unet
    own_side = unet.config.sample_size * pipeline.vae_scale_factor
    multiple = pipeline.vae_scale_factor * 2 ** (len(unet.down_blocks) - 1)
    proportion = (picture_px[0] / picture_px[1]) ** 0.5
    width, height = (
        max(1, round(side / multiple)) * multiple for side in (own_side * proportion, own_side / proportion)
    )
    return width, height


def write_mp4(frames: list[Image.Image], path: Path, fps: int, comment: str) -> None:
    """h264, yuv420p (what every browser plays), with the index first so that it starts while it loads.

    Colours are converted by BT.709 in limited range and tagged so, in the h264 stream and in the mp4's `colr` atom:
    players guess the matrix of an untagged clip from its size, each in another way.
    """
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        container.metadata["comment"] = comment
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"crf": _CONSTANT_RATE_FACTOR})
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = _PIXEL_FORMAT
        _tag(stream.codec_context)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(yuv420(frame), format=_PIXEL_FORMAT)))
        container.mux(stream.encode(None))


def _tag(codec: Any) -> None:
    codec.colorspace = Colorspace.ITU709
    codec.color_primaries = ColorPrimaries.BT709
    codec.color_trc = ColorTrc.BT709
    codec.color_range = ColorRange.MPEG
