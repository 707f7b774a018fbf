"""Fewer steps for the images of a training, for tests of what else it does. Imported beside `server.py`, too."""

import importlib

VARIABLE = "DARKROOM_TEST_IMAGE_STEPS"
"""For forks of the warm parent: the number of steps."""
CONSTANTS = (
    ("darkroom_runner.sampling.sdxl", "VALIDATION_STEPS"),
    ("darkroom_runner.training.session", "VALIDATION_STEPS"),
    ("darkroom_runner.training.prior_preservation", "CLASS_IMAGE_STEPS"),
)


def set_image_steps(steps: int) -> None:
    """For this process."""
    for module, name in CONSTANTS:
        setattr(importlib.import_module(module), name, steps)
