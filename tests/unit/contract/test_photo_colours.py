"""A photo's colours, as a viewer that knows profiles shows them, in every format."""

import struct
import zlib

import pytest
from PIL import Image, ImageChops, ImageCms
from support import photos as made

from darkroom_contract.photos.reading import check_photo, read_photo

WITHIN = 3
"""Of 255: what is taken for the same colour."""


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize(
    ("name", "profile"),
    [
        ("Display P3", made.rgb_profile("Display P3", made.P3)),
        ("Adobe RGB (1998)", made.rgb_profile("Adobe RGB (1998)", made.ADOBE, 563 / 256)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("kind", made.PICTURE_FORMATS)
def test_a_photo_s_colours_are_those_that_a_viewer_shows(kind: str, name: str, profile: bytes) -> None:
    content = made.encode(made.shot_in(profile), kind, icc_profile=profile)

    picture, shown = read_photo(content, "a"), made.viewed(content)
    difference = ImageChops.difference(picture, shown).getextrema()
    assert max(most for _, most in difference) <= WITHIN
    assert made.colour_error(picture) <= WITHIN + 1  # AVIF's encoder rounds as well.
    assert check_photo(content, "a").converted_from == name


@pytest.mark.parametrize("kind", made.PICTURE_FORMATS)
def test_srgb_profile_causes_no_conversion(kind: str) -> None:
    plain = made.encode(made.scene(), kind)
    content = made.encode(made.scene(), kind, icc_profile=srgb_profile())

    assert read_photo(content, "a").tobytes() == read_photo(plain, "a").tobytes()
    assert check_photo(content, "a").converted_from is None


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
@pytest.mark.parametrize(("transfer", "name"), [(13, "Display P3"), (16, "Display P3 PQ (its brightness")])
def test_colours_named_by_numbers_are_converted(kind: str, transfer: int, name: str) -> None:
    shot = made.shot_in(made.rgb_profile("P3", made.P3))
    content = made.with_nclx(made.encode(shot, kind), 12, transfer)

    assert made.colour_error(read_photo(content, "a")) <= WITHIN + 1  # The encoder rounds as well.
    assert (check_photo(content, "a").converted_from or "").startswith(name)


def test_a_png_s_numbers_come_before_its_profile() -> None:
    profile = made.rgb_profile("Display P3", made.P3)
    plain = made.encode(made.shot_in(profile), "PNG", icc_profile=made.grey_profile(1.0))

    assert made.colour_error(read_photo(made.with_chunk(plain, b"cICP", bytes((12, 13, 0, 1))), "a")) <= WITHIN


GAMMA_1 = struct.pack(">L", 100_000)
GAMMA_2_2 = struct.pack(">L", 45_455)
ADOBE_XY = struct.pack(">8L", 31_270, 32_900, 64_000, 33_000, 21_000, 71_000, 15_000, 6_000)
SRGB_XY = struct.pack(">8L", 31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000)


def test_a_png_s_gamma_is_applied() -> None:
    content = made.with_chunk(made.encode(Image.new("RGB", (64, 64), (60, 120, 180)), "PNG"), b"gAMA", GAMMA_1)

    # Linear light as sRGB encodes it.
    assert read_photo(content, "a.png").getpixel((9, 9)) == pytest.approx((133, 182, 219), abs=1)
    assert check_photo(content, "a.png").converted_from == "PNG with gamma 1"


def test_a_png_s_primaries_are_applied() -> None:
    shot = made.shot_in(made.rgb_profile("Adobe RGB", made.ADOBE))
    content = made.with_chunk(made.encode(shot, "PNG"), b"cHRM", ADOBE_XY)
    content = made.with_chunk(content, b"gAMA", GAMMA_2_2)

    assert made.colour_error(read_photo(content, "a.png")) <= WITHIN
    assert check_photo(content, "a.png").converted_from == "PNG with primaries of its own"


@pytest.mark.parametrize(
    "chunks",
    [
        {b"gAMA": GAMMA_2_2},
        {b"gAMA": GAMMA_2_2, b"cHRM": SRGB_XY},
        {b"gAMA": GAMMA_1, b"cHRM": ADOBE_XY, b"sRGB": b"\0"},
        {b"gAMA": bytes(4)},
        {b"gAMA": b"\0", b"cHRM": b"\0"},
    ],
    ids=["gamma", "primaries", "sRGB", "zero", "short"],
)
def test_png_chunks_equivalent_to_srgb_cause_no_conversion(chunks: dict[bytes, bytes]) -> None:
    content = made.encode(made.scene(), "PNG")
    for kind, body in chunks.items():
        content = made.with_chunk(content, kind, body)

    assert read_photo(content, "a.png").tobytes() == made.scene().tobytes()
    assert not check_photo(content, "a.png").profile_unreadable
    assert check_photo(content, "a.png").converted_from is None


@pytest.mark.parametrize("primaries", [bytes(32), struct.pack(">8L", *[33_000] * 8), b"\xff" * 32])
def test_degenerate_primaries_are_ignored(primaries: bytes) -> None:
    content = made.with_chunk(made.encode(made.scene(), "PNG"), b"cHRM", primaries)

    assert made.colour_error(read_photo(content, "a.png")) <= WITHIN
    assert check_photo(content, "a.png").profile_unreadable


def test_unknown_primaries_are_reported() -> None:
    content = made.with_nclx(made.encode(made.scene(), "AVIF"), 8, 13)

    assert made.colour_error(read_photo(content, "a.avif")) <= WITHIN + 1  # The encoder rounds as well.
    assert check_photo(content, "a.avif").profile_unreadable


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_a_grey_photo_whose_greys_stay_is_not_converted(mode: str) -> None:
    """Display P3 has sRGB's curve: only colours move."""
    content = made.encode(made.scene().convert(mode), "PNG", icc_profile=made.rgb_profile("P3", made.P3))

    assert check_photo(content, "a.png").converted_from is None


def test_adobe_rgb_that_a_camera_only_marks() -> None:
    """DCF 2.0: no profile, but the interoperability index R03."""
    interoperability = struct.pack("<H", 1) + made.entry(1, 2, 4, b"R03\0") + bytes(4)
    first_offset = 8 + 2 + 12 * 2 + 4
    second_offset = first_offset + 2 + 12 + 4
    body = made.exif(made.entry(0x8769, 4, 1, struct.pack("<L", first_offset)), orientation=1)
    body += struct.pack("<H", 1) + made.entry(0xA005, 4, 1, struct.pack("<L", second_offset)) + bytes(4)
    shot = made.shot_in(made.rgb_profile("Adobe RGB", made.ADOBE, 563 / 256))

    picture = read_photo(made.with_segment(made.encode(shot, "JPEG"), 0xE1, body + interoperability), "_DSC0001.JPG")

    assert made.colour_error(picture) <= WITHIN


def test_a_grey_photo_by_its_profile() -> None:
    content = made.encode(Image.new("L", (64, 64), 128), "PNG", icc_profile=made.grey_profile(1.0))

    # Half of the light, as sRGB: 188.
    assert read_photo(content, "a.png").getpixel((9, 9)) == pytest.approx((188, 188, 188), abs=1)


def test_a_grey_photo_with_transparent_parts_by_its_profile() -> None:
    half = Image.new("LA", (64, 64), (128, 255))
    half.paste((0, 0), (0, 0, 32, 64))
    content = made.encode(half, "PNG", icc_profile=made.grey_profile(1.0))

    picture = read_photo(content, "a.png")

    assert picture.getpixel((9, 9)) == (255, 255, 255)
    assert picture.getpixel((60, 9)) == pytest.approx((188, 188, 188), abs=1)


def test_a_cmyk_photo_by_its_profile() -> None:
    ink = Image.new("CMYK", (64, 64), (0, 0, 0, 255))
    plain, profiled = made.encode(ink, "JPEG"), made.encode(ink, "JPEG", icc_profile=made.cmyk_profile())

    assert check_photo(plain, "a.jpg").converted_from == "CMYK without a profile"
    assert check_photo(profiled, "a.jpg").converted_from == "A press"
    assert max(read_photo(profiled, "a.jpg").getpixel((9, 9))) <= WITHIN
    cyan = made.encode(Image.new("CMYK", (64, 64), (255, 0, 0, 0)), "JPEG", icc_profile=made.cmyk_profile())
    # Lab (76, -40, -40) by the profile; (0, 255, 255) without.
    red, green, blue = read_photo(cyan, "a.jpg").getpixel((9, 9))
    assert red < 40
    assert 190 < green < 230
    assert blue > 245


def test_transparent_parts_become_white_in_the_photo_s_own_colours() -> None:
    profile = made.rgb_profile("Display P3", made.P3)
    shot = made.shot_in(profile).convert("RGBA")
    shot.paste((0, 0, 0, 0), (0, 0, 20, 20))
    content = made.encode(shot, "PNG", icc_profile=profile)

    picture = read_photo(content, "a.png")

    assert picture.getpixel((5, 5)) == (255, 255, 255)
    assert made.colour_error(picture) <= WITHIN
    assert check_photo(content, "a.png").transparent


@pytest.mark.parametrize("kind", made.PICTURE_FORMATS)
@pytest.mark.parametrize("profile", [made.rgb_profile("P3", made.P3)[:200], b"x" * 300, made.cmyk_profile()])
def test_a_profile_that_can_t_be_used_costs_nothing_but_itself(kind: str, profile: bytes) -> None:
    content = made.encode(made.scene(), kind, icc_profile=profile)

    assert made.colour_error(read_photo(content, "a")) <= WITHIN
    assert check_photo(content, "a").profile_unreadable


def test_a_profile_in_parts_out_of_order() -> None:
    profile = made.rgb_profile("Display P3", made.P3)
    whole = made.encode(made.shot_in(profile), "JPEG")
    whole = made.with_segment(whole, 0xE2, b"ICC_PROFILE\0\1\2" + profile[:100])
    whole = made.with_segment(whole, 0xE2, b"ICC_PROFILE\0\2\2" + profile[100:])

    assert made.colour_error(read_photo(whole, "a.jpg")) <= WITHIN


def test_a_compressed_profile_without_end_is_not_unpacked() -> None:
    bomb = zlib.compress(bytes(64 * 1024**2))
    content = made.with_chunk(made.encode(made.scene(), "PNG"), b"iCCP", b"p\0\0" + bomb)

    assert check_photo(content, "a.png").profile_unreadable
