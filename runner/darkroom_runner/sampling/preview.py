"""Live previews: small JPEGs of what an image looks like so far. Called after each denoising step by `step_callback`.

A preview is a cheap approximation of a decoding (`latent_rgb`): at full size the VAE costs about as much as a step. It
shows the sampler's present prediction of the final latents (`predicted_latents`), since the latents themselves are
mostly noise until the last steps.

Previews never affect the image, and never fail or delay a run: an error turns them off, and on CUDA the pixels are
copied in the background and encoded after a later step, so that no step waits for the device. An image that is not
finite has none: it is generated again, with previews.
"""

import base64
import io
import logging
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image

from darkroom_contract.progress import MAX_PREVIEW_CHARACTERS
from darkroom_runner.sampling.latent_rgb import approximate_pixels
from darkroom_runner.sampling.non_finite import NonFiniteError
from darkroom_runner.sampling.predicted_latents import SchedulerStep, keep_next_step, predicted_latents

log = logging.getLogger(__name__)

QUALITIES = (80, 60, 40, 20)
"""The first that gives a JPEG of at most `MAX_PREVIEW_CHARACTERS` in base64 is used."""

Show = Callable[[int, int, str], None]
"""Called with the image's seed, its steps so far, and a JPEG in base64."""


class Previews:
    """The previews of a run's images: one after every `every` steps, none for 0."""

    def __init__(self, every: int, show: Show) -> None:
        self.every = every
        self.show = show

    def of_image(self, seed: int, steps_before: int = 0) -> "ImagePreviews":
        """Those of one call of a pipeline. `steps_before`: steps of the same image in earlier calls."""
        return ImagePreviews(self, seed, steps_before)

    def turn_off(self, error: Exception) -> None:
        """After an error: the next images would have the same."""
        self.every = 0
        log.warning("previews are off for the rest of this run: %s: %s", type(error).__name__, error)


class ImagePreviews:
    """The previews of one image, for one call of a pipeline.

    There is none after the first step, when nothing is known about a step yet, and none after the last, which is
    followed by the image.
    """

    def __init__(self, previews: Previews, seed: int, steps_before: int) -> None:
        self._previews = previews
        self._seed = seed
        self._steps_before = steps_before
        self._kept: SchedulerStep | None = None
        """The scheduler's last step, if a preview is due after it."""
        self._pixels: _Pixels | None = None
        """Pixels on their way from the device."""

    def after_step(self, pipeline: Any, step: int) -> None:
        """Step `step` of this call, from 1, is done. Called in the pipeline's `callback_on_step_end`."""
        if not self._previews.every:
            return
        try:
            self._after_step(pipeline, step)
        except NonFiniteError:
            log.info("no preview of step %d: it has NaN or infinite values", self._steps_before + step)
        except Exception as error:  # noqa: BLE001 - nothing here may fail a run
            self._previews.turn_off(error)

    def _after_step(self, pipeline: Any, step: int) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            latents = predicted_latents(pipeline.scheduler, kept)
            if latents is not None:
                self._pixels = _Pixels(approximate_pixels(pipeline.vae, latents[0]), self._steps_before + step)
        if self._pixels is not None and self._pixels.are_here:
            self._show(self._pixels)
            self._pixels = None
        if self._is_due(step + 1) and step + 1 < pipeline.num_timesteps:
            keep_next_step(pipeline.scheduler, self._keep)

    def _is_due(self, step: int) -> bool:
        return (self._steps_before + step) % self._previews.every == 0

    def _keep(self, step: SchedulerStep) -> None:
        self._kept = step

    def _show(self, pixels: "_Pixels") -> None:
        jpeg = encode_jpeg(pixels.image())
        if jpeg is not None:
            self._previews.show(self._seed, pixels.step, jpeg)


class _Pixels:
    """The pixels of a preview, in main memory or on their way to it."""

    def __init__(self, pixels: torch.Tensor, step: int) -> None:
        """`pixels`: (height, width, 3) bytes, on any device."""
        self.step = step
        # On CUDA an asynchronous copy into pinned memory.
        self._rgb = pixels.to("cpu", non_blocking=True)
        self._copied = None
        if pixels.is_cuda:
            self._copied = torch.cuda.Event()
            self._copied.record(torch.cuda.current_stream(pixels.device))

    @property
    def are_here(self) -> bool:
        """Whether the pixels are in main memory. Does not wait."""
        return self._copied is None or self._copied.query()

    def image(self) -> Image.Image:
        return Image.fromarray(self._rgb.numpy())


def encode_jpeg(image: Image.Image) -> str | None:
    """A JPEG in base64; None if even the lowest quality is too large."""
    for quality in QUALITIES:
        file = io.BytesIO()
        # Colours at full resolution: a pixel stands for 64 of the image.
        image.save(file, "JPEG", quality=quality, subsampling=0)
        text = base64.b64encode(file.getvalue()).decode("ascii")
        if len(text) <= MAX_PREVIEW_CHARACTERS:
            return text
    return None
