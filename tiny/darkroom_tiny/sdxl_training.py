"""Trains the small SDXL: a U-Net and two text encoders, on cached latents.

v-prediction (arXiv 2202.00512) with SDXL's noise schedule; the saved weights are an exponential moving average.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, EulerDiscreteScheduler, StableDiffusionXLPipeline
from diffusers.training_utils import EMAModel
from torch import Tensor
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from darkroom_tiny import networks
from darkroom_tiny.captions import caption
from darkroom_tiny.draw import LOW_VARIETY, Scene, draw, half_low_contrast_scenes, training_scenes
from darkroom_tiny.steps import Report, learning_rate_factor, run_steps
from darkroom_tiny.tokenizer import build_tokenizer

UNCONDITIONAL_FRACTION = 0.1
SIZES_PX = (64, 128, 192, 256, 512, 1024)
TIMESTEP_POWER = 1.5
"""Above 1, more steps use high noise levels, which decide the content of a picture."""


@dataclass(frozen=True)
class Settings:
    """First pictures of low variety; then, while the learning rate decays, half of them with low contrast."""

    plain_pictures: int = 10_000
    plain_steps: int = 5_400
    low_contrast_pictures: int = 6_000
    low_contrast_steps: int = 1_800
    batch_size: int = 32
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    ema_decay: float = 0.998
    seed: int = 1

    @property
    def steps(self) -> int:
        return self.plain_steps + self.low_contrast_steps


@dataclass(frozen=True)
class Latents:
    """Latent distributions of the pictures, float16 [pictures, 4, 16, 16], and captions of each."""

    mean: Tensor
    deviation: Tensor
    captions: list[list[str]]

    def sample(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """[rows, 4, 16, 16], not yet scaled."""
        mean, deviation = self.mean[rows].float(), self.deviation[rows].float()
        return mean + deviation * torch.randn(mean.shape, generator=generator)


def noise_schedule() -> dict[str, object]:
    """The noise schedule of SDXL (its `scheduler_config.json`), with v-prediction."""
    return {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000,
        "prediction_type": "v_prediction",
        "timestep_spacing": "trailing",
    }


def encode(vae: AutoencoderKL, scenes: Iterator[Scene], count: int, seed: int, report: Report) -> Latents:
    """Draw pictures with four captions each, and encode them."""
    rng = random.Random(seed)
    means, deviations = [], []
    captions: list[list[str]] = []
    while len(captions) < count:
        batch = list(islice(scenes, 64))
        pixels = torch.from_numpy(np.stack([np.asarray(draw(scene)) for scene in batch])).permute(0, 3, 1, 2)
        with torch.no_grad():
            posterior = vae.encode(pixels.float() / 127.5 - 1).latent_dist
        means.append(posterior.mean.half())
        deviations.append(posterior.std.half())
        captions += [[caption(scene, rng) for _ in range(4)] for scene in batch]
    report(f"{len(captions)} pictures encoded")
    return Latents(torch.cat(means), torch.cat(deviations), captions)


class Trainer:
    """The networks, their optimizer, and the training step."""

    def __init__(self, latents: Latents, settings: Settings) -> None:
        torch.manual_seed(settings.seed)
        self.latents, self.settings = latents, settings
        self.rng, self.generator = random.Random(settings.seed), torch.Generator().manual_seed(settings.seed)
        self.tokenizer = build_tokenizer()
        self.unet = networks.build_unet()
        self.text_encoders = torch.nn.ModuleList(networks.build_text_encoders(self.tokenizer))
        self.noise = DDPMScheduler(**noise_schedule())
        self.scale = 1 / latents.mean.float().std().item()
        self.parameters = [*self.unet.parameters(), *self.text_encoders.parameters()]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )
        self.learning_rates = LambdaLR(
            self.optimizer, lambda done: learning_rate_factor(done, settings.steps, settings.warmup_steps)
        )
        self.average = EMAModel(self.parameters, decay=settings.ema_decay)

    def step(self) -> float:
        """Run one step; returns the loss before it."""
        rows = torch.randint(0, len(self.latents.captions), (self.settings.batch_size,), generator=self.generator)
        clean = self.latents.sample(rows, self.generator) * self.scale
        noise = torch.randn(clean.shape, generator=self.generator)
        timesteps = self._timesteps(len(rows))
        text, pooled = self.embed([self.rng.choice(self.latents.captions[row]) for row in rows.tolist()])
        kept = (torch.rand(len(rows), generator=self.generator) >= UNCONDITIONAL_FRACTION).float()
        predicted = self.unet(
            self.noise.add_noise(clean, noise, timesteps),
            timesteps,
            encoder_hidden_states=text * kept[:, None, None],
            added_cond_kwargs={"text_embeds": pooled * kept[:, None], "time_ids": self._time_ids(len(rows))},
        ).sample
        loss = functional.mse_loss(predicted, self.noise.get_velocity(clean, noise, timesteps))
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.learning_rates.step()
        self.average.step(self.parameters)
        return loss.item()

    def embed(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """[prompts, 32, 128] and [prompts, 64]: both encoders' second last layer; the second's pooled output."""
        tokens = self.tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        outputs = [encoder(tokens, output_hidden_states=True) for encoder in self.text_encoders]
        return torch.cat([output.hidden_states[-2] for output in outputs], dim=-1), outputs[1].text_embeds

    def _timesteps(self, count: int) -> Tensor:
        """[count], 0 to 999."""
        last = self.noise.config.num_train_timesteps - 1
        chances = torch.rand(count, generator=self.generator)
        return (last * (1 - chances**TIMESTEP_POWER)).round().long()

    def _time_ids(self, count: int) -> Tensor:
        """[count, 6]. Mostly the actual size; others are mixed in so that the model learns them."""
        sides = [networks.SIDE_PX if self.rng.random() < 0.7 else self.rng.choice(SIZES_PX) for _ in range(count)]
        return torch.tensor([[side, side, 0, 0, side, side] for side in sides], dtype=torch.float32)

    def pipeline(self, vae: AutoencoderKL) -> StableDiffusionXLPipeline:
        """The pipeline with the averaged weights; training can't continue afterwards."""
        self.average.copy_to(self.parameters)
        vae.register_to_config(scaling_factor=self.scale)
        first, second = self.text_encoders
        return StableDiffusionXLPipeline(
            vae=vae.eval(),
            unet=self.unet.eval(),
            text_encoder=first.eval(),
            text_encoder_2=second.eval(),
            tokenizer=self.tokenizer,
            tokenizer_2=build_tokenizer(),
            scheduler=EulerDiscreteScheduler(**noise_schedule()),
            add_watermarker=False,
        )


def train_sdxl(vae: AutoencoderKL, target: Path, settings: Settings, report: Report = print) -> None:
    """Train, and write the pipeline to `target` in float32."""
    seed = settings.seed
    plain = encode(vae, training_scenes(seed, LOW_VARIETY), settings.plain_pictures, seed, report)
    low_contrast = encode(vae, half_low_contrast_scenes(seed + 1), settings.low_contrast_pictures, seed + 1, report)
    trainer = Trainer(plain, settings)
    run_steps(trainer.step, settings.plain_steps, report)
    trainer.latents = low_contrast
    run_steps(trainer.step, settings.low_contrast_steps, report)
    trainer.pipeline(vae).save_pretrained(target)
