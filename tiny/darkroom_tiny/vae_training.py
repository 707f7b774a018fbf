"""Trains the VAE of the small models: 128 px pictures to 16×16 latents with 4 channels.

Most steps use small crops, which cost a sixteenth or a quarter of a whole picture: colours need many steps, and cheap
ones reach them sooner. The last phase uses whole pictures. The loss has a term for large areas, whose colour prompts
name, and, after the first steps, one for edges, which a blurred reconstruction loses first.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from darkroom_tiny import networks
from darkroom_tiny.draw import draw, training_scenes
from darkroom_tiny.steps import Report, learning_rate_factor, run_steps

CELL_PX = networks.SIDE_PX // networks.LATENT_SIDE
FIRST_LOG_VARIANCE = -6.0
"""Initial log variance of the latents: with diffusers' 0 their noise would hide the colours for many steps."""
KL_WEIGHT = 6e-8


@dataclass(frozen=True)
class Phase:
    """A number of steps on crops of one size."""

    side_px: int
    batch_size: int
    steps: int


@dataclass(frozen=True)
class Settings:
    pictures: int = 6_000
    phases: tuple[Phase, ...] = (Phase(32, 16, 4_000), Phase(64, 8, 3_000), Phase(128, 4, 1_000))
    learning_rate: float = 5e-4
    warmup_steps: int = 50
    steps_without_edges: int = 500
    seed: int = 0

    @property
    def steps(self) -> int:
        return sum(phase.steps for phase in self.phases)


class Trainer:
    """The VAE, its optimizer, and the training step."""

    def __init__(self, settings: Settings) -> None:
        torch.manual_seed(settings.seed)
        self.settings = settings
        self.pictures = _pictures(settings)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.vae = networks.build_vae().to(memory_format=torch.channels_last)
        torch.nn.init.constant_(self.vae.quant_conv.bias[networks.LATENT_CHANNELS :], FIRST_LOG_VARIANCE)
        self.optimizer = torch.optim.AdamW(
            self.vae.parameters(), lr=settings.learning_rate, weight_decay=0, betas=(0.9, 0.99), fused=True
        )
        self.learning_rates = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda done: learning_rate_factor(done, settings.steps, settings.warmup_steps)
        )
        self._phases, self._done = self._each_phase(), 0

    def step(self) -> float:
        """Run one step; returns the loss before it."""
        self._done += 1
        loss = _loss(
            self.vae, self._crops(next(self._phases)), with_edges=self._done > self.settings.steps_without_edges
        )
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.vae.parameters(), 1.0)
        self.optimizer.step()
        self.learning_rates.step()
        return loss.item()

    def _each_phase(self) -> Iterator[Phase]:
        """The phase of every step."""
        for phase in self.settings.phases:
            yield from [phase] * phase.steps

    def _crops(self, phase: Phase) -> Tensor:
        """[batch, 3, side, side], from -1 to 1, aligned to the latents' cells."""
        count, side = phase.batch_size, phase.side_px
        rows = torch.randint(0, len(self.pictures), (count,), generator=self.generator).tolist()
        positions = (networks.SIDE_PX - side) // CELL_PX + 1
        corners = CELL_PX * torch.randint(0, positions, (count, 2), generator=self.generator)
        crops = [
            self.pictures[row, :, top : top + side, left : left + side]
            for row, (top, left) in zip(rows, corners.tolist(), strict=True)
        ]
        return (torch.stack(crops).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def train_vae(settings: Settings, report: Report = print) -> AutoencoderKL:
    """A trained VAE, without the scaling factor of its latents."""
    trainer = Trainer(settings)
    run_steps(trainer.step, settings.steps, report)
    report(f"PSNR {psnr(trainer.vae, trainer.pictures[:64]):.1f} dB")
    return trainer.vae.to(memory_format=torch.contiguous_format)


def psnr(vae: AutoencoderKL, pictures: Tensor) -> float:
    """PSNR in dB of pictures [n, 3, side, side] uint8 after encoding and decoding."""
    pixels = pictures.float() / 127.5 - 1
    with torch.no_grad():
        back = vae.decode(vae.encode(pixels).latent_dist.mean).sample.clamp(-1, 1)
    return 10 * math.log10(4 / functional.mse_loss(back, pixels).item())


def _pictures(settings: Settings) -> Tensor:
    """[pictures, 3, 128, 128] uint8."""
    scenes = islice(training_scenes(settings.seed), settings.pictures)
    return torch.from_numpy(np.stack([np.asarray(draw(scene)) for scene in scenes])).permute(0, 3, 1, 2)


def _loss(vae: AutoencoderKL, pixels: Tensor, *, with_edges: bool) -> Tensor:
    posterior = vae.encode(pixels).latent_dist
    back = vae.decode(posterior.sample()).sample
    loss = functional.l1_loss(back, pixels) + functional.mse_loss(back, pixels)
    loss = loss + functional.mse_loss(functional.avg_pool2d(back, CELL_PX), functional.avg_pool2d(pixels, CELL_PX))
    if with_edges:
        loss = loss + sum(
            functional.l1_loss(ours, true) for ours, true in zip(_edges(back), _edges(pixels), strict=True)
        )
    return loss + KL_WEIGHT * posterior.kl().mean()


def _edges(pixels: Tensor) -> tuple[Tensor, Tensor]:
    return pixels[..., 1:, :] - pixels[..., :-1, :], pixels[..., :, 1:] - pixels[..., :, :-1]
