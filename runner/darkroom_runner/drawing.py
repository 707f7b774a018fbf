"""One generation from loaded pipeline to files: which model is on the device when, and what the files are called.

`generate_job` opens it. Pictures and clips are made by `pictures` and `video`.
"""

import json
import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from darkroom_contract.base_models import UsedModel
from darkroom_contract.progress import Stage
from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs import GenerateJobSpec
from darkroom_contract.storage import clip_file, image_file
from darkroom_runner import lora
from darkroom_runner.base_models import BaseModel, load_pipeline
from darkroom_runner.device import Device, find_device, free_memory, release
from darkroom_runner.errors import NonFiniteOutputError
from darkroom_runner.finite import draw_finite, has_finite_weights
from darkroom_runner.jobs import Workbench
from darkroom_runner.metadata import clip_facts, picture_facts, png_info
from darkroom_runner.picture_fit import fit_remark
from darkroom_runner.pictures import draw_picture
from darkroom_runner.prompt_length import remark_on_cut_prompts
from darkroom_runner.remarks import Remarks
from darkroom_runner.schedulers import with_sampler
from darkroom_runner.timesteps import from_noise
from darkroom_runner.video import animate, clip_size, write_mp4

if TYPE_CHECKING:
    from darkroom_runner.generate_job import GenerateInputs, Lora

log = logging.getLogger(__name__)

_REDRAWN_CHUNK = 2
"""Frames decoded at once in float32, which takes twice the memory."""


@dataclass(frozen=True)
class Picture:
    """A finished picture."""

    path: Path
    image: Image.Image
    facts: dict[str, Any]


@dataclass(frozen=True)
class DrawingSession:
    """SDXL on a device, until the video model takes its place."""

    bench: Workbench
    spec: GenerateJobSpec
    device: Device
    pipeline: Any
    lora_sha256: str | None
    base_model: UsedModel

    def draw(self) -> tuple[list[Picture], dict[str, float]]:
        """Draw and save all pictures; with the metrics of the outcome.

        Adds `PictureLeftOut` for those that are not finite. Raises `NonFiniteOutputError` when there is no other.
        """
        images = self.spec.images
        self.bench.progress.enter(Stage.DENOISING, images.count * images.steps)
        begun, pictures, failures = time.monotonic(), list[Picture](), dict[int, str]()
        for number in range(images.count):
            try:
                pictures.append(self._draw(number))
            except NonFiniteOutputError as error:
                failures[images.seed + number] = str(error)
                log.warning("%s", error)
                free_memory()
        self._remark_left_out(failures, pictures)
        seconds = time.monotonic() - begun
        log.info("drew %d pictures in %.1f s", len(pictures), seconds)
        return pictures, {"pictures": len(pictures), "secondsPerStep": seconds / (images.count * images.steps)}

    def _remark_left_out(self, failures: dict[int, str], pictures: list[Picture]) -> None:
        if failures and not pictures:
            raise NonFiniteOutputError(next(iter(failures.values())))
        if failures:
            seeds = ", ".join(map(str, failures))
            self.bench.remarks.add(
                RemarkReason.PICTURE_LEFT_OUT,
                f"{len(failures)} of {self.spec.images.count} pictures left out (seed {seeds}): "
                f"{next(iter(failures.values()))}",
            )

    def _draw(self, number: int) -> Picture:
        """Picture `number` of the job, counted from 0."""
        count, seed = self.spec.images.count, self.spec.images.seed + number

        def report(step: int, total: int) -> None:
            self.bench.interruption.check()
            self.bench.progress.step(number * total + step, count * total)

        image = draw_finite(
            self.pipeline,
            lambda: draw_picture(self.pipeline, self.spec, seed, report),
            f"The picture of seed {seed}",
            self.bench.remarks,
        )
        facts = picture_facts(self.spec, self.base_model, self.lora_sha256, seed, image.size)
        path = self.bench.scratch / image_file(self.bench.document.name, seed)
        image.save(path, pnginfo=png_info(facts))
        return Picture(path, image, facts)

    def animate(self, picture: Picture, video_model: BaseModel) -> tuple[Path, dict[str, float], UsedModel]:
        """Free SDXL, load SVD, and make the clip of a picture; with its metrics. No picture can be drawn after it.

        Raises `NonFiniteOutputError`.
        """
        self.bench.progress.enter(Stage.ANIMATING, self.spec.video.steps)
        release(self.pipeline)
        remarks = self.bench.remarks
        pipeline = _load(video_model, self.device, None, self.spec, remarks)
        pipeline.scheduler = from_noise(pipeline.scheduler, self.spec.video.steps, "video.steps", remarks)
        fitting = fit_remark(picture.image.size, clip_size(pipeline, picture.image.size), self.spec.video.fit)
        if fitting is not None:
            remarks.add(*fitting)
        begun = time.monotonic()

        def draw(max_chunk: int | None = None) -> list[Image.Image]:
            return animate(pipeline, picture.image, self.spec, self._animated, max_chunk)

        frames = draw_finite(pipeline, draw, "The clip", remarks, redraw=lambda: draw(_REDRAWN_CHUNK))
        log.info("drew %d frames in %.1f s", len(frames), time.monotonic() - begun)
        path = self.bench.scratch / clip_file(self.bench.document.name)
        used = video_model.used(pipeline)
        facts = clip_facts(self.spec, used, picture.facts)
        write_mp4(frames, path, self.spec.video.fps, json.dumps(facts, ensure_ascii=False))
        metrics = {
            "videoFrames": len(frames),
            "videoSecondsPerStep": (time.monotonic() - begun) / self.spec.video.steps,
        }
        return path, metrics, used

    def _animated(self, step: int, total: int) -> None:
        self.bench.interruption.check()
        self.bench.progress.step(step, total)


def open_session(
    bench: Workbench, spec: GenerateJobSpec, inputs: "GenerateInputs", device: Device | None = None
) -> DrawingSession:
    """Load the base model, its sampler and the LoRA; on the machine's own device unless one is given."""
    device = device or find_device()
    trained = inputs.lora
    pipeline = _load(inputs.base_model, device, trained, spec, bench.remarks)
    remark_on_cut_prompts(pipeline, spec, bench.remarks)
    sampler = with_sampler(pipeline.scheduler, spec.images.scheduler, spec.images.steps, bench.remarks)
    pipeline.scheduler = from_noise(sampler, spec.images.steps, "images.steps", bench.remarks)
    used = inputs.base_model.used(pipeline)
    return DrawingSession(bench, spec, device, pipeline, trained.record.sha256 if trained else None, used)


def _load(model: BaseModel, device: Device, trained: "Lora | None", spec: GenerateJobSpec, remarks: Remarks) -> Any:
    """A pipeline with its LoRA, in the device's precision; in float32 where weights are beyond half precision's range.

    The latter holds for the whole job: such a pipeline draws nothing finite in half precision.
    """
    pipeline = load_pipeline(model, device.drawing_dtype, device.place)
    if trained is not None:
        lora.load(pipeline, trained.path, spec.lora_scale, trained.record.model_id)
    if device.drawing_dtype == torch.float32 or has_finite_weights(pipeline):
        return pipeline
    release(pipeline)
    remarks.add(
        RemarkReason.DRAWN_AGAIN,
        f"Weights of {model.name!r} or its LoRA are beyond half precision's range: everything is drawn in float32.",
    )
    return _load(model, replace(device, drawing_dtype=torch.float32), trained, spec, remarks)
