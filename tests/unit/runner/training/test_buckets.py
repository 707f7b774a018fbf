"""Aspect-ratio buckets: their sizes, and how photos are scaled and cropped into them."""

import pytest

from darkroom_contract.specs.training_choices import Cropping
from darkroom_runner.training.buckets import Size, bucket_frame, bucket_sizes, framing, square_frame

SDXL_UNIT_PX = 32
"""A VAE factor of 8, and two halvings in the U-Net."""

PUBLISHED = {
    *((512, 2048), (512, 1984), (512, 1920), (512, 1856), (576, 1792), (576, 1728), (576, 1664), (640, 1600)),
    *((640, 1536), (704, 1472), (704, 1408), (704, 1344), (768, 1344), (768, 1280), (832, 1216), (832, 1152)),
    *((896, 1152), (896, 1088), (960, 1088), (960, 1024), (1024, 1024)),
}
"""Portrait buckets and the square of SDXL's training (arXiv 2307.01952, appendix I)."""


def test_buckets_at_1024_are_buckets_of_sdxl_s_training() -> None:
    found = set(bucket_sizes(1024, SDXL_UNIT_PX))

    assert {(min(size), max(size)) for size in found} <= PUBLISHED
    assert {(height, width) for width, height in found} == found
    assert len(found) == 33


@pytest.mark.parametrize(("side_px", "unit_px"), [(1024, 32), (768, 32), (512, 32), (256, 32), (64, 32), (1000, 32)])
def test_no_bucket_has_a_larger_area_than_the_square(side_px: int, unit_px: int) -> None:
    sizes = bucket_sizes(side_px, unit_px)

    assert (side_px, side_px) in sizes
    for width, height in set(sizes) - {(side_px, side_px)}:
        assert width % unit_px == height % unit_px == 0
        assert width * height <= side_px * side_px
        assert 1 / 4 <= width / height <= 4


@pytest.mark.parametrize("size_px", [(1024, 1024), (1100, 1000), (1000, 1100), (300, 310)])
def test_nearly_square_photos_are_cropped_as_with_square_crops(size_px: Size) -> None:
    assert framing(Cropping.BUCKETS, 1024, SDXL_UNIT_PX).frame(size_px) == square_frame(size_px, 1024)


@pytest.mark.parametrize(
    ("size_px", "bucket"),
    [
        ((3000, 2000), (1216, 832)),
        ((2000, 3000), (832, 1216)),
        ((4032, 3024), (1152, 896)),
        ((1920, 1080), (1344, 768)),
        ((1080, 2400), (704, 1472)),
        ((9000, 1000), (2048, 512)),
    ],
)
def test_a_photo_goes_to_the_bucket_of_the_nearest_aspect_ratio(size_px: Size, bucket: Size) -> None:
    frame = framing(Cropping.BUCKETS, 1024, SDXL_UNIT_PX).frame(size_px)

    assert frame.size_px == bucket
    assert len(frame.corners) == 1


@pytest.mark.parametrize("size_px", [(3000, 2000), (640, 481), (500, 1999), (70, 68), (64, 16_000)])
@pytest.mark.parametrize("bucket", [(1216, 832), (832, 1216), (1024, 1024)])
def test_a_photo_just_covers_its_bucket_and_is_cropped_at_its_centre(size_px: Size, bucket: Size) -> None:
    frame = bucket_frame(size_px, bucket)

    (width, height), [(top, left)] = frame.scaled_px, frame.corners
    assert (width == bucket[0] and height >= bucket[1]) or (height == bucket[1] and width >= bucket[0])
    assert abs((width - bucket[0]) - 2 * left) <= 1
    assert abs((height - bucket[1]) - 2 * top) <= 1
    assert frame.enlargement == max(bucket[0] / size_px[0], bucket[1] / size_px[1])


def test_buckets_enlarge_a_photo_less_than_square_crops() -> None:
    """A square needs the shorter side to be as long as the square's."""
    size_px = (900, 600)

    assert framing(Cropping.BUCKETS, 1024, SDXL_UNIT_PX).frame(size_px).enlargement < 1.4
    assert framing(Cropping.SQUARE, 1024, SDXL_UNIT_PX).frame(size_px).enlargement > 1.7


def test_buckets_show_more_of_a_photo_than_a_square_crop() -> None:
    size_px = (3000, 2000)

    assert framing(Cropping.BUCKETS, 1024, SDXL_UNIT_PX).frame(size_px).kept > 0.95
    assert square_frame(size_px, 1024).kept == pytest.approx(2 / 3, abs=0.01)
