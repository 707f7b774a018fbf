"""What the gateway accepts the runner can read, and what one of them refuses the other refuses, in the same words."""

from pathlib import Path

import pytest
from support.photo_cases import bad_photos, good_photos
from support.photo_check import check_photo as gateway_check

from darkroom_gateway.errors import InvalidPhotosError
from darkroom_runner.errors import DatasetInvalidError
from darkroom_runner.training.dataset import check_photo as runner_check

PHOTOS = good_photos() | {name: content for name, (content, _) in bad_photos().items()}


def gateway_says(content: bytes) -> str:
    try:
        return gateway_check(content, "IMG_0001.jpg").extension
    except InvalidPhotosError as refusal:
        [field_error] = refusal.field_errors
        return field_error.message


def runner_says(content: bytes, path: Path) -> str:
    path.write_bytes(content)
    try:
        photo = runner_check(path, "IMG_0001.jpg")
        for least_px in (None, 128):
            assert photo.read(least_px).mode == "RGB"
        assert photo.read().size == photo.properties.size_px
    except DatasetInvalidError as refusal:
        return str(refusal)
    return photo.properties.extension


@pytest.mark.parametrize("what", PHOTOS)
def test_gateway_and_runner_agree_on_a_photo(what: str, tmp_path: Path) -> None:
    results = {gateway_says(PHOTOS[what]), runner_says(PHOTOS[what], tmp_path / "photo")}

    assert len(results) == 1
    assert (results <= {"jpg", "png", "webp", "avif", "heic"}) == (what in good_photos())
