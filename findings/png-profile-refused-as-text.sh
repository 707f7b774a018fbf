#!/usr/bin/env bash
# Pillow 13.0.0: a PNG with a colour profile above 1 MiB is refused, by the limit on texts.
#
# Expected: PngImagePlugin.MAX_TEXT_CHUNK bounds texts (tEXt, zTXt, iTXt), as its documentation says. A profile of a printing
# press or a camera has up to some megabytes; the same profile in a JPEG is read.
# Seen: Image.open raises ValueError: Decompressed data too large for PngImagePlugin.MAX_TEXT_CHUNK. A pHYs chunk (dots an
# inch) that is one byte long costs the whole picture too: ValueError: Truncated pHYs chunk.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check pillow==13.0.0
"$folder/venv/bin/python" - <<'PY'
import io, os, struct, sys, zlib
from PIL import Image, ImageCms

# A profile that any reader takes, with a private tag of 2 MiB behind the others.
profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
count = struct.unpack(">L", profile[128:132])[0]
directory, body = profile[132:132 + 12 * count], profile[132 + 12 * count:]
moved = b"".join(
    directory[at:at + 4] + struct.pack(">LL", struct.unpack(">L", directory[at + 4:at + 8])[0] + 12, *struct.unpack(">L", directory[at + 8:at + 12]))
    for at in range(0, len(directory), 12)
)
private = b"data\0\0\0\0" + b"\0\0\0\1" + os.urandom(2 * 1024**2)
table = moved + b"priv" + struct.pack(">LL", len(profile) + 12, len(private))
large = struct.pack(">L", len(profile) + 12 + len(private)) + profile[4:128] + struct.pack(">L", count + 1) + table + body + private
print("the profile itself:", ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(large))).strip(), len(large), "bytes")

def tried(kind):
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, kind, icc_profile=large)
    try:
        photo = Image.open(file)
        photo.load()
        return "read"
    except ValueError as error:
        return f"ValueError: {error}"

found = {kind: tried(kind) for kind in ("JPEG", "WEBP", "PNG")}
for kind, what in found.items():
    print(f"in a {kind}:", what)

file = io.BytesIO()
Image.new("RGB", (64, 64)).save(file, "PNG")
whole, short = file.getvalue(), b"pHYs\0"
chunk = struct.pack(">L", 1) + short + struct.pack(">L", zlib.crc32(short))
try:
    Image.open(io.BytesIO(whole[:33] + chunk + whole[33:])).load()
    sys.exit("the behaviour has changed: a short pHYs chunk does no harm")
except ValueError as error:
    print("a short pHYs chunk: ValueError:", error)
if found["JPEG"] != "read" or found["WEBP"] != "read" or "MAX_TEXT_CHUNK" not in found["PNG"]:
    sys.exit("the behaviour has changed")
PY
