"""`POST /train` stores captions and masks beside their photos, and refuses those that it can't use."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from PIL import Image
from support.photos import encode, exif, scene, with_exif

from darkroom_contract.names import Kind
from darkroom_contract.storage.keys import parse_uri

Draw = Callable[..., bytes]
Files = list[tuple[str, bytes]]


def send(http: httpx.Client, files: Files, key: str | None = None, **parameters: Any) -> httpx.Response:
    return http.post(
        "/train",
        params={"prompt": "a photo of sks dog", "model_id": "dog", **parameters},
        files=[("files", file) for file in files],
        headers={} if key is None else {"Idempotency-Key": key},
    )


def stored(response: httpx.Response, cluster: Any, bucket: Any, stored_keys: Any) -> dict[str, bytes]:
    """The files of the job's dataset by name."""
    assert response.status_code == 202, response.text
    uri = cluster.get(Kind.TRAIN, response.json()["task_id"])["spec"]["dataset"]["uri"]
    name, prefix = parse_uri(uri)
    keys = stored_keys(prefix)
    return {key.removeprefix(prefix): bucket.get_object(Bucket=name, Key=key)["Body"].read() for key in keys}


def refused(response: httpx.Response, kind: str = "InvalidPhotos") -> dict[str, str]:
    """The messages of a problem by file or parameter."""
    assert response.status_code == 422, response.text
    assert response.json()["type"].endswith(f":{kind}")
    return {each["parameter"]: each["message"] for each in response.json()["errors"]}


@pytest.fixture
def mask() -> bytes:
    """A mask of photos with the shape of `scene`, at half their size."""
    return encode(Image.new("L", (96, 72), "white"), "PNG")


def test_captions_and_masks_are_stored_beside_their_photos(
    http: httpx.Client, cluster: Any, bucket: Any, stored_keys: Any, mask: bytes
) -> None:
    photos = [encode(scene(), "JPEG"), encode(scene(), "PNG")]
    files = [("b.txt", b"a dog in the sea"), ("a.jpg", photos[0]), ("b.mask.png", mask), ("b.png", photos[1])]

    found = stored(send(http, files, masked_loss=True), cluster, bucket, stored_keys)

    assert found == {"000.jpg": photos[0], "001.png": photos[1], "001.txt": b"a dog in the sea", "001.mask.png": mask}


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_photos_of_phones_are_accepted_with_captions(
    http: httpx.Client, cluster: Any, bucket: Any, stored_keys: Any, kind: str
) -> None:
    extension, photo = {"HEIF": "heic", "AVIF": "avif"}[kind], encode(scene(), kind)

    found = stored(
        send(http, [(f"IMG_1.{extension.upper()}", photo), ("IMG_1.txt", b"a dog")]), cluster, bucket, stored_keys
    )

    assert found == {f"000.{extension}": photo, "000.txt": b"a dog"}


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "HEIF"])
def test_mask_may_have_any_format_of_photos(
    http: httpx.Client, cluster: Any, bucket: Any, stored_keys: Any, kind: str
) -> None:
    mask = encode(Image.new("RGB", (128, 96), "white"), kind)

    found = stored(
        send(http, [("a.jpg", encode(scene(), "JPEG")), (f"a.mask.{kind.lower()}", mask)], masked_loss="true"),
        cluster,
        bucket,
        stored_keys,
    )

    assert found["000.mask.png"] == mask


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        (b"\xef\xbb\xbfa dog\r\n", b"a dog"),
        (b"  a dog,\r\nin the sea\r\n\r\n", b"a dog,\nin the sea"),
        ("ein Hündchen 🐕".encode(), "ein Hündchen 🐕".encode()),
        ("ü".encode() * 1000, "ü".encode() * 1000),
        (b"", None),
        (b"\xef\xbb\xbf \r\n\t", None),
    ],
)
def test_caption_is_normalized_and_a_blank_one_ignored(
    http: httpx.Client, cluster: Any, bucket: Any, stored_keys: Any, picture: Draw, caption: bytes, expected: bytes
) -> None:
    found = stored(send(http, [("a.jpg", picture()), ("a.txt", caption)]), cluster, bucket, stored_keys)

    assert found.get("000.txt") == expected


@pytest.mark.parametrize(
    ("photo", "caption"),
    [
        ("Dog 1.JPG", "dog 1.TXT"),
        ("photos/dog.jpg", "captions/dog.txt"),
        ("C:\\photos\\dog.jpg", "dog.txt"),
        ("dog.final.jpg", "dog.final.txt"),
        ("hu\u0308ndchen.jpg", "h\u00fcndchen.txt"),
        (f"{'x' * 100}1.jpg", f"{'x' * 100}1.txt"),
    ],
)
def test_caption_is_paired_by_its_stem(
    http: httpx.Client, cluster: Any, bucket: Any, stored_keys: Any, picture: Draw, photo: str, caption: str
) -> None:
    other = "x" * 100 + "2.jpg"
    files = [(other, picture()), (photo, picture()), (caption, b"a dog")]

    found = stored(send(http, files), cluster, bucket, stored_keys)

    assert [name for name in found if name.endswith(".txt")] == ["001.txt"]


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        (b"a d\xf6g", "not UTF-8 text: byte 4"),
        ("a dog".encode("utf-16"), "not UTF-8 text"),
        ("a dog".encode("utf-16-le"), "not UTF-8 text: it contains NUL"),
        (b"a" * 1001, "at most 1,000 characters"),
        (b"a" * 9000, "at most 1,000 characters"),
    ],
)
def test_unusable_caption_is_refused_by_name(http: httpx.Client, picture: Draw, caption: bytes, words: str) -> None:
    errors = refused(send(http, [("a.jpg", picture()), ("b.jpg", picture()), ("b.txt", caption)]))

    assert errors.keys() == {"b.txt"}
    assert words in errors["b.txt"]


