"""Validation of photos by content, in a decoder process."""

from collections.abc import Callable
from hashlib import sha256
from io import BytesIO

import pytest
from PIL import Image
from support.photo_check import check_photo
from support.photos import encode, odd_avif, scene, with_exif
from support.photos import exif as exif_of

from darkroom_gateway.errors import InvalidPhotosError

Draw = Callable[..., bytes]


@pytest.mark.parametrize(
    ("format_", "extension", "content_type"),
    [
        ("JPEG", "jpg", "image/jpeg"),
        ("PNG", "png", "image/png"),
        ("WEBP", "webp", "image/webp"),
        ("AVIF", "avif", "image/avif"),
        ("HEIF", "heic", "image/heic"),
    ],
)
def test_extension_is_derived_from_the_content(format_: str, extension: str, content_type: str) -> None:
    body = encode(scene(), format_)

    photo = check_photo(body, name="misleading.gif")

    assert (photo.extension, photo.content_type) == (extension, content_type)
    assert photo.sha256 == sha256(body).digest()


def test_phone_jpeg_with_a_second_picture_is_a_jpeg(picture: Draw) -> None:
    second = Image.open(BytesIO(picture()))
    body = picture(format_="MPO", save_all=True, append_images=[second])

    assert check_photo(body).extension == "jpg"


@pytest.mark.parametrize("share", [0.0, 0.02, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF"])
def test_photo_truncated_anywhere_is_refused_by_name(picture: Draw, format_: str, share: float) -> None:
    body = picture(format_=format_)

    with pytest.raises(InvalidPhotosError, match=r"^holiday\.jpg is .* Replace it with"):
        check_photo(body[: int(len(body) * share)], "holiday.jpg")


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "I;16", "1"])
def test_every_pixel_format_is_accepted(mode: str) -> None:
    buffer = BytesIO()
    Image.new(mode, (70, 70)).save(buffer, "PNG")

    assert check_photo(buffer.getvalue()).extension == "png"


@pytest.mark.parametrize(("width", "height"), [(16_001, 64), (64, 16_001), (63, 200), (200, 63)])
def test_side_out_of_bounds_is_refused(picture: Draw, width: int, height: int) -> None:
    with pytest.raises(InvalidPhotosError, match=f"has {width} × {height} pixels"):
        check_photo(picture(width, height, "PNG"))


@pytest.mark.parametrize(("width", "height"), [(16_000, 64), (64, 64)])
def test_side_at_the_bounds_is_accepted(picture: Draw, width: int, height: int) -> None:
    assert check_photo(picture(width, height, "PNG"))


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_unparsable_exif_is_stored_unchanged(format_: str) -> None:
    body = with_exif(format_, exif_of(b"\x1a\x01\x02\x00\x03\x00\x00\x0072\x00\x00"))

    assert check_photo(body).sha256 == sha256(body).digest()
    assert check_photo(odd_avif()).extension == "avif"
