"""The weight files that are read ahead are those that are loaded."""

import os
from pathlib import Path

import pytest

from darkroom_runner.models.weight_files import read_ahead, variant_of, weight_files

PLAIN, HALF = "model.safetensors", "model.fp16.safetensors"


def put(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(os.urandom(3 * 1024**2))


def names(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in weight_files(folder)]


def test_plain_weights_are_preferred_and_checkpoints_of_the_whole_model_left_out(tmp_path: Path) -> None:
    put(tmp_path, f"unet/{PLAIN}", f"unet/{HALF}", f"vae/{PLAIN}", f"vae/{HALF}", "sd_xl_base_1.0.safetensors")

    assert variant_of(tmp_path) is None
    assert names(tmp_path) == [f"unet/{PLAIN}", f"vae/{PLAIN}"]


def test_folder_with_a_half_precision_unet_is_read_as_that_variant(tmp_path: Path) -> None:
    put(tmp_path, f"unet/{HALF}", f"vae/{PLAIN}", f"vae/{HALF}", f"text_encoder/{PLAIN}")

    assert variant_of(tmp_path) == "fp16"
    assert names(tmp_path) == [f"text_encoder/{PLAIN}", f"unet/{HALF}", f"vae/{HALF}"]


def is_cached(path: Path) -> bool:
    """Whether all of a file is in the page cache: a read that must not wait for the disk then returns all of it."""
    buffer = bytearray(path.stat().st_size)
    with path.open("rb") as file:
        try:
            return os.preadv(file.fileno(), [buffer], 0, os.RWF_NOWAIT) == len(buffer)
        except BlockingIOError:
            return False


def drop_from_cache(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def test_weights_are_in_the_page_cache_afterwards(tmp_path: Path) -> None:
    put(tmp_path, f"unet/{PLAIN}", f"vae/{PLAIN}")
    files = weight_files(tmp_path)
    for path in files:
        drop_from_cache(path)
    if any(map(is_cached, files)):
        pytest.skip("this file system keeps its files in memory")

    read_ahead(tmp_path).join(20)

    assert all(map(is_cached, files))


def test_file_that_cannot_be_read_is_left_to_the_loader(tmp_path: Path) -> None:
    put(tmp_path, f"vae/{PLAIN}")
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / PLAIN).symlink_to(tmp_path / "nowhere")

    thread = read_ahead(tmp_path)

    thread.join(20)
    assert not thread.is_alive()
