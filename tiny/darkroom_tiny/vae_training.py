"""Trains the small models' VAE: 128 px pictures to 16×16 latents of 4 channels and back.

Two thirds of the steps see pictures at half size, where a step costs a quarter: convolutions do not mind the size.
The loss adds edges, which a blurred reconstruction loses first, and large areas, whose colour a prompt asks for.
"""

import math
import random
import time
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from darkroom_tiny import networks
from darkroom_tiny.draw import draw, random_scene, training_scenes
from darkroom_tiny.steps import Report


@dataclass(frozen=True)
class Settings:
    pictures: int = 6_000
    steps: int = 2_900
    half_size_part: float = 0.66
    half_size_batch: int = 16
    full_size_batch: int = 6
    learning_rate: float = 3e-3
    warmup_steps: int = 50
    seed: int = 0


def train_vae(settings: Settings, report: Report = print) -> AutoencoderKL:
    """A trained VAE, its latents not yet scaled."""
    torch.manual_seed(settings.seed)
    pictures = _pictures(settings)
    vae = networks.build_vae().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=settings.learning_rate, weight_decay=0, betas=(0.9, 0.99))
    generator = torch.Generator().manual_seed(settings.seed)
    started = time.monotonic()
    for step in range(settings.steps):
        part = step / settings.steps
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(step, settings)
        loss = _loss(vae, _batch(pictures, part, settings, generator), part)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 99:
            report(f"step {step + 1}/{settings.steps}, loss {loss.item():.4f}, {time.monotonic() - started:.0f} s")
    report(f"PSNR {psnr(vae, pictures[:64]):.1f} dB")
    return vae.to(memory_format=torch.contiguous_format)


def psnr(vae: AutoencoderKL, pictures: Tensor) -> float:
    """Of pictures [n, 3, side, side] uint8 through the VAE and back, in dB."""
    pixels = pictures.float() / 127.5 - 1
    with torch.no_grad():
        back = vae.decode(vae.encode(pixels).latent_dist.mean).sample.clamp(-1, 1)
    return 10 * math.log10(4 / functional.mse_loss(back, pixels).item())


def _pictures(settings: Settings) -> Tensor:
    """[pictures, 3, 128, 128] uint8; every twentieth of any kind: colours and edges are all that counts here."""
    rng = random.Random(settings.seed)
    usual = list(islice(training_scenes(settings.seed), settings.pictures))
    scenes = [random_scene(rng) if number % 20 == 0 else scene for number, scene in enumerate(usual)]
    return torch.from_numpy(np.stack([np.asarray(draw(scene)) for scene in scenes])).permute(0, 3, 1, 2)


def _learning_rate(step: int, settings: Settings) -> float:
    fall = 0.5 * (1 + math.cos(math.pi * step / settings.steps)) + 0.005
    return settings.learning_rate * min(1.0, (step + 1) / settings.warmup_steps) * fall


def _batch(pictures: Tensor, part: float, settings: Settings, generator: torch.Generator) -> Tensor:
    is_half = part < settings.half_size_part
    count = settings.half_size_batch if is_half else settings.full_size_batch
    pixels = pictures[torch.randint(0, len(pictures), (count,), generator=generator)].float() / 127.5 - 1
    return (functional.avg_pool2d(pixels, 2) if is_half else pixels).contiguous(memory_format=torch.channels_last)


def _loss(vae: AutoencoderKL, pixels: Tensor, part: float) -> Tensor:
    """At first a little noise instead of the posterior's own, until the means have settled."""
    posterior = vae.encode(pixels).latent_dist
    early = part < 0.3
    latents = posterior.mean + 0.05 * torch.randn_like(posterior.mean) if early else posterior.sample()
    back = vae.decode(latents).sample
    loss = functional.l1_loss(back, pixels) + functional.mse_loss(back, pixels)
    loss = loss + functional.mse_loss(functional.avg_pool2d(back, 8), functional.avg_pool2d(pixels, 8))
    if part > 0.2:
        loss = loss + sum(
            functional.l1_loss(ours, true) for ours, true in zip(_edges(back), _edges(pixels), strict=True)
        )
    return loss + 1e-6 * posterior.kl().mean() / 16


def _edges(pixels: Tensor) -> tuple[Tensor, Tensor]:
    return pixels[..., 1:, :] - pixels[..., :-1, :], pixels[..., :, 1:] - pixels[..., :, :-1]
