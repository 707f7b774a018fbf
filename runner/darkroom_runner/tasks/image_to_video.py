"""Image to video with SVD: loads the pipeline, generates the frames, and saves an mp4. Called by `generate`.

The first frame is an image of the job or the user's own (`video.startImage`).
"""

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from darkroom_contract.base_models import UsedModel
from darkroom_contract.progress import Stage
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.storage.keys import clip_file
from darkroom_runner.models.device import Device
from darkroom_runner.models.kept_pipelines import KeptPipelines
from darkroom_runner.models.pretrained import PretrainedModel
from darkroom_runner.run.context import RunContext
from darkroom_runner.sampling.image_fit import fit_remark
from darkroom_runner.sampling.mp4 import write_mp4
from darkroom_runner.sampling.mp4_xmp import append_xmp
from darkroom_runner.sampling.non_finite import retry_in_float32
from darkroom_runner.sampling.svd import clip_size, generate_frames
from darkroom_runner.sampling.timestep_spacing import ensure_starts_from_noise
from darkroom_runner.tasks.output_metadata import clip_metadata
from darkroom_runner.tasks.start_files import ClipStart
from darkroom_runner.tasks.text_to_image import load_inference_pipeline
from darkroom_runner.tasks.xmp import xmp_packet
from darkroom_runner.unet_cache.context import CacheReport

log = logging.getLogger(__name__)

_FLOAT32_DECODE_CHUNK = 2
"""Frames decoded at once when retrying in float32, which takes twice the memory."""


@dataclass(frozen=True)
class GeneratedClip:
    """A clip that was generated and saved."""

    path: Path
    metrics: dict[str, float]
    video_model: UsedModel


def generate_clip(
    context: RunContext,
    spec: GenerateJobSpec,
    device: Device,
    video_model: PretrainedModel,
    start: ClipStart,
    pipelines: KeptPipelines | None = None,
) -> GeneratedClip:
    """Load SVD and animate an image. The device must have memory free for it.

    Raises `NonFiniteOutputError`.
    """
    remarks = context.remarks
    context.progress.enter(Stage.ANIMATING, spec.video.steps)
    pipelines, clock = pipelines or KeptPipelines(), context.progress.start
    pipeline = load_inference_pipeline(pipelines, video_model, device, (), remarks, clock)
    pipeline.scheduler = ensure_starts_from_noise(pipeline.scheduler, spec.video.steps, "video.steps", remarks)
    fitting = fit_remark(start.image.size, clip_size(pipeline, start.image.size), spec.video.fit)
    if fitting is not None:
        remarks.add(*fitting)
    started, passes = time.monotonic(), CacheReport()

    def generate(max_chunk: int | None = None) -> list[Image.Image]:
        return generate_frames(pipeline, start.image, spec, context.on_step, max_chunk, passes)

    frames = retry_in_float32(pipeline, generate, "The clip", remarks, retry=lambda: generate(_FLOAT32_DECODE_CHUNK))
    log.info("generated %d frames in %.1f s", len(frames), time.monotonic() - started)
    path = context.scratch / clip_file(context.document.name)
    used = video_model.used(pipeline)
    metadata = clip_metadata(spec, used, start.metadata)
    write_mp4(frames, path, spec.video.fps, json.dumps(metadata, ensure_ascii=False))
    append_xmp(path, xmp_packet(metadata))
    metrics = {"videoFrames": len(frames), "videoSecondsPerStep": (time.monotonic() - started) / spec.video.steps}
    return GeneratedClip(path, metrics | passes.metrics("videoUnetPasses", "videoUnetFullPasses"), used)
