"""Encodes frames as h264 in an mp4 file (PyAV, libx264)."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from PIL import Image

from darkroom_runner.sampling.bt709 import yuv420

_CONSTANT_RATE_FACTOR = "17"
"""x264's quality scale, lower is better: about the threshold of visually lossless."""
_PIXEL_FORMAT = "yuv420p"


def write_mp4(frames: list[Image.Image], path: Path, fps: int, comment: str) -> None:
    """Write yuv420p, which every browser plays, with the index first, so that playback starts during the download.

    Colours are converted to limited-range BT.709 and tagged so in the h264 stream and in the mp4's `colr` atom: for
    untagged clips players guess the matrix from the size, each by its own rules.
    """
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        container.metadata["comment"] = comment
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"crf": _CONSTANT_RATE_FACTOR})
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = _PIXEL_FORMAT
        _tag_bt709(stream.codec_context)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(yuv420(frame), format=_PIXEL_FORMAT)))
        container.mux(stream.encode(None))


def _tag_bt709(codec: Any) -> None:
    codec.colorspace = Colorspace.ITU709
    codec.color_primaries = ColorPrimaries.BT709
    codec.color_trc = ColorTrc.BT709
    codec.color_range = ColorRange.MPEG
