"""Writes trained pipelines as they are shipped: half precision, safetensors, readable by everyone, with a card."""

import json
from pathlib import Path
from typing import Any

import torch


def export(pipeline: Any, target: Path) -> None:
    """Writes the pipeline to `target` in float16."""
    pipeline.to(dtype=torch.float16)
    pipeline.save_pretrained(target, safe_serialization=True)
    for path in (target / "model_index.json", *target.rglob("config.json")):
        _forget_origin(path)
    for path in target.rglob("*"):
        # The libraries write weights for their owner alone; in an image another user reads them.
        path.chmod(0o755 if path.is_dir() else 0o644)


def _forget_origin(path: Path) -> None:
    """diffusers notes the folder that a model was loaded from, which means nothing elsewhere."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def write_card(target: Path, card: str) -> None:
    (target / "README.md").write_text(card, encoding="utf-8")


def size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
