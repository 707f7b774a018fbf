"""The training steps: batches, gradients, optimizer. All randomness comes from one generator."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.optimization import get_scheduler

from darkroom_contract.specs import Training
from darkroom_runner.device import Device, generator
from darkroom_runner.errors import TrainingDivergedError
from darkroom_runner.training.encodings import Encoding
from darkroom_runner.training.objective import Objective
from darkroom_runner.training.prompts import Prompts

_WEIGHT_DECAY = 1e-4
"""As diffusers' script has it for LoRA."""


@dataclass(frozen=True)
class Subject:
    """Pictures and the prompt that they illustrate."""

    prompt: str
    photos: list[list[Encoding]]
    """By photo, its encodings."""
    weight: float = 1.0


@dataclass(frozen=True)
class Batch:
    """One forward pass."""

    latents: torch.Tensor
    """[b, 4, h, w], float32."""
    time_ids: torch.Tensor
    """[b, 6]"""
    prompts: list[str]
    weights: torch.Tensor
    """[b]: each sample's share in the loss; the shares of a subject sum to its weight."""


def batches(subjects: list[Subject], size: int, rng: torch.Generator) -> Iterator[Batch]:
    """Endlessly, `size` pictures of each subject; every photo is seen once before any is seen again."""
    orders = [_shuffled(len(subject.photos), rng) for subject in subjects]
    while True:
        picked = [
            (subject, _variant(subject.photos[next(order)], rng))
            for subject, order in zip(subjects, orders, strict=True)
            for _ in range(size)
        ]
        yield Batch(
            latents=torch.stack([encoding.sample(rng) for _, encoding in picked]),
            time_ids=torch.stack([encoding.time_ids for _, encoding in picked]),
            prompts=[subject.prompt for subject, _ in picked],
            weights=torch.tensor([subject.weight / size for subject, _ in picked]),
        )


def _shuffled(count: int, rng: torch.Generator) -> Iterator[int]:
    while True:
        yield from torch.randperm(count, generator=rng).tolist()


def _variant(encodings: list[Encoding], rng: torch.Generator) -> Encoding:
    return encodings[int(torch.randint(len(encodings), (1,), generator=rng))]


@dataclass(frozen=True)
class Learner:
    """Everything that takes part in a training step."""

    unet: Any
    prompts: Prompts
    objective: Objective
    parameters: list[torch.nn.Parameter]
    training: Training
    device: Device

    def train(self, subjects: list[Subject], steps: int, on_step: Callable[[int, float, float], None]) -> list[float]:
        """Take `steps` optimizer steps; the loss of each. `on_step` gets step, loss and learning rate.

        Raises `TrainingDivergedError` when a loss is no number.
        """
        rng = generator(self.training.seed)
        optimizer = torch.optim.AdamW(self.parameters, lr=self.training.learning_rate, weight_decay=_WEIGHT_DECAY)
        schedule = _learning_rates(self.training, optimizer, steps)
        stream = batches(subjects, self.training.batch_size, rng)
        losses = []
        for step in range(1, steps + 1):
            rate = schedule.get_last_lr()[0]
            losses.append(self._step(stream, optimizer, rng, step))
            schedule.step()
            on_step(step, losses[-1], rate)
        return losses

    def _step(
        self, stream: Iterator[Batch], optimizer: torch.optim.Optimizer, rng: torch.Generator, step: int
    ) -> float:
        """One optimizer step: the mean loss over the accumulated batches."""
        passes = self.training.gradient_accumulation_steps
        total = 0.0
        for _ in range(passes):
            loss = self._loss(next(stream), rng) / passes
            loss.backward()
            total += loss.item()
        if not math.isfinite(total):
            raise TrainingDivergedError(
                f"The loss is {total} after {step} steps. Lower training.learningRate (now "
                f"{self.training.learning_rate:g}), or add training.warmupSteps."
            )
        if self.training.max_grad_norm > 0:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.training.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return total

    def _loss(self, batch: Batch, rng: torch.Generator) -> torch.Tensor:
        """Denoise one batch; a scalar."""
        place, dtype = self.device.place, self.unet.dtype
        latents = batch.latents.to(place)
        noise = torch.randn(latents.shape, generator=rng).to(place)
        last = self.objective.schedule.config.num_train_timesteps
        timesteps = torch.randint(last, (len(latents),), generator=rng).to(place)
        noisy = self.objective.add_noise(latents, noise, timesteps)
        with self.device.autocast():
            embeddings, pooled = self._condition(batch.prompts)
            prediction = self.unet(
                noisy.to(dtype),
                timesteps,
                encoder_hidden_states=embeddings.to(dtype),
                added_cond_kwargs={"text_embeds": pooled.to(dtype), "time_ids": batch.time_ids.to(place)},
                return_dict=False,
            )[0]
        losses = self.objective.losses(prediction, latents, noise, timesteps)
        return (losses * batch.weights.to(place)).sum()

    def _condition(self, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """[b, tokens, width] and [b, pooled width]; each prompt is asked for once."""
        known = {prompt: self.prompts(prompt) for prompt in dict.fromkeys(prompts)}
        return (
            torch.cat([known[prompt].embeddings for prompt in prompts]),
            torch.cat([known[prompt].pooled for prompt in prompts]),
        )


def _learning_rates(training: Training, optimizer: torch.optim.Optimizer, steps: int) -> Any:
    """diffusers' schedules; its `constant` would ignore the warm-up."""
    name = training.learning_rate_schedule.value
    if name == "constant" and training.warmup_steps > 0:
        name = "constant_with_warmup"
    return get_scheduler(name, optimizer, num_warmup_steps=training.warmup_steps, num_training_steps=steps)
