"""Masks that are black or transparent everywhere are recognized in every pixel format."""

import pytest
from PIL import Image
from support.photos import encode, scene

from darkroom_contract.photos.reading import check_photo, read_mask


@pytest.mark.parametrize(
    ("picture", "black"),
    [
        (Image.new("L", (128, 600)), True),
        (Image.new("RGB", (128, 96)), True),
        (Image.new("1", (128, 96)), True),
        (Image.new("LA", (128, 96), (255, 0)), True),
        (Image.new("RGBA", (128, 96), (0, 0, 0, 255)), True),
        (Image.new("RGBA", (128, 96), (1, 1, 1, 255)), False),
        (Image.new("I;16", (128, 96), 65_535), False),
        (scene(), False),
    ],
)
def test_picture_that_selects_nothing_as_a_mask_is_black(picture: Image.Image, black: bool) -> None:
    content = encode(picture)

    assert check_photo(content, "a").black is black
    assert (read_mask(content, "a").getbbox() is None) is black


def test_last_row_of_a_tall_mask_counts() -> None:
    picture = Image.new("L", (64, 700))
    picture.putpixel((63, 699), 255)

    assert not check_photo(encode(picture), "a").black
