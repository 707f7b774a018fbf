#!/usr/bin/env bash
# PyAV turns RGB frames into h264 by BT.601, at every size, and says so nowhere in the file.
#
# Versions: av 18.1.0 (its own FFmpeg), numpy 2.4.6, Python 3.11.
# Guess:    as for most players, HD sizes are BT.709; or at least the file says which matrix was used.
# In fact:  swscale's default, BT.601, for 1920x1080 as for 128x128, and colorspace, primaries and transfer are all
#           "unspecified". Players guess from the size, so a pure red of an HD clip is shown 24 of 255 off. Setting
#           the codec context's colorspace alone tags the file and leaves the conversion as it was: now it is wrong
#           for everyone who believes the tag.
# Output:   1920x1080 red is (Y, Cb, Cr) = (81, 90, 240); BT.601 (81, 90, 240), BT.709 (63, 102, 240)
#           tags: colorspace 2, primaries 2, transfer 2
#           tagged as BT.709 by the codec context: still (81, 90, 240), colorspace 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'av==18.1.0' 'numpy==2.4.6'

"$folder/venv/bin/python" - "$folder" <<'PY'
import sys

import av
import numpy as np


def red_clip(path, colorspace=None):
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        if colorspace is not None:
            stream.codec_context.colorspace = colorspace
        frame = np.zeros((1080, 1920, 3), np.uint8)
        frame[..., 0] = 255
        container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(path) as container:
        shown = next(container.decode(video=0))
        planes = [np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size) for plane in shown.planes]
        return tuple(int(plane[plane.shape[0] // 2, 100]) for plane in planes), shown


def near(one, other):
    return all(abs(a - b) <= 1 for a, b in zip(one, other, strict=True))


BT601, BT709 = (81, 90, 240), (63, 102, 240)
pixel, frame = red_clip(sys.argv[1] + "/plain.mp4")
print(f"1920x1080 red is (Y, Cb, Cr) = {pixel}; BT.601 {BT601}, BT.709 {BT709}")
print(f"tags: colorspace {frame.colorspace}, primaries {frame.color_primaries}, transfer {frame.color_trc}")
tagged, other = red_clip(sys.argv[1] + "/tagged.mp4", colorspace=1)
print(f"tagged as BT.709 by the codec context: still {tagged}, colorspace {other.colorspace}")
assert near(pixel, BT601) and (frame.colorspace, frame.color_primaries, frame.color_trc) == (2, 2, 2)
assert near(tagged, BT601) and other.colorspace == 1
PY
