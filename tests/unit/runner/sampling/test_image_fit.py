"""Fitting images into clips: no distortion, and a remark on cropping or padding."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.video import VideoFit
from darkroom_runner.sampling.image_fit import fit_image, fit_remark
from darkroom_runner.sampling.svd import clip_size

SVD = SimpleNamespace(
    unet=SimpleNamespace(config=SimpleNamespace(sample_size=96), down_blocks=range(4)), vae_scale_factor=8
)
"""Stable Video Diffusion at its real size: sides in steps of 64 pixels."""

SIZES = [(1152, 864), (1216, 832), (832, 1216), (896, 1152), (1344, 768), (1024, 1024), (640, 512), (1536, 640)]


def circle_on(size: tuple[int, int]) -> Image.Image:
    """A centred white circle of half the height or width."""
    image = Image.new("RGB", (size[0] * 4, size[1] * 4), (40, 40, 40))
    middle, radius = (size[0] * 2, size[1] * 2), min(size)
    box = (middle[0] - radius, middle[1] - radius, middle[0] + radius, middle[1] + radius)
    ImageDraw.Draw(image).ellipse(box, fill="white")
    return image.resize(size, Image.Resampling.BOX)


def aspect_ratio(frame: Image.Image) -> float:
    """Width by height of the white circle with subpixel accuracy, from the brightness of its longest row and column."""
    light = np.asarray(frame.convert("L"), dtype=float)
    shape = np.clip((light - 40) / (255 - 40), 0, 1)
    return float(shape.sum(axis=1).max() / shape.sum(axis=0).max())


@pytest.mark.parametrize("fit", list(VideoFit))
@pytest.mark.parametrize("size", SIZES)
def test_a_circle_stays_a_circle(size: tuple[int, int], fit: VideoFit) -> None:
    image = circle_on(size)
    frame_px = clip_size(SVD, size)

    frame = fit_image(image, frame_px, fit)

    assert frame.size == frame_px
    assert aspect_ratio(image) == pytest.approx(1, abs=0.002)
    assert aspect_ratio(frame) == pytest.approx(1, abs=0.01)


def test_crop_fills_the_frame_from_the_image_s_centre() -> None:
    image = Image.new("RGB", (400, 300), "red")
    image.paste("blue", (0, 0, 400, 10))
    image.paste("blue", (0, 290, 400, 300))

    frame = fit_image(image, (448, 256), VideoFit.CROP)

    # The middle 228.6 of 300 rows are visible, without the blue edges.
    assert frame.getcolors() == [(448 * 256, (255, 0, 0))]


def test_pad_keeps_every_edge_between_two_black_bars() -> None:
    image = Image.new("RGB", (400, 300), "red")

    frame = fit_image(image, (448, 256), VideoFit.PAD)

    # At 256 rows, a 4:3 image has 341 columns.
    row = [frame.getpixel((x, 128)) for x in range(448)]
    assert row.count((0, 0, 0)) == 448 - 341
    assert [row[0], row[52], row[53], row[393], row[394], row[447]] == [(0, 0, 0)] * 2 + [(255, 0, 0)] * 2 + [
        (0, 0, 0)
    ] * 2


@pytest.mark.parametrize(
    ("fit", "frame_px", "reason", "words"),
    [
        (VideoFit.CROP, (448, 256), RemarkReason.PICTURE_CROPPED, "71 rows at top and bottom of the image"),
        (VideoFit.CROP, (256, 256), RemarkReason.PICTURE_CROPPED, "100 columns left and right of the image"),
        (VideoFit.PAD, (448, 256), RemarkReason.PICTURE_PADDED, "107 columns left and right of the clip"),
        (VideoFit.PAD, (256, 256), RemarkReason.PICTURE_PADDED, "64 rows at top and bottom of the clip"),
    ],
)
def test_cropping_and_padding_add_a_remark(
    fit: VideoFit, frame_px: tuple[int, int], reason: RemarkReason, words: str
) -> None:
    remark = fit_remark((400, 300), frame_px, fit)

    assert remark is not None
    assert remark[0] is reason
    assert words in remark[1]


@pytest.mark.parametrize("fit", list(VideoFit))
@pytest.mark.parametrize(
    ("image_px", "frame_px"), [((1024, 1024), (768, 768)), ((400, 300), (1024, 768)), ((1001, 563), (1024, 576))]
)
def test_an_equal_aspect_ratio_adds_no_remark(
    image_px: tuple[int, int], frame_px: tuple[int, int], fit: VideoFit
) -> None:
    assert fit_remark(image_px, frame_px, fit) is None


def test_a_run_reports_what_it_cropped(start_run: Any) -> None:
    document = {
        "prompt": "a dog",
        "allowMotion": True,
        "images": {"width": 96, "height": 64, "steps": 2},
        "video": {"steps": 1},
    }

    run = start_run(GenerateJobSpec.from_dict(document)).finish()

    assert run.outcome.succeeded, run.log
    cropped = [each.message for each in run.outcome.remarks if each.reason == RemarkReason.PICTURE_CROPPED]
    assert len(cropped) == 1
    assert "The image's 96×64 pixels and the clip's 80×48 have different aspect ratios: in total 6 rows" in cropped[0]
