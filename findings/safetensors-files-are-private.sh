#!/usr/bin/env bash
# safetensors' save_file writes files that only their owner can read, whatever the umask, and replaces what was there.
#
# Versions: safetensors 0.8.0, numpy 2.4.6, Python 3.11, Linux.
# Guess:    save_file creates a file as open() does: mode 0644 with the usual umask; an existing file keeps its mode, and a
#           symbolic link is followed, as with torch.save.
# In fact:  it writes a temporary file of mode 0600 and renames it to the given path. A new file is 0600, a file that
#           others could read no longer is, and a link is replaced by a file while its target keeps the old weights.
#           diffusers, transformers and peft save with it: a model saved by root cannot be read by the user of a container,
#           although its folders and JSON files can. `safetensors.numpy.save` returns bytes, to write as one likes.
# Output:   open(): 0644; save_file: 0600; over a file of mode 0644: 0600; over a link: link replaced, target unchanged
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'safetensors==0.8.0' 'numpy==2.4.6'

cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import os
from pathlib import Path

import numpy
from safetensors.numpy import load_file, save, save_file

os.umask(0o022)
old, new = {"weight": numpy.zeros(4)}, {"weight": numpy.ones(4)}


def mode(name: str) -> str:
    return f"{Path(name).stat().st_mode & 0o7777:04o}"


Path("opened").write_bytes(save(old))
save_file(old, "saved")
Path("readable").write_bytes(save(old))
save_file(new, "readable")
Path("target").write_bytes(save(old))
Path("link").symlink_to("target")
save_file(new, "link")
link = "followed" if Path("link").is_symlink() else "replaced"
target = "unchanged" if load_file("target")["weight"].sum() == 0 else "overwritten"
modes = [mode(name) for name in ("opened", "saved", "readable")]
print(
    f"open(): {modes[0]}; save_file: {modes[1]}; over a file of mode {modes[0]}: {modes[2]}; "
    f"over a link: link {link}, target {target}"
)
assert modes == ["0644", "0600", "0600"]
assert (link, target) == ("replaced", "unchanged")
PY
