"""The diffusion loss: targets and min-SNR weights, checked against the papers' formulas."""

import pytest
import torch
from diffusers import DDPMScheduler

from darkroom_runner.errors import ModelIncompatibleError
from darkroom_runner.training.diffusion_loss import DiffusionLoss

TIMESTEPS = torch.tensor([0, 400, 999])


def loss_of(kind: str, gamma: float | None = None, zero_snr: bool = False) -> DiffusionLoss:
    noise_scheduler = DDPMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type=kind,
        rescale_betas_zero_snr=zero_snr,
    )
    return DiffusionLoss(noise_scheduler, gamma)


def latents_and_noise() -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return torch.randn(3, 4, 8, 8, generator=rng), torch.randn(3, 4, 8, 8, generator=rng)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_the_correct_prediction_has_zero_loss(kind: str) -> None:
    latents, noise = latents_and_noise()
    diffusion_loss = loss_of(kind)
    alpha = diffusion_loss.noise_scheduler.alphas_cumprod[TIMESTEPS].view(-1, 1, 1, 1)
    correct = {
        "epsilon": noise,
        "v_prediction": alpha.sqrt() * noise - (1 - alpha).sqrt() * latents,
        "sample": latents,
    }[kind]

    losses = diffusion_loss.losses(correct, latents, noise, TIMESTEPS)

    torch.testing.assert_close(losses, torch.zeros(3), atol=1e-9, rtol=0)


@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_weights_the_clean_latents_alike_for_every_prediction_type(gamma: float) -> None:
    """An error x of the predicted clean latents costs min(SNR, γ)·|x|², whatever the prediction type."""
    latents, noise = latents_and_noise()
    diffusion_loss = loss_of("epsilon")
    alpha = diffusion_loss.noise_scheduler.alphas_cumprod[TIMESTEPS].view(-1, 1, 1, 1)
    snr = (alpha / (1 - alpha)).flatten()
    wrong = torch.full_like(latents, 0.1)
    errors = {
        "sample": wrong,
        "epsilon": -wrong * alpha.sqrt() / (1 - alpha).sqrt(),
        "v_prediction": -wrong / (1 - alpha).sqrt(),
    }
    targets = {
        "sample": latents,
        "epsilon": noise,
        "v_prediction": alpha.sqrt() * noise - (1 - alpha).sqrt() * latents,
    }

    for kind, target in targets.items():
        losses = loss_of(kind, gamma).losses(target + errors[kind], latents, noise, TIMESTEPS)
        torch.testing.assert_close(losses, snr.clamp(max=gamma) * 0.01, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_zero_snr_gives_a_finite_loss(kind: str) -> None:
    latents, noise = latents_and_noise()

    losses = loss_of(kind, gamma=5.0, zero_snr=True).losses(latents, latents, noise, TIMESTEPS)

    assert torch.isfinite(losses).all()


def test_an_unknown_prediction_type_is_refused() -> None:
    with pytest.raises(ModelIncompatibleError, match="type 'flow'; only epsilon, v_prediction, sample can be"):
        loss_of("flow")
