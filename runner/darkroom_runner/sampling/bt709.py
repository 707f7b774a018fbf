"""Converts RGB images to limited-range BT.709 video frames with subsampled chroma (yuv420p). Used by `mp4`.

swscale's conversion from RGB is off by up to 4 of 255, and decoders add to that error; this one rounds only once.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_LUMA = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
"""Weights of red, green and blue in luma (ITU-R BT.709-6, item 3.2)."""
_BLUE_SPAN, _RED_SPAN = 1.8556, 1.5748
"""The ranges of blue minus luma and red minus luma (item 3.3)."""
_LUMA_STEPS, _CHROMA_STEPS = 219, 224
_BLACK, _GREY = 16, 128
"""Limited range, 8 bits (item 3.5)."""


def yuv420(image: Image.Image) -> NDArray[np.uint8]:
    """Convert an sRGB image with even sides h and w; returns the stacked planes, [h * 3 / 2, w]."""
    rgb = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    luma = rgb @ _LUMA
    blue = _subsample(rgb[..., 2] - luma) / _BLUE_SPAN
    red = _subsample(rgb[..., 0] - luma) / _RED_SPAN
    planes = [_BLACK + _LUMA_STEPS * luma, _GREY + _CHROMA_STEPS * blue, _GREY + _CHROMA_STEPS * red]
    flat = np.concatenate([np.rint(plane).astype(np.uint8).ravel() for plane in planes])
    return flat.reshape(-1, image.width)


def _subsample(plane: NDArray[np.floating]) -> NDArray[np.floating]:
    """Chroma samples are located on every second column and between two rows: h264's default (location "left")."""
    before = np.pad(plane, ((0, 0), (1, 0)), mode="edge")[:, :-1:2]
    columns = (before + 2 * plane[:, ::2] + plane[:, 1::2]) / 4
    rows: NDArray[np.floating] = (columns[::2] + columns[1::2]) / 2
    return rows
