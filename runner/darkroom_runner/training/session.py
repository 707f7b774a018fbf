"""One training from the loaded pipeline to the saved LoRA: the order of the parts, and which models are on the device.

The train task opens it. It alone uses all other modules of this package.
"""

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from darkroom_contract.base_models import UsedModel
from darkroom_contract.plan import VALIDATION_STEPS, class_image_count
from darkroom_contract.progress import Stage
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_runner.lora.adapters import TEXT_ENCODERS, Adapters, add_adapters
from darkroom_runner.lora.diffusers_format import save_lora
from darkroom_runner.lora.kohya_format import save_kohya_lora
from darkroom_runner.models.device import Device, find_device, free_memory
from darkroom_runner.models.pretrained import PretrainedModel, load_pipeline
from darkroom_runner.run.progress import ProgressTracker
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.run.stop_signal import StopSignal
from darkroom_runner.sampling.non_finite import retry_in_float32
from darkroom_runner.sampling.prompt_length import check_training_prompts
from darkroom_runner.sampling.schedulers import training_noise_scheduler
from darkroom_runner.sampling.sdxl import generate_validation_image
from darkroom_runner.training.batches import Concept
from darkroom_runner.training.cached_latents import CachedLatents, encode_photo
from darkroom_runner.training.checkpoints import Checkpoints
from darkroom_runner.training.dataset import Photo
from darkroom_runner.training.diffusion_loss import DiffusionLoss
from darkroom_runner.training.prior_preservation import generate_class_latents
from darkroom_runner.training.prompt_embeddings import FrozenPromptEncoder, PromptEncoder, TrainablePromptEncoder
from darkroom_runner.training.state import TrainingState, UnusableStateError
from darkroom_runner.training.trainer import Trainer

log = logging.getLogger(__name__)

_SMOOTHED_STEPS = 20
"""The final loss is the mean of the last steps: the loss of a single step depends mostly on its timestep."""


