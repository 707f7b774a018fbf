"""One generation from loaded pipeline to files: which model is on the device when, and what the files are called.

`generate_job` opens it. Pictures and clips are made by `pictures` and `video`.
"""

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from darkroom_contract.progress import Stage
from darkroom_contract.specs import GenerateJobSpec
from darkroom_runner import lora
from darkroom_runner.base_models import BaseModel, load_pipeline
from darkroom_runner.device import Device, find_device, release
from darkroom_runner.jobs import Workbench
from darkroom_runner.metadata import clip_facts, picture_facts, png_info
from darkroom_runner.picture_fit import fit_remark
from darkroom_runner.pictures import draw_picture
from darkroom_runner.schedulers import with_sampler
from darkroom_runner.video import animate, clip_size, write_mp4

if TYPE_CHECKING:
    from darkroom_runner.generate_job import GenerateInputs

log = logging.getLogger(__name__)


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

    def draw(self) -> tuple[list[Picture], dict[str, float]]:
        """Draw and save all pictures; with the metrics of the outcome."""
        images = self.spec.images
        self.bench.progress.enter(Stage.DENOISING, images.count * images.steps)
        begun = time.monotonic()
        pictures = [self._draw(number) for number in range(images.count)]
        seconds = time.monotonic() - begun
        log.info("drew %d pictures in %.1f s", len(pictures), seconds)
        return pictures, {"pictures": len(pictures), "secondsPerStep": seconds / (images.count * images.steps)}

    def _draw(self, number: int) -> Picture:
        """Picture `number` of the job, counted from 0."""
        count, seed = self.spec.images.count, self.spec.images.seed + number

        def report(step: int, total: int) -> None:
            self.bench.interruption.check()
            self.bench.progress.step(number * total + step, count * total)

        image = draw_picture(self.pipeline, self.spec, seed, report)
        facts = picture_facts(self.spec, self.bench.document.base_model, self.lora_sha256, seed, image.size)
        path = self.bench.scratch / f"picture-{number}.png"
        image.save(path, pnginfo=png_info(facts))
        return Picture(path, image, facts)

    def animate(self, picture: Picture, video_model: BaseModel) -> tuple[Path, dict[str, float]]:
        """Free SDXL, load SVD, and make the clip of a picture; with its metrics. No picture can be drawn after it."""
        self.bench.progress.enter(Stage.ANIMATING, self.spec.video.steps)
        release(self.pipeline)
        pipeline = load_pipeline(video_model, self.device.drawing_dtype, self.device.place)
        fitting = fit_remark(picture.image.size, clip_size(pipeline, picture.image.size), self.spec.video.fit)
        if fitting is not None:
            self.bench.remarks.add(*fitting)
        begun = time.monotonic()
        frames = animate(pipeline, picture.image, self.spec, self._animated)
        log.info("drew %d frames in %.1f s", len(frames), time.monotonic() - begun)
        path = self.bench.scratch / "clip.mp4"
        facts = clip_facts(self.spec, video_model.name, picture.facts)
        write_mp4(frames, path, self.spec.video.fps, json.dumps(facts, ensure_ascii=False))
        return path, {
            "videoFrames": len(frames),
            "videoSecondsPerStep": (time.monotonic() - begun) / self.spec.video.steps,
        }

    def _animated(self, step: int, total: int) -> None:
        self.bench.interruption.check()
        self.bench.progress.step(step, total)


def open_session(bench: Workbench, spec: GenerateJobSpec, inputs: "GenerateInputs") -> DrawingSession:
    """Load the base model, its sampler and the LoRA."""
    device = find_device()
    pipeline = load_pipeline(inputs.base_model, device.drawing_dtype, device.place)
    pipeline.scheduler = with_sampler(pipeline.scheduler, spec.images.scheduler)
    trained = inputs.lora
    if trained is not None:
        lora.load(pipeline, trained.path, spec.lora_scale, trained.record.model_id)
    return DrawingSession(bench, spec, device, pipeline, trained.record.sha256 if trained else None)
