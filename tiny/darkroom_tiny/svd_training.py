"""Trains the small SVD: animates a picture of a shape, which rolls to the right.

SVD's parametrisation (arXiv 2311.15127, appendix D): continuous noise levels, EDM preconditioning, v-prediction.
The motion bucket sets how far the shape rolls.
"""

import random
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableVideoDiffusionPipeline,
    UNetSpatioTemporalConditionModel,
)
from diffusers.training_utils import EMAModel
from torch import Tensor
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from darkroom_tiny import networks
from darkroom_tiny.draw import Scene, draw, training_scenes
from darkroom_tiny.steps import Report, learning_rate_factor, run_steps

DEFAULT_MOTION_BUCKET = 127
LOG_NOISE_MEAN, LOG_NOISE_DEVIATION = 0.7, 1.6
MAX_SIGMA = 80.0
"""First noise level of sampling, as in EDM (arXiv 2206.00364). SVD's 700 is for much larger latents."""


@dataclass(frozen=True)
class Roll:
    """Motion over the whole clip at the default bucket."""

    part: float
    """Distance to the right, as a fraction of the picture's side."""
    degrees: float


@dataclass(frozen=True)
class Phase:
    """A training with its own clips and optimizer, which begins with the averaged weights of the phase before."""

    clips: int = 1_000
    steps: int = 2_000
    batch_size: int = 4
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    ema_decay: float = 0.995
    seed: int = 2
    roll: Roll = Roll(0.13, 20.0)
    unconditional_fraction: float = 0.1
    noise_augmentation: tuple[float, float] = (0.02, 0.02)
    """Least and greatest strength of the noise on the picture."""
    guidance: tuple[float, float] | None = None
    """Guidance scales of the first and the last frame. The guided prediction is then trained as well as the conditional
    one, and the unconditional one only through it."""


@dataclass(frozen=True)
class VideoNetworks:
    """The networks that are trained together."""

    unet: UNetSpatioTemporalConditionModel
    image_encoder: CLIPVisionModelWithProjection


CALM = Phase(
    clips=400,
    steps=900,
    learning_rate=5e-4,
    warmup_steps=30,
    seed=3,
    roll=Roll(0.08, 6.0),
    unconditional_fraction=0.2,
    noise_augmentation=(0.0, 0.05),
)
"""After the first phase, subjects dissolved towards the end of a clip: at its fast motion the frames stay uncertain.

The unconditional prediction is trained twice as often, because guidance multiplies its error.
"""
GUIDED = replace(
    CALM, steps=400, batch_size=2, learning_rate=2e-4, seed=4, unconditional_fraction=0.0, guidance=(1.0, 3.0)
)
"""Guidance drew halos around the subject in the last frames, where its scale is greatest: a network this small learns
the conditional and the unconditional prediction too differently. This phase trains what sampling computes from both."""
# Slightly stronger than in use, so that its own scale is on the safe side.
STRONGLY_GUIDED = replace(GUIDED, steps=600, learning_rate=2.5e-4, seed=6, guidance=(1.0, 3.5))
PHASES = (
    Phase(),
    CALM,
    GUIDED,
    replace(GUIDED, steps=350, learning_rate=1.2e-4, seed=5),
    STRONGLY_GUIDED,
    replace(STRONGLY_GUIDED, clips=800, steps=450, learning_rate=1.2e-4, seed=7),
)


@dataclass(frozen=True)
class Clips:
    """Pictures uint8 [clips, 3, 128, 128]; unscaled latents of the noisy pictures and of the frames; conditioning."""

    pictures: Tensor
    picture_latents: Tensor
    frame_latents: Tensor
    buckets: Tensor
    noise_strengths: Tensor


def clip_of(scene: Scene, bucket: int, roll: Roll) -> list[Scene]:
    """The scenes of the frames; the first is that of the picture."""
    amount = bucket / DEFAULT_MOTION_BUCKET / (networks.FRAMES - 1)
    x, y = scene.centre
    return [
        replace(
            scene,
            centre=(x + roll.part * amount * k, y),
            turn_degrees=scene.turn_degrees + roll.degrees * amount * k,
        )
        for k in range(networks.FRAMES)
    ]


def encode(vae: AutoencoderKL, phase: Phase, report: Report) -> Clips:
    rng, generator = random.Random(phase.seed), torch.Generator().manual_seed(phase.seed)
    pictures, conditions, frames, buckets, strengths = [], [], [], [], []
    for scene in islice(training_scenes(phase.seed), phase.clips):
        bucket, strength = rng.randint(0, 255), rng.uniform(*phase.noise_augmentation)
        shots = np.stack([np.asarray(draw(each)) for each in clip_of(scene, bucket, phase.roll)])
        pixels = torch.from_numpy(shots).permute(0, 3, 1, 2)
        clean = pixels.float() / 127.5 - 1
        noisy = clean[:1] + strength * torch.randn(clean[:1].shape, generator=generator)
        with torch.no_grad():
            latents = vae.encode(torch.cat([clean, noisy])).latent_dist.mean.half()
        pictures.append(pixels[0])
        frames.append(latents[:-1])
        conditions.append(latents[-1])
        buckets.append(bucket)
        strengths.append(strength)
    report(f"{len(frames)} clips encoded")
    return Clips(
        torch.stack(pictures), torch.stack(conditions), torch.stack(frames), *map(torch.tensor, (buckets, strengths))
    )


