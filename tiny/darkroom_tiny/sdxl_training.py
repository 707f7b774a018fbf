"""Trains the small SDXL: a U-Net and its two text encoders, on latents that are computed once.

v-prediction (arXiv 2202.00512) with SDXL's noise schedule; the weights that are kept are a moving average.
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
from darkroom_tiny.draw import CALM, Scene, draw, faint_scenes, training_scenes
from darkroom_tiny.steps import Report, rate_factor, run_steps
from darkroom_tiny.tokenizer import build_tokenizer

UNCONDITIONAL_PART = 0.1
SIZES_PX = (64, 128, 192, 256, 512, 1024)
TIMESTEP_POWER = 1.5
"""Above 1 more steps are spent on much noise, where it is decided what a picture shows."""


@dataclass(frozen=True)
class Settings:
    """Calm pictures first; then, while the learning rate falls, calm ones of which half are faint."""

    calm_pictures: int = 10_000
    calm_steps: int = 5_400
    faint_pictures: int = 6_000
    faint_steps: int = 1_800
    batch_size: int = 32
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    ema_decay: float = 0.998
    seed: int = 1

    @property
    def steps(self) -> int:
        return self.calm_steps + self.faint_steps


@dataclass(frozen=True)
class Latents:
    """What the VAE makes of the pictures, float16 [pictures, 4, 16, 16], and how each may be described."""

    mean: Tensor
    deviation: Tensor
    captions: list[list[str]]

    def sample(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """[rows, 4, 16, 16], not yet scaled."""
        mean, deviation = self.mean[rows].float(), self.deviation[rows].float()
        return mean + deviation * torch.randn(mean.shape, generator=generator)


def schedule() -> dict[str, object]:
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
    """Draws the pictures, describes each in four ways, and encodes them."""
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
    """The networks in training, and one step of it."""

    def __init__(self, latents: Latents, settings: Settings) -> None:
        torch.manual_seed(settings.seed)
        self.latents, self.settings = latents, settings
        self.rng, self.generator = random.Random(settings.seed), torch.Generator().manual_seed(settings.seed)
        self.tokenizer = build_tokenizer()
        self.unet = networks.build_unet()
        self.text_encoders = torch.nn.ModuleList(networks.build_text_encoders(self.tokenizer))
        self.noise = DDPMScheduler(**schedule())
        self.scale = 1 / latents.mean.float().std().item()
        self.parameters = [*self.unet.parameters(), *self.text_encoders.parameters()]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )
        self.learning_rates = LambdaLR(
            self.optimizer, lambda done: rate_factor(done, settings.steps, settings.warmup_steps)
        )
        self.average = EMAModel(self.parameters, decay=settings.ema_decay)

    def step(self) -> float:
        """One step; the loss before it."""
        rows = torch.randint(0, len(self.latents.captions), (self.settings.batch_size,), generator=self.generator)
        clean = self.latents.sample(rows, self.generator) * self.scale
        noise = torch.randn(clean.shape, generator=self.generator)
        timesteps = self._timesteps(len(rows))
        text, pooled = self.embed([self.rng.choice(self.latents.captions[row]) for row in rows.tolist()])
        kept = (torch.rand(len(rows), generator=self.generator) >= UNCONDITIONAL_PART).float()
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
        """[prompts, 32, 128] and [prompts, 64]: both encoders' last layer but one, and the second's pooled output."""
        tokens = self.tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        outputs = [encoder(tokens, output_hidden_states=True) for encoder in self.text_encoders]
        return torch.cat([output.hidden_states[-2] for output in outputs], dim=-1), outputs[1].text_embeds

    def _timesteps(self, count: int) -> Tensor:
        """[count], 0 to 999."""
        last = self.noise.config.num_train_timesteps - 1
        chances = torch.rand(count, generator=self.generator)
        return (last * (1 - chances**TIMESTEP_POWER)).round().long()

    def _time_ids(self, count: int) -> Tensor:
        """[count, 6]. The sizes are mostly the real one; others are mixed in so that they are not unheard of."""
        sides = [networks.SIDE_PX if self.rng.random() < 0.7 else self.rng.choice(SIZES_PX) for _ in range(count)]
        return torch.tensor([[side, side, 0, 0, side, side] for side in sides], dtype=torch.float32)

    def pipeline(self, vae: AutoencoderKL) -> StableDiffusionXLPipeline:
        """The pipeline with the averaged weights; training can't go on afterwards."""
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
            scheduler=EulerDiscreteScheduler(**schedule()),
            add_watermarker=False,
        )


def train_sdxl(vae: AutoencoderKL, target: Path, settings: Settings, report: Report = print) -> None:
    """Trains and writes the pipeline, in float32, to `target`."""
    seed = settings.seed
    calm = encode(vae, training_scenes(seed, CALM), settings.calm_pictures, seed, report)
    faint = encode(vae, faint_scenes(seed + 1), settings.faint_pictures, seed + 1, report)
    trainer = Trainer(calm, settings)
    run_steps(trainer.step, settings.calm_steps, report)
    trainer.latents = faint
    run_steps(trainer.step, settings.faint_steps, report)
    trainer.pipeline(vae).save_pretrained(target)
