"""A photo's colours as sRGB, whatever space its file describes them in. Called by `reading`.

Diffusion models were trained on sRGB. Pillow's `convert("RGB")` drops a profile, and a green of Display P3 comes out 51
of 255 away from what its photographer saw.
"""

import io
import struct
from dataclasses import dataclass

from PIL import Image, ImageCms

_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION
"""Relative colorimetric with black point compensation is what viewers and Photoshop do by default."""

_SAME_WITHIN = 2
"""Out of 255: a profile that changes no colour by more is sRGB under another name, and its photo is not converted."""

_MODES = {"RGB": {"RGB", "RGBA", "L", "LA"}, "GRAY": {"L", "LA"}, "CMYK": {"CMYK"}}
"""By the colour space of a profile, the pictures that it can describe."""

Triple = tuple[float, float, float]
Colorants = tuple[Triple, Triple, Triple]
"""Red, green and blue as XYZ, adapted to D50 as ICC wants them (Bradford)."""

_P3: Colorants = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
_BT2020: Colorants = ((0.67348, 0.27904, -0.00194), (0.16566, 0.67534, 0.02998), (0.12505, 0.04561, 0.79686))
_SRGB: Colorants = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
_ADOBE: Colorants = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
_ADOBE_GAMMA = 563 / 256

_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
_SRGB_GAMMAS = (2.1, 2.3)
"""PNG writes sRGB's curve as 1 / 2.2, roughly."""

_PRIMARIES = {
    1: ("BT.709", _SRGB),
    2: ("BT.709", _SRGB),  # Unspecified: sRGB, by convention.
    9: ("BT.2020", _BT2020),
    12: ("Display P3", _P3),
}
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
"""ITU-T H.273, tables 2 and 3. Every other transfer is near enough to sRGB's curve to be shown by it."""


@dataclass(frozen=True)
class ColourSpace:
    """What a photo's numbers mean."""

    name: str | None = None
    """What its photo is converted from; None when its numbers are sRGB already."""
    transform: ImageCms.ImageCmsTransform | None = None
    input_mode: str = ""
    """What the transform takes: RGB, RGBA, L or CMYK."""
    unreadable: bool = False
    """The colour profile can't be used."""


def colour_space(
    mode: str,
    profile: bytes | None,
    primaries_transfer: tuple[int, int] | None,
    is_adobe_rgb: bool,
    gamma: float | None = None,
    chromaticities: tuple[float, ...] | None = None,
) -> ColourSpace:
    """The colour space of a picture of mode L, LA, RGB, RGBA or CMYK. Raises nothing.

    `gamma` and `chromaticities` (x and y of white, red, green, blue) count where nothing else is known.
    """
    if profile is not None:
        return _described(profile, mode)
    if is_adobe_rgb and mode != "CMYK":
        return _described(_matrix_profile("Adobe RGB (1998)", _ADOBE, _ADOBE_GAMMA), mode)
    if primaries_transfer is not None and mode != "CMYK":
        return _coded(*primaries_transfer, mode)
    if mode != "CMYK" and (gamma is not None or chromaticities is not None):
        return _measured(gamma, chromaticities, mode)
    return ColourSpace("CMYK without a profile") if mode == "CMYK" else ColourSpace()


def to_srgb(picture: Image.Image, space: ColourSpace) -> Image.Image:
    """A picture of mode L, LA, RGB, RGBA or CMYK as RGB, or as RGBA where it has an alpha channel, which stays."""
    has_alpha = picture.mode in ("LA", "RGBA")
    if space.transform is None:
        return picture.convert("RGBA" if has_alpha else "RGB")
    if space.input_mode == "L":
        opaque = _applied(space.transform, picture.getchannel("L"))
        if has_alpha:
            opaque.putalpha(picture.getchannel("A"))
        return opaque
    return _applied(space.transform, picture if picture.mode == space.input_mode else picture.convert(space.input_mode))


def _applied(transform: ImageCms.ImageCmsTransform, picture: Image.Image) -> Image.Image:
    """In place where it can be: the pixels of a photo of 100 megapixels alone take 400 MB."""
    if transform.input_mode == transform.output_mode and not picture.readonly:
        return transform.apply_in_place(picture)
    return transform.apply(picture)


