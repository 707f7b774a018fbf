"""Where in a generation each pass of the U-Net is.

Time is measured in training timesteps, whatever the spacing of the sampler's own steps (Karras, trailing, SVD's
continuous noise levels): features change about equally much from one training timestep to the next.
"""

import math
from typing import Any

import numpy as np
import torch

from darkroom_runner.unet_cache.policies import Position

_CONTINUOUS = "continuous"
"""SVD's kind of timestep: a quarter of the logarithm of the noise level."""


class Timeline:
    """Positions of passes, from 0 at the first one to the number of steps at the end.

    Counts calls, since comparing timesteps would wait for the device at every pass.
    """

    def __init__(self, pipeline: Any, first_timestep: torch.Tensor) -> None:
        scheduler = pipeline.scheduler
        self.guided = bool(pipeline.do_classifier_free_guidance)
        self._order, self._calls = scheduler.order, 0
        own = scheduler.timesteps.tolist()
        # Image to image begins in the middle of the schedule. Heun's schedule has each timestep twice, for the second
        # pass of a step and the first of the next: a generation begins with the first pass of a step.
        start = len(own) - 1 - own[::-1].index(first_timestep.item())
        timesteps = _training_timesteps(scheduler, np.array(own[start:], dtype=np.float64))
        steps = math.ceil(len(timesteps) / self._order)
        self._times = [*(steps * (timesteps[0] - timesteps) / max(timesteps[0], 1.0)), float(steps)]

    def next_position(self) -> Position:
        number = min(self._calls, len(self._times) - 2)
        position = Position(self._calls // self._order, float(self._times[number]), float(self._times[number + 1]))
        self._calls += 1
        return position


def _training_timesteps(scheduler: Any, timesteps: Any) -> Any:
    """Those with the noise levels of the sampler's timesteps; above the last, on the line through the last two.

    Evenly spaced for samplers with other timesteps, such as EDM's logarithms of noise levels.
    """
    if getattr(scheduler.config, "timestep_type", None) != _CONTINUOUS:
        return timesteps if timesteps[-1] >= 0 else np.arange(len(timesteps), 0, -1, dtype=np.float64)
    kept = scheduler.alphas_cumprod.double().cpu().numpy()
    levels = np.log((1 - kept) / kept) / 2
    wanted = 4 * timesteps
    beyond = np.maximum(wanted - levels[-1], 0) / (levels[-1] - levels[-2])
    return np.interp(wanted, levels, np.arange(len(levels))) + beyond
