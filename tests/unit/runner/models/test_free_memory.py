"""Free memory of the machine and of the container's cgroup."""

from pathlib import Path

from darkroom_runner.models import free_memory
from darkroom_runner.models.device import find_device


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def test_free_memory_counts_the_limit_of_a_container(tmp_path: Path) -> None:
    stat = "anon 10\ninactive_file 300\n"
    limited = write(tmp_path, memory__max="5000\n", memory__current="1000\n", memory__stat=stat)

    assert free_memory._cgroup_free_bytes(limited) == 4300


def test_free_memory_without_a_limit_is_that_of_the_machine(tmp_path: Path) -> None:
    unlimited = write(tmp_path, memory__max="max\n")

    assert free_memory._cgroup_free_bytes(unlimited) > 1 << 60
    assert 0 < free_memory.free_bytes(find_device()) < 1 << 50
