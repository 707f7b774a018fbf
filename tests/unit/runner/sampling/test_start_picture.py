"""How a start image and its mask are fitted to the result, and which pixels the mask's soft edge touches."""

import numpy as np
import pytest
from PIL import Image

from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs.start_image import ImageFit
from darkroom_runner.sampling.start_picture import StartPicture, fit_picture, fit_remark

LANCZOS = Image.Resampling.LANCZOS


def striped() -> Image.Image:
    """100×50, red at the left edge, blue at the right, green between."""
    image = Image.new("RGB", (100, 50), "lime")
    image.paste("red", (0, 0, 10, 50))
    image.paste("blue", (90, 0, 100, 50))
    return image


def test_cropping_cuts_both_edges_and_does_not_stretch() -> None:
    fitted = fit_picture(striped(), (64, 64), ImageFit.CROP, LANCZOS)

    assert fitted.size == (64, 64)
    assert {fitted.getpixel((x, 32)) for x in (0, 32, 63)} == {(0, 255, 0)}


def test_padding_keeps_all_and_repeats_the_edges() -> None:
    fitted = fit_picture(striped(), (100, 80), ImageFit.PAD, LANCZOS)

    assert [fitted.getpixel((x, y)) for x, y in ((0, 0), (50, 0), (99, 79))] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    assert np.array_equal(np.asarray(fitted)[15:65], np.asarray(striped()))


def test_a_picture_of_the_right_size_is_kept_pixel_by_pixel() -> None:
    assert fit_picture(striped(), (100, 50), ImageFit.CROP, LANCZOS).tobytes() == striped().tobytes()


def test_a_mask_is_fitted_like_its_picture() -> None:
    mask = Image.new("L", (100, 50), 0)
    mask.paste(255, (0, 0, 10, 50))

    start = StartPicture(striped(), mask, ImageFit.PAD).fitted((100, 80))

    assert start.mask is not None
    is_red = np.asarray(start.image)[..., 0] == 255
    assert np.array_equal(np.asarray(start.mask) == 255, is_red)


@pytest.mark.parametrize("blur", [0, 4, 16])
def test_the_soft_edge_is_as_wide_as_asked_and_ends(blur: int) -> None:
    mask = Image.new("L", (128, 64), 0)
    mask.paste(255, (0, 0, 64, 64))

    alpha = np.asarray(StartPicture(Image.new("RGB", (128, 64)), mask, blur_px=blur).alpha)[32]

    soft = np.flatnonzero((alpha > 0) & (alpha < 255))
    assert blur - 1 <= len(soft) <= blur + 1
    assert (alpha[: 64 - blur // 2 - 1] == 255).all()
    assert (alpha[64 + blur // 2 + 1 :] == 0).all()


def test_all_latents_that_the_soft_edge_touches_are_painted() -> None:
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (20, 20, 30, 30))
    start = StartPicture(Image.new("RGB", (64, 64)), mask, blur_px=4)

    painted = np.asarray(start.paint_mask(8))

    assert set(np.unique(painted)) == {0, 255}
    assert (painted[np.asarray(start.alpha) > 0] == 255).all()
    assert painted[16:32, 16:32].min() == 255
    assert (painted == 255).sum() == 16 * 16


@pytest.mark.parametrize(
    ("image", "size", "fit", "reason", "part"),
    [
        ((800, 600), (64, 64), ImageFit.CROP, RemarkReason.PICTURE_CROPPED, "21 columns left and right of it"),
        ((800, 600), (64, 64), ImageFit.PAD, RemarkReason.PICTURE_PADDED, "16 rows at top and bottom repeat"),
    ],
)
def test_what_is_cropped_or_added_is_remarked(
    image: tuple[int, int], size: tuple[int, int], fit: ImageFit, reason: RemarkReason, part: str
) -> None:
    remark = fit_remark(image, size, fit)
    assert remark is not None
    assert remark[0] is reason
    assert part in remark[1]


def test_rounding_of_the_size_is_not_remarked() -> None:
    assert fit_remark((1000, 667), (1248, 832), ImageFit.CROP) is None


@pytest.mark.parametrize(("image_px", "inner"), [((1000, 4), (0, 32, 64, 33)), ((4, 1000), (32, 0, 33, 64))])
def test_a_very_long_picture_keeps_at_least_one_row_when_padded(
    image_px: tuple[int, int], inner: tuple[int, int, int, int]
) -> None:
    image = Image.new("RGB", image_px, "red")

    fitted = fit_picture(image, (64, 64), ImageFit.PAD, LANCZOS)

    assert fitted.size == (64, 64)
    assert fitted.crop(inner).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize(("fit", "nothing"), [(ImageFit.CROP, True), (ImageFit.PAD, False)])
def test_a_mask_in_a_cropped_edge_paints_nothing(fit: ImageFit, nothing: bool) -> None:
    mask = Image.new("L", (100, 50))
    mask.paste(255, (0, 0, 10, 50))

    assert StartPicture(striped(), mask, fit).fitted((48, 48)).paints_nothing is nothing
