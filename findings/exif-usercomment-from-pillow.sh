#!/usr/bin/env bash
# A UserComment that Pillow writes has the wrong type: piexif reads a tuple of numbers, and finds no text in it.
#
# Versions: Pillow 13.0.0, piexif 1.1.3, Python 3.11.
# Guess:    the bytes of a UserComment are stored as EXIF 2.3 says (type UNDEFINED), so that every reader gets the text.
# In fact:  Pillow stores every `bytes` value as BYTE. Pillow itself reads it back as bytes. piexif returns a tuple of
#           integers, for which `helper.UserComment.load` raises ValueError although the eight bytes that name the
#           encoding are correct. A1111's web UI reads the settings of JPEG and WebP files in this way.
# Output:   type of UserComment: Pillow 1 (BYTE), piexif 7 (UNDEFINED)
#           piexif reads its own comment: bytes, 'a dog'
#           piexif reads Pillow's comment: tuple, ValueError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'pillow==13.0.0' 'piexif==1.1.3'

"$folder/venv/bin/python" - 2> "$folder/log" <<'PY' || { cat "$folder/log"; exit 1; }
import struct

import piexif
import piexif.helper
from PIL import Image

EXIF_IFD, USER_COMMENT = 0x8769, 0x9286

exif = Image.Exif()
exif.endian = ">"
exif.get_ifd(EXIF_IFD)[USER_COMMENT] = b"UNICODE\0" + "a dog".encode("utf-16-be")
of_pillow = exif.tobytes()
comment = piexif.helper.UserComment.dump("a dog", encoding="unicode")
of_piexif = piexif.dump({"Exif": {piexif.ExifIFD.UserComment: comment}})


def type_of(content: bytes) -> int:
    at = content.index(struct.pack(">H", USER_COMMENT)) + 2
    return struct.unpack_from(">H", content, at)[0]


def read(content: bytes) -> tuple[str, str]:
    value = piexif.load(content)["Exif"][piexif.ExifIFD.UserComment]
    try:
        return type(value).__name__, repr(piexif.helper.UserComment.load(value))
    except Exception as error:
        return type(value).__name__, type(error).__name__


types = type_of(of_pillow), type_of(of_piexif)
own, other = read(of_piexif), read(of_pillow)
print(f"type of UserComment: Pillow {types[0]} (BYTE), piexif {types[1]} (UNDEFINED)")
print("piexif reads its own comment:", ", ".join(own))
print("piexif reads Pillow's comment:", ", ".join(other))
assert types == (1, 7), types
assert own == ("bytes", "'a dog'"), own
assert other == ("tuple", "ValueError"), other
PY
