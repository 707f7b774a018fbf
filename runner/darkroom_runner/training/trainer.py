"""The training loop: forward pass, loss, gradients, optimizer step.

The random numbers of a step depend only on the seed and the step's number: a training resumed from a checkpoint takes
exactly the steps that it would have taken without the interruption.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from darkroom_contract.specs.training import Training
from darkroom_runner.errors import TrainingDivergedError, is_out_of_memory
from darkroom_runner.models.device import Device, free_memory, generator
from darkroom_runner.training.batches import Batch, Concept, evaluation_batches, make_batch
from darkroom_runner.training.diffusion_loss import DiffusionLoss
from darkroom_runner.training.fused.layers import TEXT_INDEX
from darkroom_runner.training.optimizers import learning_rate
from darkroom_runner.training.prompt_embeddings import PromptEncoder
from darkroom_runner.training.state import TrainingState

_DROPOUT = -2
"""Purpose of the random numbers for LoRA dropout; a step's others have the step as their purpose."""

_EVALUATED_TIMESTEPS = 4
"""Timesteps at which the held-out loss of a photo is measured."""


@dataclass(frozen=True)
class Trainer:
    """The models, loss and settings of a training."""

    unet: Any
    encode_prompts: PromptEncoder
    diffusion_loss: DiffusionLoss
    training: Training
    device: Device
    save_memory: Callable[[], bool] = lambda: False
    """Called when a step runs out of memory: lets the next one take less. Returns False if it can't."""
    takes_text_index: bool = False
    """Whether the U-Net takes distinct texts with a `TEXT_INDEX`; see `fused.layers`."""

    def train(
        self, concepts: list[Concept], state: TrainingState, steps: int, on_step: Callable[[float, float], None]
    ) -> None:
        """Train from `state` until `steps` optimizer steps are done. `on_step` gets each step's loss and learning rate.

        Raises `TrainingDivergedError` if the loss becomes NaN or infinite.
        """
        schedules = state.learning_rates(steps)
        while state.step < steps:
            rate = learning_rate(state.optimizers[0])
            loss = self._step(concepts, state)
            state.losses.append(loss)
            for schedule in schedules:
                schedule.step()
            on_step(loss, rate)

    def _step(self, concepts: list[Concept], state: TrainingState) -> float:
        """One optimizer step; returns the mean loss over the accumulated batches."""
        training = self.training
        total = self._add_gradients_in_memory(concepts, state)
        if not math.isfinite(total):
            raise TrainingDivergedError(
                f"Training diverged: the loss became {total} at step {state.step + 1}. Lower training.learningRate "
                f"(now {training.peak_learning_rate:g}), or add training.warmupSteps."
            )
        if training.max_grad_norm > 0:
            _clip([each.grad for each in state.parameters.values() if each.grad is not None], training.max_grad_norm)
        state.take_step()
        return total

    def _add_gradients_in_memory(self, concepts: list[Concept], state: TrainingState) -> float:
        """`_add_gradients`; once more with less memory if it ran out. Both have the same random numbers."""
        try:
            return self._add_gradients(concepts, state.step)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or not self.save_memory():
                raise
        # Outside of the handler, which keeps the tensors of the first attempt.
        for parameter in state.parameters.values():
            parameter.grad = None
        free_memory()
        return self._add_gradients(concepts, state.step)

    def _add_gradients(self, concepts: list[Concept], step: int) -> float:
        """Forward and backward passes of all batches of a step; returns their mean loss."""
        training, passes = self.training, self.training.gradient_accumulation_steps
        rng = generator(training.seed, step)
        if training.lora_dropout:
            # Dropout uses torch's global generator, whose state no checkpoint has.
            torch.manual_seed(generator(training.seed, _DROPOUT, step).initial_seed())
        total = 0.0
        for number in range(step * passes, (step + 1) * passes):
            loss = self.loss(make_batch(concepts, training, number, rng), rng) / passes
            loss.backward()
            total += loss.item()
        return total

    def loss(self, batch: Batch, rng: torch.Generator, timesteps: torch.Tensor | None = None) -> torch.Tensor:
        """Denoise one batch at `timesteps` [b], random ones by default; returns the weighted loss, a scalar."""
        torch_device, dtype = self.device.torch_device, self.device.training_dtype
        latents = batch.latents.to(torch_device)
        noise = torch.randn(latents.shape, generator=rng)
        if timesteps is None:
            timesteps = torch.randint(self._timestep_count, (len(latents),), generator=rng)
        if self.training.noise_offset:
            noise += self.training.noise_offset * torch.randn((*latents.shape[:2], 1, 1), generator=rng)
        noise, timesteps = noise.to(torch_device), timesteps.to(torch_device)
        noisy = self.diffusion_loss.add_noise(latents, noise, timesteps)
        with self.device.autocast():
            prediction = self._predict(noisy.to(dtype), timesteps, batch)
        masks = None if batch.masks is None else batch.masks.to(torch_device)
        losses = self.diffusion_loss.losses(prediction, latents, noise, timesteps, masks)
        return (losses * batch.weights.to(torch_device)).sum()

    def _predict(self, noisy: torch.Tensor, timesteps: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The U-Net's prediction [b, 4, h, w] for the noisy latents of a batch."""
        texts, dtype = self.encode_prompts(batch.prompts), self.device.training_dtype
        each = texts.expanded()
        prediction: torch.Tensor = self.unet(
            noisy,
            timesteps,
            encoder_hidden_states=(texts.embeddings if self.takes_text_index else each).prompt_embeds.to(dtype),
            cross_attention_kwargs={TEXT_INDEX: texts.index} if self.takes_text_index else None,
            added_cond_kwargs={
                "text_embeds": each.pooled_prompt_embeds.to(dtype),
                "time_ids": batch.time_ids.to(self.device.torch_device),
            },
            return_dict=False,
        )[0]
        return prediction

    @torch.no_grad()
    def held_out_loss(self, concepts: list[Concept], seed: int, on_batch: Callable[[], None] = lambda: None) -> float:
        """The mean loss on photos that are not trained on. `on_batch` is called before each forward pass.

        Always of the same noise and the same spread of timesteps, so that values of different steps can be compared.
        """
        plain = replace(self, training=self.training.model_copy(update={"noise_offset": 0.0}))
        total, count, images = 0.0, 0, sum(len(each.images) for each in concepts)
        for turn in range(_EVALUATED_TIMESTEPS):
            rng = generator(seed, turn)
            for batch in evaluation_batches(concepts, self.training.batch_size, rng):
                on_batch()
                size = len(batch.latents)
                positions = turn + (torch.arange(size) + count % images + 0.5) / images
                timesteps = (positions / _EVALUATED_TIMESTEPS * self._timestep_count).long()
                total, count = total + size * plain.loss(batch, rng, timesteps).item(), count + size
        return total / count

    @property
    def _timestep_count(self) -> int:
        return int(self.diffusion_loss.noise_scheduler.config.num_train_timesteps)


def _clip(gradients: list[torch.Tensor], max_norm: float) -> None:
    """As `clip_grad_norm_`, which multiplies all gradients even where the factor is 1."""
    if all(each.device.type == "cpu" for each in gradients):
        # In one tensor: a norm for each of hundreds of small ones takes longer.
        norm = torch.linalg.vector_norm(torch._utils._flatten_dense_tensors(gradients))
    else:
        norm = torch.nn.utils.get_total_norm(gradients)
    if not norm <= max_norm:
        torch._foreach_mul_(gradients, max_norm / (norm + 1e-6))
