#!/usr/bin/env bash
# Pillow 13.0.0: turning a photo upright fails over an EXIF tag that has nothing to do with it.
#
# Expected: ImageOps.exif_transpose needs the orientation alone. Image.getexif() reads it from this photo without
# warning, the photo opens and decodes, so it can be turned.
# Seen: exif_transpose writes the whole EXIF back after turning, and a tag of an unexpected type ("72" as text where a
# fraction belongs, as careless programs write it) raises TypeError: bad operand type for abs(): 'str'. Other types of
# damage raise other errors. A photo that was checked with Image.open and load can still fail here.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check pillow==13.0.0
"$folder/venv/bin/python" - <<'PY'
import io, struct, sys
from PIL import ExifTags, Image, ImageOps

def entry(tag, kind, count, value):
    return struct.pack("<HHL", tag, kind, count) + value.ljust(4, b"\0")

orientation = entry(0x112, 3, 1, struct.pack("<H", 6))
resolution_as_text = entry(0x11A, 2, 3, b"72\0")
exif = b"Exif\0\0II*\0" + struct.pack("<LH", 8, 2) + orientation + resolution_as_text + b"\0" * 4
file = io.BytesIO()
Image.new("RGB", (128, 96)).save(file, "JPEG", exif=exif)

photo = Image.open(file)
photo.load()
found = photo.getexif()[ExifTags.Base.Orientation]
print("orientation, as getexif reads it:", found)
try:
    print("turned:", ImageOps.exif_transpose(photo).size)
except TypeError as error:
    print("exif_transpose: TypeError:", error)
    sys.exit(0 if found == 6 else 1)
sys.exit("the behaviour has changed: exif_transpose turned the photo")
PY
