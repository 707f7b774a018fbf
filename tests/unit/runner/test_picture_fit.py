"""Pictures in clips: a circle stays a circle, and what is cropped or added is said."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs import GenerateJobSpec, VideoFit
from darkroom_runner.picture_fit import fit_picture, fit_remark
from darkroom_runner.video import clip_size

SVD = SimpleNamespace(
    unet=SimpleNamespace(config=SimpleNamespace(sample_size=96), down_blocks=range(4)), vae_scale_factor=8
)
"""Stable Video Diffusion at its real size: sides in steps of 64 pixels."""

PICTURES = [(1152, 864), (1216, 832), (832, 1216), (896, 1152), (1344, 768), (1024, 1024), (640, 512), (1536, 640)]


def circle_on(size: tuple[int, int]) -> Image.Image:
    """A white circle in the middle, of half the height or width."""
    picture = Image.new("RGB", (size[0] * 4, size[1] * 4), (40, 40, 40))
    middle, radius = (size[0] * 2, size[1] * 2), min(size)
    box = (middle[0] - radius, middle[1] - radius, middle[0] + radius, middle[1] + radius)
    ImageDraw.Draw(picture).ellipse(box, fill="white")
    return picture.resize(size, Image.Resampling.BOX)


def proportions(frame: Image.Image) -> float:
    """Width by height of the white circle, to a part of a pixel: its longest row and column, by their brightness."""
    light = np.asarray(frame.convert("L"), dtype=float)
    shape = np.clip((light - 40) / (255 - 40), 0, 1)
    return float(shape.sum(axis=1).max() / shape.sum(axis=0).max())


@pytest.mark.parametrize("fit", list(VideoFit))
@pytest.mark.parametrize("size", PICTURES)
def test_a_circle_stays_a_circle(size: tuple[int, int], fit: VideoFit) -> None:
    picture = circle_on(size)
    frame_px = clip_size(SVD, size)

    frame = fit_picture(picture, frame_px, fit)

    assert frame.size == frame_px
    assert proportions(picture) == pytest.approx(1, abs=0.002)
    assert proportions(frame) == pytest.approx(1, abs=0.01)


def test_crop_fills_the_frame_from_the_picture_s_middle() -> None:
    picture = Image.new("RGB", (400, 300), "red")
    picture.paste("blue", (0, 0, 400, 10))
    picture.paste("blue", (0, 290, 400, 300))

    frame = fit_picture(picture, (448, 256), VideoFit.CROP)

    # Of 300 rows the middle 228.6 are shown: nothing of the blue edges.
    assert frame.getcolors() == [(448 * 256, (255, 0, 0))]


def test_pad_keeps_every_edge_between_two_black_bars() -> None:
    picture = Image.new("RGB", (400, 300), "red")

    frame = fit_picture(picture, (448, 256), VideoFit.PAD)

    # 256 rows of a 4:3 picture are 341 columns.
    row = [frame.getpixel((x, 128)) for x in range(448)]
    assert row.count((0, 0, 0)) == 448 - 341
    assert [row[0], row[52], row[53], row[393], row[394], row[447]] == [(0, 0, 0)] * 2 + [(255, 0, 0)] * 2 + [
        (0, 0, 0)
    ] * 2


@pytest.mark.parametrize(
    ("fit", "frame_px", "reason", "words"),
    [
        (VideoFit.CROP, (448, 256), RemarkReason.PICTURE_CROPPED, "71 rows at top and bottom of the picture"),
        (VideoFit.CROP, (256, 256), RemarkReason.PICTURE_CROPPED, "100 columns left and right of the picture"),
        (VideoFit.PAD, (448, 256), RemarkReason.PICTURE_PADDED, "107 columns left and right of the clip"),
        (VideoFit.PAD, (256, 256), RemarkReason.PICTURE_PADDED, "64 rows at top and bottom of the clip"),
    ],
)
def test_what_is_lost_or_added_is_said(
    fit: VideoFit, frame_px: tuple[int, int], reason: RemarkReason, words: str
) -> None:
    remark = fit_remark((400, 300), frame_px, fit)

    assert remark is not None
    assert remark[0] is reason
    assert words in remark[1]


@pytest.mark.parametrize("fit", list(VideoFit))
@pytest.mark.parametrize(
    ("picture_px", "frame_px"), [((1024, 1024), (768, 768)), ((400, 300), (1024, 768)), ((1001, 563), (1024, 576))]
)
def test_the_same_proportions_to_a_pixel_are_no_news(
    picture_px: tuple[int, int], frame_px: tuple[int, int], fit: VideoFit
) -> None:
    assert fit_remark(picture_px, frame_px, fit) is None


def test_a_run_says_what_it_cropped(start_run: Any) -> None:
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
    assert "96×64 pixels don't have the proportions of the clip's 80×48: 6 rows" in cropped[0]