def test_form_of_masks_alone_says_what_they_are(http: httpx.Client, mask: bytes) -> None:
    """A photo may have such a name by chance."""
    assert "mask of no photo" in refused(send(http, [("a.mask.png", mask)]))["a.mask.png"]


def test_files_without_a_photo_are_refused_by_name(http: httpx.Client, picture: Draw, mask: bytes) -> None:
    errors = refused(
        send(http, [("a.jpg", picture()), ("b.txt", b"a cat"), ("README.txt", b""), ("a.png.mask.png", mask)])
    )

    assert errors.keys() == {"b.txt", "README.txt", "a.png.mask.png"}
    assert "caption of no photo" in errors["b.txt"]
    assert "mask of no photo" in errors["a.png.mask.png"]


def test_captions_alone_are_no_upload(http: httpx.Client) -> None:
    assert "Add photos" in refused(send(http, [("a.txt", b"a dog")]))["files"]


def test_caption_of_two_photos_is_ambiguous(http: httpx.Client, picture: Draw) -> None:
    photos = [("x/IMG_1.jpg", picture()), ("y/img_1.png", picture(format_="PNG"))]
    assert send(http, photos).status_code == 202

    errors = refused(send(http, [*photos, ("IMG_1.txt", b"a dog")]))

    assert errors == {
        "IMG_1.txt": "IMG_1.txt may be the caption of IMG_1.jpg and img_1.png. Give these photos different names."
    }


def test_second_caption_of_a_photo_is_refused(http: httpx.Client, picture: Draw) -> None:
    errors = refused(send(http, [("a.jpg", picture()), ("a.txt", b"a dog"), ("b/A.txt", b"a cat")]))

    assert errors == {"A.txt": "A.txt is a second caption of a.jpg. Send one."}


@pytest.mark.parametrize(("width", "height"), [(96, 128), (128, 93), (200, 100)])
def test_mask_of_another_shape_is_refused(http: httpx.Client, width: int, height: int) -> None:
    mask = encode(Image.new("L", (width, height), "white"), "PNG")

    errors = refused(send(http, [("a.jpg", encode(scene(), "JPEG")), ("a.mask.png", mask)], masked_loss=True))

    assert errors.keys() == {"a.mask.png"}
    assert f"a.mask.png has {width} × {height} pixels, and a.jpg has 128 × 96" in errors["a.mask.png"]


@pytest.mark.parametrize(
    "picture",
    [Image.new("L", (128, 96)), Image.new("RGB", (128, 96)), Image.new("RGBA", (128, 96), (255, 255, 255, 0))],
)
def test_mask_that_selects_nothing_is_refused(http: httpx.Client, picture: Image.Image) -> None:
    """The run would refuse it, too."""
    files = [("a.jpg", encode(scene(), "JPEG")), ("a.mask.png", encode(picture, "PNG"))]

    errors = refused(send(http, files, masked_loss=True))

    assert "a.mask.png is black everywhere" in errors["a.mask.png"]


def test_mask_of_a_rotated_photo_is_upright(http: httpx.Client) -> None:
    """The orientation tag of a photo from a phone says that it is taller than wide."""
    photo, mask = with_exif("JPEG", exif()), encode(Image.new("L", (96, 128), "white"), "PNG")

    assert send(http, [("a.jpg", photo), ("a.mask.png", mask)], masked_loss=True).status_code == 202


def test_unusable_mask_is_refused_with_the_unusable_photos(http: httpx.Client, picture: Draw) -> None:
    files = [("a.jpg", picture()), ("b.jpg", b"text"), ("a.mask.png", encode(scene(), "PNG")[:-200])]

    errors = refused(send(http, files, masked_loss=True))

    assert errors.keys() == {"b.jpg", "a.mask.png"}


def test_mask_without_masked_loss_is_refused(http: httpx.Client, mask: bytes) -> None:
    files = [("a.jpg", encode(scene(), "JPEG")), ("a.mask.png", mask)]

    errors = refused(send(http, files), kind="InvalidRequest")

    assert "masked_loss=true" in errors["masked_loss"]


def test_captions_and_masks_do_not_count_as_photos(http: httpx.Client, picture: Draw) -> None:
    files = [("a.jpg", picture()), ("b.jpg", picture()), ("a.txt", b"a"), ("b.txt", b"b")]

    errors = refused(send(http, files, held_out_photos=2), kind="InvalidRequest")

    assert errors == {"held_out_photos": "Lower it to 1, or add photos: of 2 photos none is left to train on."}
    assert send(http, files, held_out_photos=1).status_code == 202


def test_repeated_key_with_other_captions_or_masks_is_refused(
    http: httpx.Client, cluster: Any, mask: bytes, job_name: str
) -> None:
    photo, other_mask = encode(scene(), "JPEG"), encode(Image.new("L", (96, 72), "grey"), "PNG")
    files = [("a.jpg", photo), ("a.txt", b"a dog"), ("a.mask.png", mask)]
    first = send(http, files, job_name, masked_loss=True)
    assert first.status_code == 202, first.text
    jobs = cluster.count(Kind.TRAIN)

    renamed = [("b.jpg", photo), ("b.mask.png", mask), ("b.txt", b"\xef\xbb\xbfa dog\r\n")]
    assert send(http, renamed, job_name, masked_loss=True).json() == first.json()

    for changed in (
        files[:1],
        files[:2],
        [*files[:2], ("a.mask.png", other_mask)],
        [files[0], ("a.txt", b"a cat"), files[2]],
    ):
        assert "other photos" in send(http, changed, job_name, masked_loss=True).json()["detail"]
    assert cluster.count(Kind.TRAIN) == jobs
