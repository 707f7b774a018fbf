"""Exports trained pipelines: half precision, safetensors, readable by all users, with a model card."""

import json
from pathlib import Path
from typing import Any

import torch


def export(pipeline: Any, target: Path) -> None:
    """Writes the pipeline to `target` in float16."""
    pipeline.to(dtype=torch.float16)
    pipeline.save_pretrained(target, safe_serialization=True)
    for path in (target / "model_index.json", *target.rglob("config.json")):
        _remove_origin(path)
    for path in target.rglob("*"):
        # The libraries write weights readable by their owner only; in an image another user reads them.
        path.chmod(0o755 if path.is_dir() else 0o644)


def _remove_origin(path: Path) -> None:
    """Remove the local folder that a model was loaded from, which diffusers records."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def write_card(target: Path, card: str) -> None:
    (target / "README.md").write_text(card, encoding="utf-8")


def size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
