#!/usr/bin/env bash
# Pillow 13.0.0 under a memory limit: which of its codecs say that memory ran out?
#
# Guess: a whole, valid picture for which too little memory is allowed raises MemoryError, as Pillow's documentation of
# large pictures suggests; "broken" or "failed to decode" means that the file is damaged.
# Seen: only PNG raises MemoryError. A progressive JPEG is a "broken data stream", for a WebP "could not create decoder
# object", for an AVIF a RuntimeError, "Pixel allocation failed" or "Decoding of color planes failed": the exceptions of damaged
# files. A program that limits memory (RLIMIT_DATA here, which Linux keeps) can't know from them what to tell people.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check pillow==13.0.0

cat > "$folder/make.py" <<'PYTHON'
import sys
from PIL import Image

picture = Image.new("RGB", (3000, 2400), "olive")
picture.save(sys.argv[1] + "/a.png")
picture.save(sys.argv[1] + "/a.jpg", progressive=True)
picture.save(sys.argv[1] + "/a.webp", lossless=True)
picture.save(sys.argv[1] + "/a.avif", speed=10)
PYTHON

cat > "$folder/read.py" <<'PYTHON'
import resource
import sys
from PIL import Image

Image.init()  # All codecs are loaded before the limit holds.
limit = int(sys.argv[2]) * 1024**2
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    with Image.open(sys.argv[1]) as picture:
        picture.load()
    print("decoded")
except Exception as error:
    print(f"{type(error).__name__}: {error}")
PYTHON

"$folder/venv/bin/python" "$folder/make.py" "$folder"
for kind in png jpg webp avif; do
    ample=$("$folder/venv/bin/python" "$folder/read.py" "$folder/a.$kind" 2000)
    limit=32
    [[ $kind != jpg ]] || limit=48  # Enough for the picture, and too little for the coefficients beside it.
    short=$("$folder/venv/bin/python" "$folder/read.py" "$folder/a.$kind" $limit)
    echo "$kind: with 2000 MiB: $ample; with $limit MiB: $short"
    [[ $ample == decoded ]]
    case $kind in
        png) [[ $short == MemoryError* ]] ;;
        jpg) [[ $short == "OSError: broken data stream"* ]] ;;
        webp) [[ $short == "OSError: could not create decoder object"* ]] ;;
        avif) [[ $short == RuntimeError*"failed"* ]] ;;
    esac
done
