"""Image files of every format: the same metadata, sRGB, quality, grids, and clear errors."""

import errno
import io
import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from darkroom_contract.base_models import UsedModel
from darkroom_contract.specs.generate_job import MAX_PROMPT_CHARACTERS, GenerateJobSpec
from darkroom_contract.specs.images import ImageFormat, Images
from darkroom_runner.errors import DiskFullError, InternalError
from darkroom_runner.sampling.web_ui_samplers import WebUiSampler
from darkroom_runner.tasks.image_files import MAX_GRID_SIDE_PX, draw_grid, save_grid, save_image
from darkroom_runner.tasks.output_metadata import grid_metadata, image_metadata

EULER = WebUiSampler("Euler a", "Karras")
FORMATS = list(ImageFormat)
LOSSY = [each for each in ImageFormat if each is not ImageFormat.PNG]
LONGEST = MAX_PROMPT_CHARACTERS
MAGIC = {"PNG": b"\x89PNG\r\n", "JPEG": b"\xff\xd8\xff", "WebP": b"RIFF", "AVIF": b"\0\0\0"}
DC, XMP = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}", "{https://darkroom.dev/xmp/1.0/}"


def picture(side_px: int = 64) -> Image.Image:
    """Smooth, with a sharp red edge on grey."""
    ramp = np.linspace(60, 190, side_px, dtype=np.uint8)
    pixels = np.stack([np.tile(ramp, (side_px, 1))] * 3, axis=-1)
    pixels[side_px // 4 : side_px // 2, side_px // 4 + 1 : side_px // 2 + 1] = (220, 20, 20)
    return Image.fromarray(pixels)


def metadata_of(prompt: str = "ein Hündchen – 小狗", **images: Any) -> dict[str, Any]:
    spec = GenerateJobSpec.from_dict({"prompt": prompt, "negativePrompt": "blurry", "images": images})
    return image_metadata(spec, UsedModel(reference="owner/base", commit=None), [], 7, (64, 64))


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def save(kind: ImageFormat, quality: int = 90, **options: Any) -> Path:
        path = tmp_path / f"image{kind.suffix}"
        metadata = options.get("metadata") or metadata_of(format=kind.value, quality=quality)
        save_image(options.get("image") or picture(), path, metadata, Images(format=kind, quality=quality), EULER)
        return path

    return save


def parameters_of(path: Path) -> str:
    """As the web UIs read it: the PNG's text chunk, or EXIF's UserComment."""
    with Image.open(path) as image:
        if image.format == "PNG":
            return str(image.info["parameters"])
        comment = image.getexif().get_ifd(0x8769)[0x9286]
    assert comment.startswith(b"UNICODE\0")
    return str(comment[8:].decode("utf-16-be"))


def xmp_of(path: Path) -> dict[str, str]:
    with Image.open(path) as image:
        packet = image.info["xmp"]
    content = packet.encode() if isinstance(packet, str) else packet
    description = ET.fromstring(content.strip(b"\0"))[0][0]
    return {child.tag: child.text or "" for child in description}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_has_the_same_metadata(save: Callable[..., Path], kind: ImageFormat) -> None:
    path = save(kind, metadata=metadata_of())

    assert path.read_bytes().startswith(MAGIC[kind.value])
    text = parameters_of(path)
    assert text.startswith("ein Hündchen – 小狗\nNegative prompt: blurry\nSteps: 30, Sampler: Euler a, Schedule type: ")
    properties = xmp_of(path)
    source = properties[f"{DC}DigitalSourceType"]
    assert source == "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    assert properties[f"{DC}AIPromptInformation"] == "ein Hündchen – 小狗"
    assert json.loads(properties[f"{XMP}metadata"]) == metadata_of()


@pytest.mark.parametrize("kind", FORMATS)
def test_equal_images_give_equal_files(save: Callable[..., Path], kind: ImageFormat) -> None:
    first = save(kind).read_bytes()

    assert save(kind).read_bytes() == first


@pytest.mark.parametrize("kind", FORMATS)
def test_colours_are_kept(save: Callable[..., Path], kind: ImageFormat) -> None:
    with Image.open(save(kind)) as image:
        decoded = np.asarray(image.convert("RGB"), dtype=int)

    error = np.abs(decoded - np.asarray(picture(), dtype=int))
    assert error.max() == 0 if kind is ImageFormat.PNG else error.mean() < 3


@pytest.mark.parametrize("kind", LOSSY)
def test_higher_quality_is_larger_and_nearer_to_the_image(save: Callable[..., Path], kind: ImageFormat) -> None:
    sizes, errors = [], []
    for quality in (10, 60, 95):
        path = save(kind, quality, image=picture(128))
        with Image.open(path) as image:
            errors.append(np.abs(np.asarray(image.convert("RGB"), dtype=int) - np.asarray(picture(128))).mean())
        sizes.append(path.stat().st_size)

    assert sizes == sorted(set(sizes))
    assert errors == sorted(set(errors), reverse=True)


@pytest.mark.parametrize("kind", LOSSY)
@pytest.mark.parametrize("quality", [1, 100])
def test_the_bounds_of_quality_give_readable_files(save: Callable[..., Path], kind: ImageFormat, quality: int) -> None:
    with Image.open(save(kind, quality)) as image:
        image.load()
        assert image.size == (64, 64)


def test_quality_has_no_effect_on_png(save: Callable[..., Path]) -> None:
    metadata = metadata_of()

    assert save(ImageFormat.PNG, 1, metadata=metadata).read_bytes() == (
        save(ImageFormat.PNG, 100, metadata=metadata).read_bytes()
    )


def test_jpeg_keeps_the_colours_of_all_pixels_from_quality_90(save: Callable[..., Path]) -> None:
    def sampling(quality: int) -> int:
        with Image.open(save(ImageFormat.JPEG, quality)) as image:
            assert hasattr(image, "layer")
            return int(image.layer[0][1])

    assert (sampling(89), sampling(90)) == (2, 1)


def test_png_has_plain_text_and_srgb_chunks(save: Callable[..., Path]) -> None:
    """Latin-1 text is in tEXt, which every reader knows."""
    content = save(ImageFormat.PNG, metadata=metadata_of("a dog")).read_bytes()

    assert b"tEXtparameters\0a dog\nNegative prompt: blurry\nSteps: 30" in content
    assert b"sRGB\0" in content
    assert content.index(b"sRGB\0") < content.index(b"IDAT")


def test_png_writes_text_beyond_latin_1_as_itxt(save: Callable[..., Path]) -> None:
    assert b"iTXtparameters\0" in save(ImageFormat.PNG).read_bytes()


@pytest.mark.parametrize("kind", LOSSY)
def test_exif_says_srgb_and_darkroom(save: Callable[..., Path], kind: ImageFormat) -> None:
    with Image.open(save(kind)) as image:
        exif = image.getexif()
        assert exif.get_ifd(0x8769)[0xA001] == 1
        assert exif[0x0131].startswith("Darkroom")
        raw = image.info["exif"]
    # UserComment has the type UNDEFINED (7): piexif, and with it A1111, refuses others.
    assert b"\x92\x86\0\x07" in raw


@pytest.mark.parametrize("character", ["&", "\U0001f436", "<", '"', "\x01"])
@pytest.mark.parametrize("kind", FORMATS)
def test_the_longest_prompts_fit_every_format(save: Callable[..., Path], kind: ImageFormat, character: str) -> None:
    """A JPEG segment holds 64 KiB."""
    spec = GenerateJobSpec.from_dict(
        {"prompt": "x" + character * (LONGEST - 1), "negativePrompt": character * LONGEST, "loras": [
            {"uri": f"s3://bucket/loras/default/{number}{'x' * 440}.safetensors"} for number in range(5)
        ]}
    )  # fmt: skip
    used = UsedModel(reference="o" * 300, commit="c" * 40)
    metadata = image_metadata(spec, used, ["a" * 64] * 5, 7, (64, 64), ["b" * 64] * 5)

    path = save(kind, metadata=metadata)

    assert json.loads(xmp_of(path)[f"{XMP}metadata"]) == metadata
    assert "Seed: 7" in parameters_of(path)


@pytest.mark.parametrize(
    ("count", "shape"), [(2, (2, 1)), (3, (2, 2)), (4, (2, 2)), (5, (3, 2)), (7, (3, 3)), (8, (3, 3))]
)
def test_a_grid_is_nearly_square_and_in_order(count: int, shape: tuple[int, int]) -> None:
    images = [Image.new("RGB", (16, 8), (10 * number + 10, 0, 0)) for number in range(count)]

    grid = draw_grid(images)

    assert grid.size == (16 * shape[0], 8 * shape[1])
    cells = [grid.getpixel((16 * (n % shape[0]) + 3, 8 * (n // shape[0]) + 3)) for n in range(count)]
    assert cells == [(10 * number + 10, 0, 0) for number in range(count)]


def test_a_large_grid_is_reduced() -> None:
    grid = draw_grid([Image.new("RGB", (3000, 1500))] * 4)

    assert grid.size == (MAX_GRID_SIDE_PX, MAX_GRID_SIDE_PX // 2)


def test_a_grid_lists_its_seeds(tmp_path: Path) -> None:
    path, metadata = tmp_path / "grid.png", grid_metadata([metadata_of(), metadata_of() | {"seed": 8}])

    save_grid([picture(), picture()], path, metadata, Images(), EULER)

    with Image.open(path) as image:
        assert image.size == (128, 64)
        assert json.loads(image.info["darkroom"])["gridSeeds"] == [7, 8]
    assert "Seed: 7, Size: 64x64" in parameters_of(path)


def test_a_full_disk_leaves_no_file(save: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(path: Path, content: bytes) -> int:
        path.open("wb").close()
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", fill)

    with pytest.raises(DiskFullError, match=r"image\.webp can't be saved.*larger scratch volume"):
        save(ImageFormat.WEBP)

    assert not list(tmp_path.iterdir())


def test_an_encoder_error_names_the_file_and_the_format(save: Callable[..., Path], tmp_path: Path) -> None:
    """WebP holds at most 16,383 pixels a side."""
    with pytest.raises(InternalError, match=r"image\.webp \(16384x1\) can't be encoded as WebP: .*images\.format PNG"):
        save(ImageFormat.WEBP, image=Image.new("RGB", (16384, 1)))

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bound", [{"quality": 0}, {"quality": 101}, {"format": "GIF"}])
def test_formats_and_quality_have_bounds(bound: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Images.from_dict(bound)


def test_avif_declares_its_colours(save: Callable[..., Path]) -> None:
    """Primaries of BT.709 and the transfer function of sRGB (ITU-T H.273: 1 and 13)."""
    content = save(ImageFormat.AVIF).read_bytes()

    assert content[content.index(b"colrnclx") :][8:12] == bytes([0, 1, 0, 13])
    assert Image.open(io.BytesIO(content)).mode == "RGB"
