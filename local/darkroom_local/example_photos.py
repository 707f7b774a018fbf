"""The sample photos in `examples/photos`: used by the demo, by `examples/train.yaml` and in the output of `up`."""

from pathlib import Path

from darkroom_contract.storage.keys import dataset_prefix

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "photos"
PREFIX = dataset_prefix("examples", "star")
"""Their key prefix in the bucket of a local cluster."""


def example_photos() -> list[Path]:
    """Five photos of a subject that the base model has never seen; an empty list outside a source checkout."""
    return sorted(FOLDER.glob("*.png"))
