"""Limits of decoder processes: memory and time, and how exceeding them is reported."""

import pytest
from PIL import Image
from support import processes
from support.decoder_pools import AMPLE, FAST, MIB, SHORT, SMALL, StartDecoders, check, decoder_processes
from support.photo_check import upload
from support.photos import encode, scene

from darkroom_contract.photos.decoder import DecodingLimits, PhotoDecoder
from darkroom_contract.photos.errors import PhotoError, PhotoLimitError


async def test_photo_beyond_the_memory_limit_is_refused_and_the_next_one_is_decoded(
    start: StartDecoders, of_18_megapixels: bytes, small: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    decoders = start(1, SMALL)

    with pytest.raises(PhotoLimitError, match=r"^wide\.png takes more memory to decode than the 64 MiB .* as a JPEG"):
        await check(decoders, of_18_megapixels, "wide.png")

    assert "wide.png" in caplog.text
    assert (await check(decoders, small)).extension == "jpg"


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF"])
async def test_memory_limit_is_not_reported_as_damage(start: StartDecoders, format_: str) -> None:
    """Codecs report "broken data stream" or "decoding of color planes failed" when an allocation fails."""
    content = encode(Image.new("RGB", (3000, 2400), "olive"), format_, **FAST.get(format_, {}))

    with pytest.raises(PhotoLimitError, match="takes more memory to decode than the 32 MiB"):
        await check(start(1, DecodingLimits(32 * MIB, 60)), content)


async def test_damage_is_not_reported_as_memory_limit(start: StartDecoders, small: bytes) -> None:
    with pytest.raises(
        PhotoError, match=r"^a\.jpg is damaged or cut short .* Replace it with an intact copy"
    ) as refusal:
        await check(start(1), small[: len(small) // 2])

    assert not isinstance(refusal.value, PhotoLimitError)


async def test_photo_beyond_the_time_limit_is_refused_and_its_process_is_killed(
    start: StartDecoders, of_18_megapixels: bytes
) -> None:
    decoders = start(1, SHORT)

    with pytest.raises(PhotoLimitError, match=r"takes longer to decode than the 0\.001 s .* as a JPEG"):
        await check(decoders, of_18_megapixels)

    assert decoder_processes() == []


def test_cpu_time_is_limited_even_if_the_parent_hangs() -> None:
    decoder = PhotoDecoder(DecodingLimits(1024 * MIB, 60))
    try:
        with upload(encode(scene(), "JPEG")) as each:
            decoder.check(each.file.fileno(), "a.jpg")
        cpu_seconds = int(processes.limits(decoder.pid)["Max cpu time"])
        assert decoder.limits.cpu_seconds <= cpu_seconds <= decoder.limits.cpu_seconds + 5
    finally:
        decoder.kill()


async def test_kernel_enforces_the_limits(start: StartDecoders, small: bytes) -> None:
    await check(start(1), small)

    [pid] = decoder_processes()
    found = processes.limits(pid)
    assert found["Max data size"] == str(AMPLE.memory_bytes)
    assert found["Max core file size"] == found["Max file size"] == "0"
    assert int(found["Max open files"]) <= 64
