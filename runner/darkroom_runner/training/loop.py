"""The training steps: batches, gradients, optimizer.

The random numbers of a step follow from the run's seed and the step's number alone: a run that goes on from a saved
state takes the very steps that it would have taken.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from darkroom_contract.specs import Training
from darkroom_runner.device import Device, generator
from darkroom_runner.errors import TrainingDivergedError
from darkroom_runner.training.encodings import Encoding
from darkroom_runner.training.objective import Objective
from darkroom_runner.training.prompts import Prompts
from darkroom_runner.training.state import TrainingState


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
    subjects: torch.Tensor
    """[b]: the place of each sample's subject, and so of its prompt."""
    weights: torch.Tensor
    """[b]: each sample's share in the loss; the shares of a subject sum to its weight."""


def batch_of(subjects: list[Subject], size: int, number: int, seed: int, rng: torch.Generator) -> Batch:
    """Batch `number`, from 0 on: `size` pictures of each subject; every photo is seen once before any is seen again."""
    picked = [
        (which, _variant(subject.photos[_photo(len(subject.photos), number * size + place, seed, which)], rng))
        for which, subject in enumerate(subjects)
        for place in range(size)
    ]
    return Batch(
        latents=torch.stack([encoding.sample(rng) for _, encoding in picked]),
        time_ids=torch.stack([encoding.time_ids for _, encoding in picked]),
        subjects=torch.tensor([which for which, _ in picked]),
        weights=torch.tensor([subjects[which].weight / size for which, _ in picked]),
    )


def _photo(count: int, turn: int, seed: int, which: int) -> int:
    """Whose turn it is, of so many photos of a subject: they are shuffled anew for every round."""
    lap, place = divmod(turn, count)
    return int(torch.randperm(count, generator=generator(seed, which, lap))[place])


def _variant(encodings: list[Encoding], rng: torch.Generator) -> Encoding:
    return encodings[int(torch.randint(len(encodings), (1,), generator=rng))]


@dataclass(frozen=True)
class Learner:
    """Everything that takes part in a training step."""

    unet: Any
    prompts: Prompts
    objective: Objective
    training: Training
    device: Device

    def train(
        self, subjects: list[Subject], state: TrainingState, steps: int, on_step: Callable[[float, float], None]
    ) -> None:
        """Go on from `state` until `steps` optimizer steps are taken. `on_step` gets each one's loss and learning rate.

        Raises `TrainingDivergedError` when a loss is no number.
        """
        schedule = state.learning_rates(self.training, steps)
        while state.step < steps:
            rate = schedule.get_last_lr()[0]
            loss = self._step(subjects, state)
            state.losses.append(loss)
            schedule.step()
            on_step(loss, rate)

    def _step(self, subjects: list[Subject], state: TrainingState) -> float:
        """One optimizer step: the mean loss over the accumulated batches."""
        training, step = self.training, state.step
        passes = training.gradient_accumulation_steps
        rng = generator(training.seed, step)
        total = 0.0
        for number in range(step * passes, (step + 1) * passes):
            batch = batch_of(subjects, training.batch_size, number, training.seed, rng)
            loss = self._loss(batch, rng) / passes
            loss.backward()
            total += loss.item()
        if not math.isfinite(total):
            raise TrainingDivergedError(
                f"The loss is {total} at step {step + 1}. Lower training.learningRate (now "
                f"{self.training.learning_rate:g}), or add training.warmupSteps."
            )
        if self.training.max_grad_norm > 0:
            torch.nn.utils.clip_grad_norm_(list(state.parameters.values()), self.training.max_grad_norm)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        return total

    def _loss(self, batch: Batch, rng: torch.Generator) -> torch.Tensor:
        """Denoise one batch; a scalar."""
        place, dtype = self.device.place, self.device.training_dtype
        latents = batch.latents.to(place)
        noise = torch.randn(latents.shape, generator=rng).to(place)
        last = self.objective.schedule.config.num_train_timesteps
        timesteps = torch.randint(last, (len(latents),), generator=rng).to(place)
        noisy = self.objective.add_noise(latents, noise, timesteps)
        with self.device.autocast():
            known, subjects = self.prompts(), batch.subjects.to(place)
            pooled = known.pooled[subjects].to(dtype)
            prediction = self.unet(
                noisy.to(dtype),
                timesteps,
                encoder_hidden_states=known.embeddings[subjects].to(dtype),
                added_cond_kwargs={"text_embeds": pooled, "time_ids": batch.time_ids.to(place)},
                return_dict=False,
            )[0]
        losses = self.objective.losses(prediction, latents, noise, timesteps)
        return (losses * batch.weights.to(place)).sum()
