#!/usr/bin/env bash
# Pillow 13.0.0 and pillow-heif 1.8.1: how a photo's orientation is lost while it is saved.
#
# Expected: Image.save reads the `exif` that it is given, and writes it: an Exif object saved into AVIF, then into JPEG, turns
# both; into HEIC an Exif object and its bytes come to the same.
# Seen: saving an AVIF takes the orientation out of the caller's own Exif object (it becomes the file's irot property), so
# the JPEG that is saved next with the same object lies on its side. pillow-heif understands the orientation only in
# bytes: given the object it writes no irot, and the HEIC lies on its side, since this format's EXIF turns nothing.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check pillow==13.0.0 pillow-heif==1.8.1
"$folder/venv/bin/python" - <<'PY'
import io, sys
import pillow_heif
from PIL import Image, ImageOps

pillow_heif.register_heif_opener()
photo = Image.new("RGB", (128, 96))

def on_its_side():
    exif = Image.Exif()
    exif[0x112] = 6
    return exif

def shown(kind, exif):
    file = io.BytesIO()
    photo.save(file, kind, exif=exif)
    return ImageOps.exif_transpose(Image.open(file)).size

exif = on_its_side()
found = {
    "JPEG, alone": shown("JPEG", on_its_side()),
    "AVIF": shown("AVIF", exif),
    "JPEG after it, same Exif object": shown("JPEG", exif),
    "HEIC, bytes": shown("HEIF", on_its_side().tobytes()),
    "HEIC, Exif object": shown("HEIF", on_its_side()),
}
for what, size in found.items():
    print(f"{what}: {size[0]}x{size[1]}")
upright, lying = (96, 128), (128, 96)
sys.exit(0 if list(found.values()) == [upright, upright, lying, upright, lying] else "the behaviour has changed")
PY