@dataclass
class TrainingSession:
    """A base model loaded on a device, and the LoRA trained on it."""

    pipeline: Any
    base_model: UsedModel
    device: Device
    spec: TrainJobSpec
    progress: ProgressTracker
    stop_signal: StopSignal
    checkpoints: Checkpoints | None = None
    """Where the training state is saved; None to save none."""
    adapters: Adapters | None = None
    remarks: Remarks = field(default_factory=Remarks)

    @property
    def side_px(self) -> int:
        """Side of the square crops: the job's resolution, or the base model's own."""
        own = self.pipeline.unet.config.sample_size * self.pipeline.vae_scale_factor
        return self.spec.training.resolution or int(own)

    def train(self, photos: list[Photo]) -> dict[str, float]:
        """Train the adapters; returns the outcome's metrics.

        Raises `ModelIncompatibleError` early, before any expensive work, if the base model can't be trained.
        """
        noise_scheduler = training_noise_scheduler(self.pipeline.scheduler)
        diffusion_loss = DiffusionLoss(noise_scheduler, self.spec.training.min_snr_gamma)
        torch.manual_seed(self.spec.training.seed)
        class_latents = self._generate_class_images()
        concepts = [Concept(self.spec.prompt, self._encode(photos)), *self._class_concept(class_latents)]
        self.adapters = add_adapters(self.pipeline, self.spec.training)
        prompt_encoder = self._prompt_encoder([concept.prompt for concept in concepts])
        self._prepare_device()
        return self._train(self._restore(self.adapters), diffusion_loss, prompt_encoder, concepts)

    def save(self, path: Path, metadata: dict[str, str]) -> None:
        """Write the trained adapters in diffusers' format. Call `train` first."""
        save_lora(self._trained_adapters(), path, metadata)

    def save_kohya(self, path: Path, metadata: dict[str, str], thumbnail: Image.Image | None = None) -> None:
        """Write the trained adapters in Kohya format, for other tools; `thumbnail` shows them. Call `train` first.

        Raises `ModelIncompatibleError` if the base model has modules without a name in that format.
        """
        prediction = self.pipeline.scheduler.config.get("prediction_type")
        save_kohya_lora(
            self._trained_adapters(), path, metadata, self.spec, prediction, thumbnail, side_px=self.side_px
        )

    def generate_validation_image(self, prompt: str) -> Image.Image:
        """Generate one image with the trained LoRA. Raises `NonFiniteOutputError`."""
        self.progress.enter(Stage.DENOISING, VALIDATION_STEPS)
        self.pipeline.to(self.device.torch_device)
        self.pipeline.unet.eval()
        seed = self.spec.training.seed

        def generate() -> Image.Image:
            return generate_validation_image(self.pipeline, prompt, self.side_px, seed, self._on_step)

        return retry_in_float32(self.pipeline, generate, "The validation image", self.remarks, self.device.autocast)

    def _trained_adapters(self) -> Adapters:
        if self.adapters is None:
            raise RuntimeError("call train() first: there are no adapters yet")
        return self.adapters

    def _on_step(self, step: int, total: int) -> None:
        self._on_batch_step(0, 1, step, total)

    def _on_batch_step(self, batch: int, batches: int, step: int, total: int) -> None:
        self.stop_signal.check()
        self.progress.part_step(batch, batches, step, total)

    def _generate_class_images(self) -> list[CachedLatents]:
        prior = self.spec.training.prior_preservation
        if prior is None:
            return []
        self.progress.enter(Stage.DRAWING_CLASS_IMAGES)
        count, seed = class_image_count(self.spec), self.spec.training.seed
        return generate_class_latents(
            self.pipeline, prior.class_prompt, count, self.side_px, seed, self._on_batch_step, self.remarks
        )

    def _encode(self, photos: list[Photo]) -> list[list[CachedLatents]]:
        self.progress.enter(Stage.ENCODING, len(photos))
        encoded = []
        for number, photo in enumerate(photos, start=1):
            self.stop_signal.check()
            encoded.append(encode_photo(self.pipeline.vae, photo, self.side_px, self.spec.training.random_flip))
            self.progress.step(number)
        return encoded

    def _class_concept(self, class_latents: list[CachedLatents]) -> list[Concept]:
        prior = self.spec.training.prior_preservation
        if prior is None:
            return []
        return [Concept(prior.class_prompt, [[each] for each in class_latents], prior.weight)]

    def _prompt_encoder(self, prompts: list[str]) -> PromptEncoder:
        kind = TrainablePromptEncoder if self.spec.training.train_text_encoders else FrozenPromptEncoder
        return kind(self.pipeline, self.device, prompts)

    def _prepare_device(self) -> None:
        """On CUDA, keep only trained models on the device and use gradient checkpointing."""
        self.pipeline.unet.train()
        if not self.device.is_cuda:
            return
        self.pipeline.unet.enable_gradient_checkpointing()
        idle = ["vae"] if self.spec.training.train_text_encoders else ["vae", *TEXT_ENCODERS]
        for name in idle:
            getattr(self.pipeline, name).to("cpu")
        free_memory()

    def _restore(self, adapters: Adapters) -> TrainingState:
        """The state saved by an earlier run of the job, or a fresh one."""
        state = TrainingState.fresh(adapters.parameters, self.spec.training.peak_learning_rate)
        saved = None if self.checkpoints is None else self.checkpoints.fetch(self.base_model)
        if saved is not None:
            try:
                state.read(saved, self.spec.max_steps)
            except UnusableStateError as error:
                log.warning("the checkpoint can't be used, training starts from step 0: %s", error)
        return state

    def _train(
        self,
        state: TrainingState,
        diffusion_loss: DiffusionLoss,
        prompt_encoder: PromptEncoder,
        concepts: list[Concept],
    ) -> dict[str, float]:
        steps, first = self.spec.max_steps, state.step
        self.progress.enter(Stage.TRAINING, steps, first)
        trainer = Trainer(self.pipeline.unet, prompt_encoder, diffusion_loss, self.spec.training, self.device)

        def on_step(loss: float, learning_rate: float) -> None:
            self._save_checkpoint(state)
            self.stop_signal.check()
            self.progress.step(state.step, steps, loss=loss, learningRate=learning_rate)

        started = time.monotonic()
        trainer.train(concepts, state, steps, on_step)
        seconds = time.monotonic() - started
        log.info("trained %d steps in %.1f s", steps - first, seconds)
        recent = state.losses[-_SMOOTHED_STEPS:]
        metrics = {"finalLoss": sum(recent) / len(recent)}
        if first:
            metrics["resumedFromStep"] = first
        return metrics if first == steps else {**metrics, "secondsPerStep": seconds / (steps - first)}

    def _save_checkpoint(self, state: TrainingState) -> None:
        """Save the state every `checkpointSteps` steps, and when a stop was requested."""
        every = self.spec.training.checkpoint_steps
        due = every > 0 and state.step % every == 0 and state.step < self.spec.max_steps
        if self.checkpoints is not None and (due or self.stop_signal.requested):
            self.checkpoints.put(state.step, self.base_model, state.write)


def open_session(
    model: PretrainedModel,
    spec: TrainJobSpec,
    progress: ProgressTracker,
    stop_signal: StopSignal,
    checkpoints: Checkpoints | None = None,
    remarks: Remarks | None = None,
    device: Device | None = None,
) -> TrainingSession:
    """Load a base model for training. `device` defaults to `find_device()`.

    Raises `PromptTooLongError` for a prompt that its text encoders would truncate.
    """
    device = device or find_device()
    # SDXL's VAE overflows in half precision, and its weights must not be rounded to it on loading.
    dtype = {"vae": torch.float32, "default": device.training_dtype}
    pipeline = load_pipeline(model, dtype, device.torch_device)
    check_training_prompts(pipeline, spec)
    used, remarks = model.used(pipeline), remarks or Remarks()
    return TrainingSession(pipeline, used, device, spec, progress, stop_signal, checkpoints, remarks=remarks)
