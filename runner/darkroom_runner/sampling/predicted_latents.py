"""The final latents as a sampler predicts them in the middle of a run (x0), without another pass of the U-Net.

diffusers' `callback_on_step_end` gets only the latents of the next step, which still contain noise. The prediction
follows from the arguments and the result of the scheduler's `step`, so that call is recorded where a preview needs it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from diffusers import TCDScheduler


@dataclass(frozen=True)
class SchedulerStep:
    """One call of a scheduler's `step`."""

    model_output: torch.Tensor
    timestep: Any
    sample: torch.Tensor
    answer: Any
    """With `return_dict=False`: the next latents, and for most schedulers the prediction."""


def keep_next_step(scheduler: Any, keep: Callable[[SchedulerStep], None]) -> None:
    """Record the next call of `scheduler.step`, after which the scheduler is as before."""
    earlier = vars(scheduler).get("step")
    step = scheduler.step

    @wraps(step)  # The pipelines look at its signature.
    def recorded(model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if earlier is None:
            vars(scheduler).pop("step", None)
        else:
            scheduler.step = earlier
        answer = step(model_output, timestep, sample, *args, **kwargs)
        keep(SchedulerStep(model_output, timestep, sample, answer))
        return answer

    scheduler.step = recorded


def predicted_latents(scheduler: Any, step: SchedulerStep) -> torch.Tensor | None:
    """The final latents as predicted in the scheduler's newest step; None for an unknown algorithm."""
    if isinstance(scheduler, TCDScheduler):
        return _from_model_output(scheduler, step)
    if hasattr(scheduler, "model_outputs"):
        # DPM++ and UniPC return the next latents only, and keep their predictions for the steps to come.
        config = scheduler.config
        keeps_x0 = config.get("predict_x0", False) or str(config.get("algorithm_type", "")).endswith("dpmsolver++")
        return scheduler.model_outputs[-1] if keeps_x0 else None
    if isinstance(step.answer, tuple) and len(step.answer) > 1 and isinstance(step.answer[1], torch.Tensor):
        return step.answer[1]
    return None


def _from_model_output(scheduler: Any, step: SchedulerStep) -> torch.Tensor | None:
    """For TCD, whose second result still contains noise. See arXiv 2010.02502 (12) and 2202.00512 (appendix D)."""
    alpha = scheduler.alphas_cumprod[int(step.timestep)].item()
    signal, noise = alpha**0.5, (1 - alpha) ** 0.5
    match scheduler.config.prediction_type:
        case "epsilon":
            return (step.sample - noise * step.model_output) / signal
        case "v_prediction":
            return signal * step.sample - noise * step.model_output
        case "sample":
            return step.model_output
        case _:
            return None
