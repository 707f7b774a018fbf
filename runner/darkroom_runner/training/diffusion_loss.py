"""The diffusion loss: the U-Net's target for each prediction type, and min-SNR weighting."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from darkroom_runner.errors import ModelIncompatibleError

_PREDICTION_TYPES = ("epsilon", "v_prediction", "sample")

_LEAST_MASK = 1e-3
"""Mean below which a mask counts as empty: such a photo is learned less, not infinitely more."""


@dataclass(frozen=True)
class DiffusionLoss:
    """Weighted mean squared error of the U-Net's prediction."""

    noise_scheduler: Any
    """A DDPMScheduler with the base model's betas and prediction type; see `schedulers.training_noise_scheduler`."""
    min_snr_gamma: float | None

    def __post_init__(self) -> None:
        kind = self.noise_scheduler.config.prediction_type
        if kind not in _PREDICTION_TYPES:
            raise ModelIncompatibleError(
                f"The base model has the prediction type {kind!r}; only {', '.join(_PREDICTION_TYPES)} can be trained."
            )

    def add_noise(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Add noise to latents [b, 4, h, w] by the forward process, up to `timesteps` [b]."""
        noisy: torch.Tensor = self.noise_scheduler.add_noise(latents, noise, timesteps)
        return noisy

    def losses(
        self,
        prediction: torch.Tensor,
        latents: torch.Tensor,
        noise: torch.Tensor,
        timesteps: torch.Tensor,
        masks: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Weighted mean squared error of each sample: [b], float32.

        `masks` [b, 1, h, w] weigh the positions in a sample's mean; where they are 0, there is no gradient.
        """
        target = self._target(latents, noise, timesteps)
        squared = functional.mse_loss(prediction.float(), target.float(), reduction="none")
        if masks is not None:
            # Not the mean of the products: a small subject would count less than a large one.
            squared = squared * (masks / masks.mean(dim=(1, 2, 3), keepdim=True).clamp(min=_LEAST_MASK))
        return squared.mean(dim=(1, 2, 3)) * self._weights(timesteps)

    def _target(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        kind = self.noise_scheduler.config.prediction_type
        if kind == "v_prediction":
            velocity: torch.Tensor = self.noise_scheduler.get_velocity(latents, noise, timesteps)
            return velocity
        return noise if kind == "epsilon" else latents

    def _weights(self, timesteps: torch.Tensor) -> torch.Tensor:
        """Min-SNR-γ weights [b] (arXiv 2303.09556, section 3.4): min(SNR, γ) divided by the target's implied weight.

        Written so that SNR 0, the last step of a zero-terminal-SNR schedule, gives no NaN.
        """
        if self.min_snr_gamma is None:
            return torch.ones_like(timesteps, dtype=torch.float32)
        alphas = self.noise_scheduler.alphas_cumprod.to(timesteps.device)[timesteps].float()
        snr = alphas / (1 - alphas)
        clamped = snr.clamp(max=self.min_snr_gamma)
        kind = self.noise_scheduler.config.prediction_type
        if kind == "v_prediction":
            return clamped / (snr + 1)
        return (self.min_snr_gamma / snr).clamp(max=1.0) if kind == "epsilon" else clamped
