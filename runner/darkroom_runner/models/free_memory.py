"""Finds the memory that is free on a device: of the card, or of the machine and the container's cgroup."""

from pathlib import Path

import torch

from darkroom_runner.models.device import Device

_CGROUP = Path("/sys/fs/cgroup")


def free_bytes(device: Device) -> int:
    """Memory that this process can still take: of the card, or of the machine and its cgroup."""
    if device.is_cuda:
        free, _ = torch.cuda.mem_get_info(device.torch_device)
        return int(free + torch.cuda.memory_reserved() - torch.cuda.memory_allocated())
    return min(_available_bytes(), _cgroup_free_bytes(_CGROUP))


def _available_bytes() -> int:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))


def _cgroup_free_bytes(folder: Path) -> int:
    """What the cgroup's limit leaves, without the file cache that the kernel drops first. Unlimited: a huge number."""
    for limit, usage in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        for place in (folder, folder / "memory"):
            if (place / limit).is_file() and (allowed := (place / limit).read_text().strip()) != "max":
                return int(allowed) - int((place / usage).read_text()) + _inactive_file_bytes(place)
    return 1 << 62


def _inactive_file_bytes(folder: Path) -> int:
    lines = (folder / "memory.stat").read_text().splitlines()
    names = ("inactive_file", "total_inactive_file")
    return max((int(line.split()[1]) for line in lines if line.split()[0] in names), default=0)
