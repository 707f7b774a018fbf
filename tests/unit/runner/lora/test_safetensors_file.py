"""A file that can't be written raises OSError, which trainings treat like a full disk."""

from pathlib import Path

import pytest
import torch

from darkroom_runner.lora.safetensors_file import write_safetensors


def test_a_file_that_can_t_be_written_raises_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file or directory"):
        write_safetensors({"weight": torch.zeros(4)}, tmp_path / "missing" / "lora.safetensors", {})
