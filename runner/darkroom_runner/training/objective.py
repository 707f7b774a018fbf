"""What the U-Net is trained to predict, and how its errors are weighed. Pure tensor arithmetic."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from darkroom_runner.errors import ModelIncompatibleError

_KINDS = ("epsilon", "v_prediction", "sample")


@dataclass(frozen=True)
class Objective:
    """The loss of a denoising step."""

    schedule: Any
    """A DDPMScheduler with the base model's betas and prediction type."""
    min_snr_gamma: float | None

    def __post_init__(self) -> None:
        kind = self.schedule.config.prediction_type
        if kind not in _KINDS:
            raise ModelIncompatibleError(f"The base model predicts {kind!r}; only {', '.join(_KINDS)} can be trained.")

    def add_noise(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Latents [b, 4, h, w] as they are at `timesteps` [b] of the forward process."""
        noisy: torch.Tensor = self.schedule.add_noise(latents, noise, timesteps)
        return noisy

    def losses(
        self, prediction: torch.Tensor, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
    ) -> torch.Tensor:
        """Weighed squared error of each sample: [b], float32."""
        target = self._target(latents, noise, timesteps)
        squared = functional.mse_loss(prediction.float(), target.float(), reduction="none")
        return squared.mean(dim=(1, 2, 3)) * self._weights(timesteps)

    def _target(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        kind = self.schedule.config.prediction_type
        if kind == "v_prediction":
            velocity: torch.Tensor = self.schedule.get_velocity(latents, noise, timesteps)
            return velocity
        return noise if kind == "epsilon" else latents

    def _weights(self, timesteps: torch.Tensor) -> torch.Tensor:
        """Min-SNR-γ (arXiv 2303.09556, section 3.4): min(SNR, γ), relative to the weight that the target implies.

        Written so that a signal-to-noise ratio of zero, the last step of a zero-terminal-SNR schedule, gives no NaN.
        """
        if self.min_snr_gamma is None:
            return torch.ones_like(timesteps, dtype=torch.float32)
        alphas = self.schedule.alphas_cumprod.to(timesteps.device)[timesteps].float()
        snr = alphas / (1 - alphas)
        clamped = snr.clamp(max=self.min_snr_gamma)
        kind = self.schedule.config.prediction_type
        if kind == "v_prediction":
            return clamped / (snr + 1)
        return (self.min_snr_gamma / snr).clamp(max=1.0) if kind == "epsilon" else clamped
