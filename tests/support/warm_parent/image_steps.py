"""Fewer steps for the images of a training, for tests of what else it does. Imported beside `server.py`, too.

With fewer than 10 steps the U-Net cache computes at least half of them in full: see `FEW_STEPS`.
`unit/runner/training/test_checkpoints.py` has a training whose class images take the real number.
"""

import importlib

VARIABLE = "DARKROOM_TEST_IMAGE_STEPS"
"""For forks of the warm parent: the number of steps."""
CONSTANTS = (
    ("darkroom_runner.sampling.sdxl", "VALIDATION_STEPS"),
    ("darkroom_runner.training.session", "VALIDATION_STEPS"),
    ("darkroom_runner.training.prior_preservation", "CLASS_IMAGE_STEPS"),
)


def set_image_steps(steps: int) -> None:
    """For this process. Raises AttributeError if a constant is not where it is expected."""
    for module_name, name in CONSTANTS:
        module = importlib.import_module(module_name)
        if not hasattr(module, name):
            raise AttributeError(f"{module_name} has no {name} (renamed?): correct CONSTANTS in {__file__}")
        setattr(module, name, steps)
