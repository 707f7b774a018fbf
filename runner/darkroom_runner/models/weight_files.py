"""The weight files of a base model's folder: which of them are loaded, and reading them ahead.

Importing the libraries takes seconds of CPU in which the disk would idle, so a run reads the files into the page cache
meanwhile. safetensors then maps them: weights go from the page cache to the device without another copy.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

HALF = "fp16"
_HALF_SUFFIX = f".{HALF}.safetensors"
_CHUNK_BYTES = 64 * 1024**2


def variant_of(folder: Path) -> str | None:
    """The variant to load: `fp16` for a folder whose U-Net has no other weights."""
    return None if _plain(folder / "unet") else HALF


def weight_files(folder: Path) -> list[Path]:
    """The files that `load_pipeline` reads; not the single-file checkpoints that hub repositories have beside them."""
    variant = variant_of(folder)
    files = list[Path]()
    for component in sorted(path for path in folder.iterdir() if path.is_dir()):
        half = sorted(component.glob(f"*{_HALF_SUFFIX}")) if variant else []
        files += half or _plain(component)
    return files


def read_ahead_if_cold(folder: Path | None) -> None:
    """Read the weights of a base model's folder ahead, unless this process has imported the libraries already."""
    if folder is not None and "diffusers" not in sys.modules:
        read_ahead(folder)


def read_ahead(folder: Path) -> threading.Thread:
    """Read a folder's weights into the page cache, in a thread that nothing needs to wait for."""
    thread = threading.Thread(target=_read, args=(weight_files(folder),), name="read-ahead", daemon=True)
    thread.start()
    return thread


def _plain(component: Path) -> list[Path]:
    return sorted(path for path in component.glob("*.safetensors") if not path.name.endswith(_HALF_SUFFIX))


def _read(files: Iterable[Path]) -> None:
    """Send the files to /dev/null: Linux reads them into the page cache and copies nothing, see sendfile(2)."""
    # Other systems send to sockets only. Missing or unreadable files are reported when they are loaded.
    with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:
        for path in files:
            with path.open("rb") as file:
                offset = 0
                while sent := os.sendfile(nowhere.fileno(), file.fileno(), offset, _CHUNK_BYTES):
                    offset += sent
