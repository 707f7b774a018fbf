"""The downward API volume of a runner's pod, as the kubelet keeps it."""

import os
from pathlib import Path

from darkroom_contract.handover import ACKNOWLEDGED_FILE, RUN_FILE


class HandoverVolume:
    """Replaces all files at once: a new folder, to which the symbolic link `..data` is renamed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._version = 0
        self._contents = {RUN_FILE: "", ACKNOWLEDGED_FILE: ""}
        folder.mkdir()
        self._replace()
        for name in self._contents:
            (folder / name).symlink_to(f"..data/{name}")

    def write(self, name: str, content: str) -> None:
        self._contents[name] = content
        self._replace()

    def _replace(self) -> None:
        self._version += 1
        data = self.folder / f"..{self._version}"
        data.mkdir()
        for name, content in self._contents.items():
            (data / name).write_text(content)
        (self.folder / "..data_tmp").symlink_to(data.name)
        os.replace(self.folder / "..data_tmp", self.folder / "..data")
