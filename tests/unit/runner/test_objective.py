"""The loss: what is predicted, and how timesteps are weighed, checked against the papers' formulas."""

import pytest
import torch
from diffusers import DDPMScheduler

from darkroom_runner.errors import ModelIncompatibleError
from darkroom_runner.training.objective import Objective

TIMESTEPS = torch.tensor([0, 400, 999])


def objective(kind: str, gamma: float | None = None, zero_snr: bool = False) -> Objective:
    schedule = DDPMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type=kind,
        rescale_betas_zero_snr=zero_snr,
    )
    return Objective(schedule, gamma)


def latents_and_noise() -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return torch.randn(3, 4, 8, 8, generator=rng), torch.randn(3, 4, 8, 8, generator=rng)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_the_right_prediction_has_no_loss(kind: str) -> None:
    latents, noise = latents_and_noise()
    goal = objective(kind)
    alpha = goal.schedule.alphas_cumprod[TIMESTEPS].view(-1, 1, 1, 1)
    right = {
        "epsilon": noise,
        "v_prediction": alpha.sqrt() * noise - (1 - alpha).sqrt() * latents,
        "sample": latents,
    }[kind]

    losses = goal.losses(right, latents, noise, TIMESTEPS)

    torch.testing.assert_close(losses, torch.zeros(3), atol=1e-9, rtol=0)


@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_is_one_weight_on_the_clean_picture_whatever_is_predicted(gamma: float) -> None:
    """An error of the guessed clean latents x costs min(SNR, γ)·|x|², in the units of every prediction."""
    latents, noise = latents_and_noise()
    goal = objective("epsilon")
    alpha = goal.schedule.alphas_cumprod[TIMESTEPS].view(-1, 1, 1, 1)
    snr = (alpha / (1 - alpha)).flatten()
    wrong = torch.full_like(latents, 0.1)
    errors = {
        "sample": wrong,
        "epsilon": -wrong * alpha.sqrt() / (1 - alpha).sqrt(),
        "v_prediction": -wrong / (1 - alpha).sqrt(),
    }
    rights = {
        "sample": latents,
        "epsilon": noise,
        "v_prediction": alpha.sqrt() * noise - (1 - alpha).sqrt() * latents,
    }

    for kind, right in rights.items():
        losses = objective(kind, gamma).losses(right + errors[kind], latents, noise, TIMESTEPS)
        torch.testing.assert_close(losses, snr.clamp(max=gamma) * 0.01, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_a_zero_signal_to_noise_ratio_gives_a_finite_loss(kind: str) -> None:
    latents, noise = latents_and_noise()

    losses = objective(kind, gamma=5.0, zero_snr=True).losses(latents, latents, noise, TIMESTEPS)

    assert torch.isfinite(losses).all()


def test_an_unknown_prediction_type_is_refused_in_words() -> None:
    with pytest.raises(ModelIncompatibleError, match="predicts 'flow'; only epsilon, v_prediction, sample"):
        objective("flow")
