"""mp4 files: h264 that every browser plays, with correct BT.709 colours."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

from darkroom_runner.sampling.bt709 import yuv420
from darkroom_runner.sampling.mp4 import write_mp4


def test_a_clip_is_h264_in_an_mp4_with_the_index_first(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    frames = [Image.new("RGB", (64, 48), (40 * number, 0, 0)) for number in range(5)]

    write_mp4(frames, path, fps=7, comment=json.dumps({"prompt": "ein Hündchen"}, ensure_ascii=False))

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.average_rate) == (64, 48, 7)
        assert json.loads(container.metadata["comment"]) == {"prompt": "ein Hündchen"}
        reds = [frame.to_image().getpixel((32, 24))[0] for frame in container.decode(video=0)]
    assert reds == pytest.approx([0, 40, 80, 120, 160], abs=8)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


# --- colours -----------------------------------------------------------------------------------------------------

SIZES = [(128, 128), (768, 768), (576, 1024), (1024, 576)]
COLOURS = [(220, 30, 30), (30, 180, 60), (200, 150, 120), (40, 60, 200)]


def chart(width: int, height: int) -> Image.Image:
    """Four solid colours: red, green, skin, blue."""
    image = Image.new("RGB", (width, height))
    for number, colour in enumerate(COLOURS):
        left, top = number % 2 * width // 2, number // 2 * height // 2
        image.paste(colour, (left, top, left + width // 2, top + height // 2))
    return image


def centres(image: Image.Image) -> list[tuple[int, ...]]:
    width, height = image.size
    points = [(width // 4 + number % 2 * width // 2, height // 4 + number // 2 * height // 2) for number in range(4)]
    return [tuple(image.getpixel(point)) for point in points]  # type: ignore[arg-type]


def difference(one: list[tuple[int, ...]], other: list[tuple[int, ...]]) -> int:
    return max(abs(a - b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_colours_are_tagged_bt709_and_correct_at_every_size(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "clip.mp4"
    write_mp4([chart(*size)] * 3, path, fps=7, comment="{}")

    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range) == (1, 1, 1, 1)
        frame = next(container.decode(video=0))
        # A player that honours the tags, and one that assumes BT.709.
        honoured = frame.to_image()
        assumed = frame.reformat(format="rgb24", src_colorspace=Colorspace.ITU709, src_color_range=ColorRange.MPEG)
        assert difference(centres(honoured), COLOURS) <= 4
        assert difference(centres(assumed.to_image()), COLOURS) <= 4
    content = path.read_bytes()
    # ISO 14496-12, 12.1.5: primaries, transfer and matrix as 16-bit numbers, then the full-range flag.
    assert content[content.index(b"colrnclx") :][:15] == b"colrnclx" + bytes([0, 1, 0, 1, 0, 1, 0])


def test_the_h264_stream_is_tagged_bt709(tmp_path: Path) -> None:
    """Checks the stream's video usability information in a container without a colour atom."""
    path = tmp_path / "clip.mp4"
    write_mp4([chart(128, 128)] * 3, path, fps=7, comment="{}")
    raw = tmp_path / "clip.h264"
    with av.open(str(path)) as source, av.open(str(raw), "w", format="h264") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)

    with av.open(str(raw), format="h264") as container:
        frame = next(container.decode(video=0))
    assert (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range) == (1, 1, 1, 1)


def test_every_colour_is_within_two_of_exact_bt709() -> None:
    """4,096 colours, converted back without a decoder's rounding."""
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(64, 64, 3)
    pixels = colours.repeat(8, axis=0).repeat(8, axis=1)

    planes = yuv420(Image.fromarray(pixels)).astype(np.float64)

    luma = (planes[:512][4::8, 4::8] - 16) / 219
    blue, red = ((each.reshape(256, 256)[2::4, 2::4] - 128) / 224 for each in (planes[512:640], planes[640:]))
    r, b = luma + 1.5748 * red, luma + 1.8556 * blue
    g = (luma - 0.2126 * r - 0.0722 * b) / 0.7152
    assert np.abs(np.stack([r, g, b], axis=-1) * 255 - colours).max() < 2
