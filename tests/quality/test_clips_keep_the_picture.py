"""The last frame of a clip still shows its first: background, subject and sharpness of 20 clips, by their pixels.

The pictures are drawn, so that the content of the first frame is known. Settings are the defaults of a job.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner.models.device import find_device
from darkroom_runner.models.pretrained import PretrainedModel, load_pipeline
from darkroom_runner.sampling.svd import generate_frames
from darkroom_tiny import scene_detector
from darkroom_tiny.draw import SUBJECT, Scene, draw, scenes
from darkroom_tiny.svd_training import CALM, DEFAULT_MOTION_BUCKET, clip_of

CLIPS = 20
FRAME_PX = 5
"""Width of the picture's edge, which shows only background."""

# Twenty clips take some minutes on a busy machine.
pytestmark = pytest.mark.timeout(1800)


def start_scenes() -> list[Scene]:
    """The subject of the demo, and combinations of which some are excluded from training."""
    return [replace(SUBJECT, background="olive"), *scenes(count=CLIPS - 1, seed=5)]


class Clips:
    """20 clips, each generated when it is first read: a test that fails early needs only some of them."""

    def __init__(self, pipeline: Any, spec: GenerateJobSpec) -> None:
        self._pipeline, self._spec = pipeline, spec
        self._clips: list[list[Image.Image]] = []

    def __iter__(self) -> Iterator[list[Image.Image]]:
        for number, scene in enumerate(start_scenes()):
            if number == len(self._clips):
                frames = generate_frames(self._pipeline, draw(scene), self._spec, lambda step, total: None)
                self._clips.append(frames)
            yield self._clips[number]


@pytest.fixture(scope="module", params=["Disabled", "Balanced"])
def clips(request: pytest.FixtureRequest, svd_model: PretrainedModel) -> Clips:
    """Without and with the cache."""
    device = find_device()
    pipeline = load_pipeline(svd_model, device.inference_dtype, device.torch_device)
    if not device.is_cuda:
        convolve_frames_in_two_dimensions(pipeline.unet)
    decode_ends(pipeline.vae)
    spec = GenerateJobSpec.from_dict({"prompt": "p", "allowMotion": True, "cache": {"profile": request.param}})
    return Clips(pipeline, spec)


def convolve_frames_in_two_dimensions(unet: torch.nn.Module) -> None:
    """Compute convolutions over frames alone with `conv2d`: the same sums in half of the time on the CPU."""
    for module in unet.modules():
        if isinstance(module, torch.nn.Conv3d) and module.kernel_size[1:] == (1, 1):
            module.forward = partial(convolve_frames, module)  # type: ignore[method-assign]


def convolve_frames(layer: torch.nn.Conv3d, x: torch.Tensor) -> torch.Tensor:
    """[clips, channels, frames, h, w] to the same. `layer` has a kernel of frames × 1 × 1."""
    padding = (int(layer.padding[0]), 0)
    result = torch.nn.functional.conv2d(x.flatten(3), layer.weight.flatten(3), layer.bias, padding=padding)
    return result.unflatten(3, x.shape[3:])


def decode_ends(vae: Any) -> None:
    """Let the VAE decode the first and the last frame of a clip, which it decodes one by one: no test reads others."""
    decode = vae.decode

    def ends(latents: torch.Tensor) -> Any:
        """In the place of each frame between them is the first."""
        decoded = decode(latents[[0, -1]])
        decoded.sample = decoded.sample[[0] * (len(latents) - 1) + [1]]
        return decoded

    vae.decode = ends


def edge_pixels(frame: Image.Image) -> Any:
    pixels = np.asarray(frame.convert("RGB"), dtype=np.float32)
    inside = np.ones(pixels.shape[:2], dtype=bool)
    inside[FRAME_PX:-FRAME_PX, FRAME_PX:-FRAME_PX] = False
    return pixels[inside]


def background_change(clip: list[Image.Image]) -> float:
    """Mean RGB distance of the last frame's edge from the first frame's background colour."""
    background = np.median(edge_pixels(clip[0]), axis=0)
    return float(np.linalg.norm(edge_pixels(clip[-1]) - background, axis=-1).mean())


def sharpness(frame: Image.Image) -> float:
    """Mean difference of neighbouring pixels."""
    pixels = np.asarray(frame.convert("RGB"), dtype=np.float32)
    return float(np.abs(np.diff(pixels, axis=0)).mean() + np.abs(np.diff(pixels, axis=1)).mean())


def test_background_and_subject_stay_until_the_last_frame(clips: Clips) -> None:
    lost, changes = 0, []
    for clip in clips:
        lost += not keeps_its_scene(clip)
        changes.append(background_change(clip))
        assert lost <= 0.1 * CLIPS
        assert changes[-1] < 12

    assert len(changes) == CLIPS
    assert np.median(changes) < 4


def keeps_its_scene(clip: list[Image.Image]) -> bool:
    first, last = scene_detector.read(clip[0]), scene_detector.read(clip[-1])
    return (
        first is not None
        and last is not None
        and (first.shape, first.colour, first.background) == (last.shape, last.colour, last.background)
    )


def turning(scene: Scene) -> float:
    """How much sharper the scene is at the end of its motion: `sharpness` is that of an edge along an axis or not."""
    first, *_, last = clip_of(scene, DEFAULT_MOTION_BUCKET, CALM.roll)
    return sharpness(draw(last)) / sharpness(draw(first))


def test_sharpness_does_not_fall_and_no_blots_appear(clips: Clips) -> None:
    """A blurred frame has fewer and weaker edges than the first, and a frame with blots more."""
    ratios = []
    for scene, clip in zip(start_scenes(), clips, strict=True):
        ratios.append(sharpness(clip[-1]) / sharpness(clip[0]) / turning(scene))
        assert 0.8 < ratios[-1] < 1.4

    assert len(ratios) == CLIPS
    assert np.median(ratios) < 1.2
