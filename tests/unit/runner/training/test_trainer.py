"""Single options of the training step, by their direction: noise offset, masked loss, dropout, held-out loss."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from darkroom_contract.specs.training import Training
from darkroom_runner.models.device import find_device, generator
from darkroom_runner.sampling.schedulers import training_noise_scheduler
from darkroom_runner.training.batches import Batch, Concept, TrainingImage
from darkroom_runner.training.cached_latents import CachedLatents
from darkroom_runner.training.diffusion_loss import DiffusionLoss
from darkroom_runner.training.prompt_embeddings import FrozenPromptEncoder
from darkroom_runner.training.trainer import Trainer

PROMPT = "a photo of sks dog"


def batch(samples: int, masks: torch.Tensor | None = None) -> Batch:
    rng = generator(0)
    return Batch(
        latents=torch.randn(samples, 4, 8, 8, generator=rng),
        time_ids=torch.tensor([[64.0, 64, 0, 0, 64, 64]] * samples),
        prompts=[PROMPT] * samples,
        weights=torch.full((samples,), 1 / samples),
        masks=masks,
    )


def concept(images: int) -> Concept:
    rng = generator(1)
    ids = torch.tensor([64.0, 64, 0, 0, 64, 64])
    cached = [CachedLatents(torch.randn(4, 8, 8, generator=rng), torch.zeros(4, 8, 8), ids) for _ in range(images)]
    return Concept(PROMPT, [TrainingImage(PROMPT, [each]) for each in cached])


@pytest.fixture
def trainer(sdxl: Any) -> Callable[..., Trainer]:
    def build(**settings: Any) -> Trainer:
        loss = DiffusionLoss(training_noise_scheduler(sdxl.scheduler), None)
        encoder = FrozenPromptEncoder(sdxl, find_device(), [PROMPT])
        return Trainer(sdxl.unet, encoder, loss, Training.from_dict(settings), find_device())

    return build


@pytest.fixture
def noise_of(trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch) -> Callable[..., torch.Tensor]:
    """The noise that a step adds to its latents, with some settings: [256, 4, 8, 8]."""

    def find(**settings: Any) -> torch.Tensor:
        added: list[torch.Tensor] = []

        def record(self: DiffusionLoss, latents: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor) -> Any:
            added.append(noise)
            return latents

        monkeypatch.setattr(DiffusionLoss, "add_noise", record)
        with torch.no_grad():
            trainer(**settings).loss(batch(256), generator(3))
        return added[0]

    return find


def test_noise_offset_widens_the_range_of_brightness(noise_of: Callable[..., torch.Tensor]) -> None:
    """A latent channel's mean is the brightness of a picture, or its colour; plain noise hardly changes it."""
    plain, shifted = (noise_of(**given).mean(dim=(2, 3)).std().item() for given in ({}, {"noiseOffset": 0.5}))

    assert plain == pytest.approx(1 / 8, rel=0.1)  # of 64 positions
    assert shifted == pytest.approx((0.5**2 + 1 / 64) ** 0.5, rel=0.1)


def test_noise_offset_leaves_the_noise_within_a_channel_as_it_is(noise_of: Callable[..., torch.Tensor]) -> None:
    plain, shifted = noise_of(), noise_of(noiseOffset=0.5)

    torch.testing.assert_close(
        shifted - shifted.mean(dim=(2, 3), keepdim=True), plain - plain.mean(dim=(2, 3), keepdim=True)
    )


def gradients(masks: torch.Tensor | None) -> torch.Tensor:
    """The loss's gradient with respect to the prediction: [1, 4, 8, 8]."""
    import diffusers

    loss = DiffusionLoss(diffusers.DDPMScheduler(), None)
    prediction = torch.zeros(1, 4, 8, 8, requires_grad=True)
    noise = torch.randn(1, 4, 8, 8, generator=generator(2))
    losses = loss.losses(prediction, torch.zeros_like(noise), noise, torch.tensor([500]), masks)
    losses.sum().backward()
    assert prediction.grad is not None
    return prediction.grad


def half_mask(unmasked_weight: float) -> torch.Tensor:
    """Learns the upper half."""
    mask = torch.ones(1, 1, 8, 8)
    mask[..., 4:, :] = unmasked_weight
    return mask


def test_a_masked_region_has_no_gradient() -> None:
    found = gradients(half_mask(0.0))

    assert (found[..., 4:, :] == 0).all()
    assert (found[..., :4, :] != 0).all()


def test_the_unmasked_weight_is_relative_to_the_inside() -> None:
    plain, found = gradients(None), gradients(half_mask(0.1))

    ratio = found / plain
    torch.testing.assert_close(ratio[..., 4:, :], torch.full((1, 4, 4, 8), 0.1 / 0.55))
    torch.testing.assert_close(ratio[..., :4, :], torch.full((1, 4, 4, 8), 1 / 0.55))


def test_a_mask_of_ones_changes_nothing() -> None:
    torch.testing.assert_close(gradients(torch.ones(1, 1, 8, 8)), gradients(None))


def test_an_empty_mask_gives_no_gradient_and_no_nan() -> None:
    assert (gradients(torch.zeros(1, 1, 8, 8)) == 0).all()


def test_the_held_out_loss_is_the_same_each_time(trainer: Callable[..., Trainer]) -> None:
    one, images = trainer(batchSize=2), [concept(3)]

    losses = [one.held_out_loss(images, 7) for _ in range(2)]

    assert losses[0] == losses[1] > 0
    assert one.held_out_loss(images, 8) != losses[0]


def test_the_held_out_loss_does_not_depend_on_the_noise_offset(trainer: Callable[..., Trainer]) -> None:
    images = [concept(2)]

    assert trainer(noiseOffset=0.9).held_out_loss(images, 7) == trainer().held_out_loss(images, 7)


def test_the_held_out_loss_covers_the_whole_schedule(
    trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    original = DiffusionLoss.add_noise

    def record(self: DiffusionLoss, latents: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor) -> Any:
        seen.extend(steps.tolist())
        return original(self, latents, noise, steps)

    monkeypatch.setattr(DiffusionLoss, "add_noise", record)
    trainer().held_out_loss([concept(5)], 7)

    assert len(seen) == len(set(seen)) == 20
    assert sorted(seen) == [25 + 50 * number for number in range(20)]
