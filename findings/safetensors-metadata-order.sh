#!/usr/bin/env bash
# safetensors writes equal content as different bytes: the order of a file's metadata differs from process to process.
#
# Versions: safetensors 0.8.0, numpy 2.4.6, Python 3.11.
# Guess:    one file, one content: saving the same tensors and metadata again gives the same SHA-256.
# In fact:  the metadata is a hash map with a random seed. Eight processes gave eight different files; with one entry of
#           metadata, or none, all are equal. Tensors are always sorted. Whoever compares hashes must sort the header.
# Output:   8 processes, 10 entries of metadata: 8 different files
#           8 processes, 1 entry of metadata: 1 different files
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'safetensors==0.8.0' 'numpy==2.4.6'

cat > "$folder/write.py" <<'PY'
import sys

import numpy as np
from safetensors.numpy import save_file

path, entries = sys.argv[1], int(sys.argv[2])
save_file({"weight": np.ones(4, np.float32)}, path, metadata={f"key-{n}": "value" for n in range(entries)})
PY

distinct() {
  for number in 1 2 3 4 5 6 7 8; do "$folder/venv/bin/python" "$folder/write.py" "$folder/$1-$number" "$1"; done
  sha256sum "$folder/$1-"* | cut -d' ' -f1 | sort -u | wc -l
}

many=$(distinct 10)
one=$(distinct 1)
echo "8 processes, 10 entries of metadata: $many different files"
echo "8 processes, 1 entry of metadata: $one different files"
[ "$many" -gt 1 ] && [ "$one" -eq 1 ]