def _described(profile: bytes, mode: str) -> ColourSpace:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if mode not in _MODES.get(space, ()):
            return ColourSpace(unreadable=True)
        input_mode = {"GRAY": "L", "CMYK": "CMYK"}.get(space) or ("RGBA" if mode.endswith("A") else "RGB")
        transform = _transform(source, input_mode)
        if _changes_nothing(transform, mode):
            return ColourSpace()
        return ColourSpace(_name(source), transform, input_mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return ColourSpace(unreadable=True)


def _transform(source: ImageCms.ImageCmsProfile, input_mode: str) -> ImageCms.ImageCmsTransform:
    output_mode = "RGBA" if input_mode == "RGBA" else "RGB"
    target = ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(source, target, input_mode, output_mode, _INTENT, _FLAGS)


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether it leaves a grid of colours, or a ramp of greys for a grey picture, where they are."""
    if transform.input_mode == "CMYK":
        return False
    if mode in ("L", "LA"):
        colours = Image.frombytes("L", (256, 1), bytes(range(256))).convert(transform.input_mode)
    else:
        levels = (0, 16, 48, 96, 128, 176, 224, 255)
        grid = bytes(value for red in levels for green in levels for blue in levels for value in (red, green, blue))
        colours = Image.frombytes("RGB", (512, 1), grid).convert(transform.input_mode)
    before, after = colours.convert("RGB").tobytes(), transform.apply(colours).convert("RGB").tobytes()
    return all(abs(one - other) <= _SAME_WITHIN for one, other in zip(before, after, strict=True))


def _name(profile: ImageCms.ImageCmsProfile) -> str:
    """As the profile calls itself, fit for a message."""
    text = profile.profile.profile_description or ""
    return "".join(each for each in text if each.isprintable()).strip()[:60] or "an unnamed profile"


def _coded(primaries: int, transfer: int, mode: str) -> ColourSpace:
    """A colour space that a file names by numbers."""
    if primaries not in _PRIMARIES:
        return ColourSpace(unreadable=True)
    name, colorants = _PRIMARIES[primaries]
    found = _described(_matrix_profile(name, colorants, _GAMMAS.get(transfer)), mode)
    if transfer in _HDR_TRANSFERS:
        described = f"{name} {_HDR_TRANSFERS[transfer]} (its brightness is only roughly kept)"
        return ColourSpace(described, found.transform, found.input_mode)
    return found


def _measured(gamma: float | None, chromaticities: tuple[float, ...] | None, mode: str) -> ColourSpace:
    """A colour space that a PNG describes by gamma, primaries, or both; what it leaves out is sRGB's."""
    if gamma is not None and _SRGB_GAMMAS[0] <= gamma <= _SRGB_GAMMAS[1]:
        gamma = None
    try:
        colorants = _SRGB if chromaticities is None else _adapted(chromaticities)
        name = "primaries of its own" if gamma is None else f"gamma {gamma:.3g}"
        return _described(_matrix_profile(f"PNG with {name}", colorants, gamma), mode)
    except (ArithmeticError, struct.error):
        return ColourSpace(unreadable=True)


def _adapted(chromaticities: tuple[float, ...]) -> Colorants:
    """Colorants of white, red, green and blue as x and y. Raises `ZeroDivisionError` where they span no colours."""
    white, red, green, blue = (
        (x / y, 1.0, (1 - x - y) / y) for x, y in zip(chromaticities[::2], chromaticities[1::2], strict=True)
    )
    whole = _determinant(red, green, blue)
    # Cramer's rule: how much of each primary makes white.
    parts = (
        _determinant(white, green, blue) / whole,
        _determinant(red, white, blue) / whole,
        _determinant(red, green, white) / whole,
    )
    source, target = _times(_BRADFORD, white), _times(_BRADFORD, _D50)
    gains = tuple(there / here for there, here in zip(target, source, strict=True))

    def adapted(colour: Triple, part: float) -> Triple:
        cones = _times(_BRADFORD, colour)
        return _solved(_BRADFORD, (cones[0] * gains[0] * part, cones[1] * gains[1] * part, cones[2] * gains[2] * part))

    return adapted(red, parts[0]), adapted(green, parts[1]), adapted(blue, parts[2])


def _times(matrix: Colorants, vector: Triple) -> Triple:
    first, second, third = (sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)
    return first, second, third


def _determinant(one: Triple, two: Triple, three: Triple) -> float:
    return (
        one[0] * (two[1] * three[2] - two[2] * three[1])
        - two[0] * (one[1] * three[2] - one[2] * three[1])
        + three[0] * (one[1] * two[2] - one[2] * two[1])
    )


def _solved(matrix: Colorants, result: Triple) -> Triple:
    """The vector that the matrix turns into `result`."""
    one, two, three = ((matrix[0][n], matrix[1][n], matrix[2][n]) for n in range(3))
    whole = _determinant(one, two, three)
    return (
        _determinant(result, two, three) / whole,
        _determinant(one, result, three) / whole,
        _determinant(one, two, result) / whole,
    )


def _matrix_profile(name: str, colorants: Colorants, gamma: float | None) -> bytes:
    """An ICC profile (version 2.4) of three colorants and one curve: a gamma, or sRGB's own. Source: ICC.1:2001-04."""
    curve = b"para\0\0\0\0\0\3\0\0" + _fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    if gamma is not None:
        curve = b"para\0\0\0\0\0\0\0\0" + _fixed(gamma)
    text = name.encode("ascii") + b"\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">L", len(text)) + text + b"\0" * 78,
        b"wtpt": b"XYZ \0\0\0\0" + _fixed(0.9642, 1.0, 0.8249),
    }
    for channel, colorant in zip((b"r", b"g", b"b"), colorants, strict=True):
        tags[channel + b"XYZ"] = b"XYZ \0\0\0\0" + _fixed(*colorant)
        tags[channel + b"TRC"] = curve
    directory, body, first = struct.pack(">L", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        directory += tag + struct.pack(">LL", first + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    head = struct.pack(">L4xL4s4s4s12x4s28x", first + len(body), 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return head + _fixed(0.9642, 1.0, 0.8249) + b"\0" * 48 + directory + body


def _fixed(*numbers: float) -> bytes:
    """As s15Fixed16."""
    return b"".join(struct.pack(">l", round(number * 65536)) for number in numbers)
