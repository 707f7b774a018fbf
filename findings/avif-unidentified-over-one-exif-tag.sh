#!/usr/bin/env bash
# Pillow 13.0.0: an AVIF with one odd EXIF tag "is no image"; the same EXIF in a JPEG, PNG or WebP does no harm.
#
# Expected: metadata is parsed when somebody asks for it, as with JPEG, PNG and WebP, which all open and decode.
# Seen: the AVIF plugin compares EXIF's orientation with the file's own (irot) at opening, writes all EXIF anew where they
# differ, and fails at a tag of an unexpected type. Image.open takes that TypeError for "not this format" and raises
# UnidentifiedImageError: cannot identify image file. The same file without that tag opens.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check pillow==13.0.0
"$folder/venv/bin/python" - <<'PY'
import io, struct, sys
from PIL import Image, UnidentifiedImageError

exif = Image.Exif()
exif[0x112], exif[0x11A] = 6, 72.0
file = io.BytesIO()
Image.new("RGB", (128, 96)).save(file, "AVIF", exif=exif)
whole = file.getvalue()

# XResolution becomes the text "72" in place of a fraction; nothing else changes.
fraction = struct.pack(">HHL", 0x11A, 5, 1)
assert whole.count(fraction) == 1
at = whole.index(fraction)
odd = whole[:at] + struct.pack(">HHL", 0x11A, 2, 3) + b"72\0\0" + whole[at + 12:]

print("with a fraction:", Image.open(io.BytesIO(whole)).size)
try:
    print("with a text:", Image.open(io.BytesIO(odd)).size)
except UnidentifiedImageError:
    print("with a text: UnidentifiedImageError")
    sys.exit(0)
sys.exit("the behaviour has changed: the AVIF was opened")
PY
