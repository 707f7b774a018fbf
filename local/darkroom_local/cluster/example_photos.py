"""The sample photos of the source tree: shown by `up`, sent by the demo, in the bucket for `examples/train.yaml`."""

from pathlib import Path

from darkroom_contract.storage import dataset_prefix

FOLDER = Path(__file__).resolve().parents[3] / "examples" / "photos"
PREFIX = dataset_prefix("examples", "star")
"""Where they lie in the bucket of a local cluster."""


def example_photos() -> list[Path]:
    """Five pictures of a subject that the base model has never seen; none outside of a source tree."""
    return sorted(FOLDER.glob("*.png"))
