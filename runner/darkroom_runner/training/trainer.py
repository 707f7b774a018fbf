"""The training loop: forward pass, loss, gradients, optimizer step.

The random numbers of a step depend only on the seed and the step's number: a training resumed from a checkpoint takes
exactly the steps that it would have taken without the interruption.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from darkroom_contract.specs.training import Training
from darkroom_runner.errors import TrainingDivergedError
from darkroom_runner.models.device import Device, generator
from darkroom_runner.training.batches import Batch, Concept, make_batch
from darkroom_runner.training.diffusion_loss import DiffusionLoss
from darkroom_runner.training.prompt_embeddings import PromptEncoder
from darkroom_runner.training.state import TrainingState


@dataclass(frozen=True)
class Trainer:
    """The models, loss and settings of a training."""

    unet: Any
    encode_prompts: PromptEncoder
    diffusion_loss: DiffusionLoss
    training: Training
    device: Device

    def train(
        self, concepts: list[Concept], state: TrainingState, steps: int, on_step: Callable[[float, float], None]
    ) -> None:
        """Train from `state` until `steps` optimizer steps are done. `on_step` gets each step's loss and learning rate.

        Raises `TrainingDivergedError` if the loss becomes NaN or infinite.
        """
        schedule = state.learning_rates(self.training, steps)
        while state.step < steps:
            learning_rate = schedule.get_last_lr()[0]
            loss = self._step(concepts, state)
            state.losses.append(loss)
            schedule.step()
            on_step(loss, learning_rate)

    def _step(self, concepts: list[Concept], state: TrainingState) -> float:
        """One optimizer step; returns the mean loss over the accumulated batches."""
        training, step = self.training, state.step
        passes = training.gradient_accumulation_steps
        rng = generator(training.seed, step)
        total = 0.0
        for number in range(step * passes, (step + 1) * passes):
            batch = make_batch(concepts, training, number, rng)
            loss = self.loss(batch, rng) / passes
            loss.backward()
            total += loss.item()
        if not math.isfinite(total):
            raise TrainingDivergedError(
                f"Training diverged: the loss became {total} at step {step + 1}. Lower training.learningRate (now "
                f"{self.training.peak_learning_rate:g}), or add training.warmupSteps."
            )
        if self.training.max_grad_norm > 0:
            torch.nn.utils.clip_grad_norm_(list(state.parameters.values()), self.training.max_grad_norm)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        return total

    def loss(self, batch: Batch, rng: torch.Generator) -> torch.Tensor:
        """Denoise one batch at random timesteps; returns the weighted loss, a scalar."""
        torch_device, dtype = self.device.torch_device, self.device.training_dtype
        latents = batch.latents.to(torch_device)
        noise = torch.randn(latents.shape, generator=rng).to(torch_device)
        timestep_count = self.diffusion_loss.noise_scheduler.config.num_train_timesteps
        timesteps = torch.randint(timestep_count, (len(latents),), generator=rng).to(torch_device)
        noisy = self.diffusion_loss.add_noise(latents, noise, timesteps)
        with self.device.autocast():
            prompts = self.encode_prompts(batch.prompts)
            pooled = prompts.pooled_prompt_embeds.to(dtype)
            prediction = self.unet(
                noisy.to(dtype),
                timesteps,
                encoder_hidden_states=prompts.prompt_embeds.to(dtype),
                added_cond_kwargs={"text_embeds": pooled, "time_ids": batch.time_ids.to(torch_device)},
                return_dict=False,
            )[0]
        losses = self.diffusion_loss.losses(prediction, latents, noise, timesteps)
        return (losses * batch.weights.to(torch_device)).sum()

    @torch.no_grad()
    def held_out_loss(self, concepts: list[Concept], seed: int) -> float:
        """The mean loss on photos that are not trained on.

        Always of the same noise and the same spread of timesteps, so that values of different steps can be compared.
        """
        texts = {"batch_size": 1, "caption_dropout": 0.0, "shuffle_tags": False}
        training = self.training.model_copy(update=texts)
        total, passes = 0.0, sum(len(concept.images) for concept in concepts)
        for number in range(passes):
            rng = generator(seed, number)
            total += self.loss(make_batch(concepts, training, number, rng), rng).item()
        return total / passes