class Trainer:
    """The networks, their optimizer, and the training step."""

    def __init__(self, video: VideoNetworks, clips: Clips, scale: float, phase: Phase) -> None:
        self.clips, self.scale, self.phase = clips, scale, phase
        self.generator = torch.Generator().manual_seed(phase.seed)
        self.unet, self.image_encoder = video.unet.train(), video.image_encoder.train()
        self.image_processor = CLIPImageProcessor()
        self.parameters = [*self.unet.parameters(), *self.image_encoder.parameters()]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=phase.learning_rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )
        self.learning_rates = LambdaLR(
            self.optimizer, lambda done: learning_rate_factor(done, phase.steps, phase.warmup_steps)
        )
        self.average = EMAModel(self.parameters, decay=phase.ema_decay)

    def step(self) -> float:
        """Run one step; returns the loss before it. Latents are [batch, frames, 4, 16, 16]."""
        rows = torch.randint(0, len(self.clips.buckets), (self.phase.batch_size,), generator=self.generator)
        clean = self.clips.frame_latents[rows].float() * self.scale
        level = self._normal(len(rows)) * LOG_NOISE_DEVIATION + LOG_NOISE_MEAN
        sigma = level.exp()[:, None, None, None, None]
        noisy = clean + sigma * self._normal(*clean.shape)
        velocity = (noisy / (sigma**2 + 1) - clean) * (sigma**2 + 1).sqrt() / sigma
        kept = (torch.rand(len(rows), generator=self.generator) >= self.phase.unconditional_fraction).float()
        if self.phase.guidance is None:
            loss = functional.mse_loss(self._predict(rows, noisy, level, kept), velocity)
        else:
            loss = self._guided_loss(rows, noisy, level, velocity, self.phase.guidance)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.learning_rates.step()
        self.average.step(self.parameters)
        return loss.item()

    def _predict(self, rows: Tensor, noisy: Tensor, level: Tensor, kept: Tensor) -> Tensor:
        """The velocity; `kept` is 0 for rows without the picture and 1 for the others."""
        condition = self.clips.picture_latents[rows].float() * kept[:, None, None, None]
        sigma = level.exp()[:, None, None, None, None]
        predicted: Tensor = self.unet(
            torch.cat([noisy / (sigma**2 + 1).sqrt(), condition[:, None].expand_as(noisy)], dim=2),
            0.25 * level,
            encoder_hidden_states=self._embed(rows) * kept[:, None, None],
            added_time_ids=self._added_ids(rows),
        ).sample
        return predicted

    def _guided_loss(
        self, rows: Tensor, noisy: Tensor, level: Tensor, velocity: Tensor, guidance: tuple[float, float]
    ) -> Tensor:
        """The mean of the losses of the conditional and of the guided prediction."""
        kept = torch.tensor([1.0, 0.0]).repeat_interleave(len(rows))
        predicted = self._predict(rows.repeat(2), noisy.repeat(2, 1, 1, 1, 1), level.repeat(2), kept)
        conditional, unconditional = predicted.chunk(2)
        scale = torch.linspace(*guidance, networks.FRAMES)[:, None, None, None]
        guided = unconditional + scale * (conditional - unconditional)
        return (functional.mse_loss(conditional, velocity) + functional.mse_loss(guided, velocity)) / 2

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator)

    def _embed(self, rows: Tensor) -> Tensor:
        """[rows, 1, 64], from pictures scaled and normalised as in the pipeline."""
        pixels = self.clips.pictures[rows].float() / 255
        side = networks.IMAGE_ENCODER_SIDE_PX
        pixels = functional.interpolate(pixels, size=(side, side), mode="bilinear", align_corners=False)
        mean, deviation = (
            torch.tensor(values)[:, None, None]
            for values in (self.image_processor.image_mean, self.image_processor.image_std)
        )
        embeddings: Tensor = self.image_encoder((pixels - mean) / deviation).image_embeds
        return embeddings[:, None]

    def _added_ids(self, rows: Tensor) -> Tensor:
        """[rows, 3] with random frame rates: the motion per frame does not depend on them."""
        rates = torch.randint(1, 30, (len(rows),), generator=self.generator)
        return torch.stack([rates.float(), self.clips.buckets[rows].float(), self.clips.noise_strengths[rows]], dim=1)

    def pipeline(self, vae: AutoencoderKL) -> StableVideoDiffusionPipeline:
        """The pipeline with the averaged weights; training can't continue afterwards."""
        self.average.copy_to(self.parameters)
        return StableVideoDiffusionPipeline(
            vae=vae.eval(),
            image_encoder=self.image_encoder.eval(),
            unet=self.unet.eval(),
            scheduler=EulerDiscreteScheduler(
                beta_start=0.00085,
                beta_end=0.012,
                beta_schedule="scaled_linear",
                prediction_type="v_prediction",
                timestep_type="continuous",
                timestep_spacing="leading",
                steps_offset=1,
                use_karras_sigmas=True,
                sigma_min=0.002,
                sigma_max=MAX_SIGMA,
            ),
            feature_extractor=self.image_processor,
        )


def train_svd(vae: AutoencoderKL, target: Path, phases: tuple[Phase, ...] = PHASES, report: Report = print) -> None:
    """Train, and write the pipeline to `target` in float32. The VAE must have its scaling factor."""
    torch.manual_seed(phases[0].seed)
    video = VideoNetworks(networks.build_video_unet(), networks.build_image_encoder())
    for phase in phases:
        trainer = Trainer(video, encode(vae, phase, report), vae.config.scaling_factor, phase)
        run_steps(trainer.step, phase.steps, report)
        pipeline = trainer.pipeline(vae)
    pipeline.save_pretrained(target)
