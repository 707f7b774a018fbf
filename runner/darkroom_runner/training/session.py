"""One training from the loaded pipeline to the saved LoRA: the order of the parts, and which models are on the device.

The train task opens it. It alone uses all other modules of this package.
"""

import logging
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from darkroom_contract.base_models import UsedModel
from darkroom_contract.plan import VALIDATION_STEPS, training_fraction
from darkroom_contract.progress import Stage
from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_runner.lora.adapters import TEXT_ENCODERS, Adapters, add_adapters
from darkroom_runner.lora.diffusers_format import save_lora
from darkroom_runner.lora.initial_lora import load_initial_lora
from darkroom_runner.lora.kohya_format import save_kohya_lora
from darkroom_runner.models.device import Device, find_device
from darkroom_runner.models.model_store import FetchedLora
from darkroom_runner.models.pretrained import PretrainedModel, load_pipeline
from darkroom_runner.run.progress import ProgressTracker
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.run.stop_signal import StopSignal
from darkroom_runner.sampling.non_finite import retry_in_float32
from darkroom_runner.sampling.prompt_length import check_training_prompts
from darkroom_runner.sampling.schedulers import training_noise_scheduler
from darkroom_runner.sampling.sdxl import generate_validation_image
from darkroom_runner.sampling.step_callback import OnStep
from darkroom_runner.sampling.web_ui_samplers import WebUiSampler, web_ui_sampler
from darkroom_runner.training.allocator import freed_memory_kept
from darkroom_runner.training.between_steps import BetweenSteps
from darkroom_runner.training.checkpoints import Checkpoints
from darkroom_runner.training.dataset import Photo
from darkroom_runner.training.diffusion_loss import DiffusionLoss
from darkroom_runner.training.evaluation_mode import evaluation_mode
from darkroom_runner.training.fused.layers import fuse_layers
from darkroom_runner.training.idle_models import IdleModels
from darkroom_runner.training.memory import RAN_OUT, choose_quantization, plan_memory
from darkroom_runner.training.outputs import Outputs
from darkroom_runner.training.prompt_embeddings import PromptEncoder, open_prompt_encoder
from darkroom_runner.training.state import TrainingState, UnusableStateError
from darkroom_runner.training.subjects import Photos, captions_by_prompt, subjects_of
from darkroom_runner.training.trainer import Trainer
from darkroom_runner.training.training_data import DataPreparation, TrainingData

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
    outputs: Outputs | None = None
    """What is shown and kept during the training; None for nothing."""
    initial_lora: FetchedLora | None = None
    """The LoRA to continue from; None for adapters without effect."""
    adapters: Adapters | None = None
    captions: dict[str, list[str]] = field(default_factory=dict)
    """The texts of the photos by instance prompt, for the file's metadata."""
    remarks: Remarks = field(default_factory=Remarks)
    idle_models: IdleModels = field(init=False)
    """Models that the steps don't need. All are on the device until the first step."""

    def __post_init__(self) -> None:
        self.idle_models = IdleModels(self.pipeline, self.device, ())

    @property
    def side_px(self) -> int:
        """Side of square images: the job's resolution, or the base model's own."""
        own = self.pipeline.unet.config.sample_size * self.pipeline.vae_scale_factor
        return self.spec.training.resolution or int(own)

    @property
    def sampler(self) -> WebUiSampler:
        """The sampler of validation and sample images: the base model's own."""
        return web_ui_sampler(self.pipeline.scheduler)

    def train(self, photos: list[Photo], others: Photos | None = None) -> dict[str, float]:
        """Train the adapters; returns the outcome's metrics. `others`: photos of the datasets other than `dataset`.

        Raises `ModelIncompatibleError` early, before any expensive work, if the base model can't be trained.
        """
        noise_scheduler = training_noise_scheduler(self.pipeline.scheduler)
        diffusion_loss = DiffusionLoss(noise_scheduler, self.spec.training.min_snr_gamma)
        torch.manual_seed(self.spec.training.seed)
        of_datasets = {"dataset": photos, **(others or {})}
        self.captions = captions_by_prompt(subjects_of(self.spec, of_datasets))
        data = DataPreparation(
            self.pipeline, self.spec, self.side_px, self.progress, self.stop_signal, self.remarks
        ).prepare(of_datasets)
        self.adapters = add_adapters(self.pipeline, self.spec.training)
        if (initial := self.initial_lora) is not None:
            load_initial_lora(self.pipeline, self.adapters, initial.path, initial.name)
        prompt_encoder = open_prompt_encoder(self.pipeline, self.device, self.spec.training, data.all_concepts)
        self._prepare_device(prompt_encoder, data)
        fused = fuse_layers(self.pipeline.unet, *(getattr(self.pipeline, name) for name in TEXT_ENCODERS))
        unet, training = self.pipeline.unet, self.spec.training
        index = fused.takes_text_index
        trainer = Trainer(unet, prompt_encoder, diffusion_loss, training, self.device, self._save_memory, index)
        try:
            with freed_memory_kept(self.device.torch_device):
                return self._train(self._restore(self.adapters), trainer, data)
        finally:
            fused.undo()

    def save(self, path: Path, metadata: dict[str, str]) -> None:
        """Write the trained adapters in diffusers' format. Call `train` first."""
        save_lora(self._trained_adapters(), path, metadata)

    def save_kohya(self, path: Path, metadata: dict[str, str], thumbnail: Image.Image | None = None) -> None:
        """Write the trained adapters in Kohya format, for other tools; `thumbnail` shows them. Call `train` first.

        Raises `ModelIncompatibleError` if the base model has modules without a name in that format.
        """
        prediction = self.pipeline.scheduler.config.get("prediction_type")
        save_kohya_lora(
            self._trained_adapters(),
            path,
            metadata,
            self.spec,
            prediction,
            thumbnail,
            side_px=self.side_px,
            captions=self.captions,
        )

    def generate_validation_image(self, prompt: str, number: int = 0, count: int = 1) -> Image.Image:
        """Generate image `number` (from 0) of `count` with the trained LoRA. Raises `NonFiniteOutputError`."""
        if number == 0:
            self.progress.enter(Stage.DENOISING, count * VALIDATION_STEPS)

        def on_step(step: int, total: int) -> None:
            self.stop_signal.check()
            self.progress.part_step(number, count, step, total)

        self.idle_models.bring_back()
        with evaluation_mode(self.pipeline, self.device):
            return self.generate_image(prompt, on_step, "The validation image")

    def generate_image(self, prompt: str, on_step: OnStep, what: str) -> Image.Image:
        """Generate an image with the adapters as they are. All models must be on the device, in evaluation mode.

        `what` begins a sentence about the image. Raises `NonFiniteOutputError`.
        """
        seed = self.spec.training.seed

        def generate() -> Image.Image:
            return generate_validation_image(self.pipeline, prompt, self.side_px, seed, on_step)

        return retry_in_float32(self.pipeline, generate, what, self.remarks, self.device.autocast)

    def _trained_adapters(self) -> Adapters:
        if self.adapters is None:
            raise RuntimeError("call train() first: there are no adapters yet")
        return self.adapters

    def _prepare_device(self, prompt_encoder: PromptEncoder, data: TrainingData) -> None:
        """Trained models in training mode, and what the memory plan says."""
        self.pipeline.unet.train()
        shapes = sorted({image.shape for concept in data.concepts for image in concept.images})
        plan = plan_memory(self.device, self.spec, self.pipeline.unet, shapes)
        if plan.remark is not None:
            self.remarks.add(RemarkReason.MEMORY_SAVED, plan.remark)
        if self.spec.training.train_text_encoders:
            for name in TEXT_ENCODERS:
                # For LoRA dropout: SDXL's text encoders have no dropout of their own.
                getattr(self.pipeline, name).train()
        if plan.gradient_checkpointing:
            self.pipeline.unet.enable_gradient_checkpointing()
        if plan.idle_models_off_device:
            idle = ("vae",) if prompt_encoder.needs_text_encoders else ("vae", *TEXT_ENCODERS)
            self.idle_models = IdleModels(self.pipeline, self.device, idle)
            self.idle_models.put_away()

    def _save_memory(self) -> bool:
        """A step ran out of memory, which `plan_memory` only estimates: returns whether the next one takes less."""
        if self.pipeline.unet.is_gradient_checkpointing:
            return False
        self.pipeline.unet.enable_gradient_checkpointing()
        self.remarks.add(RemarkReason.MEMORY_SAVED, RAN_OUT)
        return True

    def _restore(self, adapters: Adapters) -> TrainingState:
        """The state saved by an earlier run of the job, or a fresh one."""
        state = TrainingState.fresh(adapters.parameters, self.spec.training)
        saved = None if self.checkpoints is None else self.checkpoints.fetch(self.base_model)
        if saved is not None:
            try:
                state.read(saved, self.spec.max_steps)
            except UnusableStateError as error:
                log.warning("the checkpoint can't be used, training starts from step 0: %s", error)
        return state

    def _train(self, state: TrainingState, trainer: Trainer, data: TrainingData) -> dict[str, float]:
        steps, first = self.spec.max_steps, state.step
        self.progress.weigh(Stage.TRAINING, partial(training_fraction, self.spec))
        self.progress.enter(Stage.TRAINING, steps, first)
        between_steps = BetweenSteps(self, trainer, state, data.held_out, self.outputs)

        def on_step(loss: float, learning_rate: float) -> None:
            measured = {"loss": loss, "learningRate": learning_rate, **between_steps.metrics}
            self.progress.step(state.step, steps, **measured)
            between_steps.run()
            self._save_checkpoint(state)
            self.stop_signal.check()

        between_steps.resume()
        self.stop_signal.check()
        started, paused = time.monotonic(), between_steps.seconds
        trainer.train(data.concepts, state, steps, on_step)
        seconds = time.monotonic() - started - (between_steps.seconds - paused)
        log.info("trained %d steps in %.1f s", steps - first, seconds)
        between_steps.finish()
        _keep_average(state)
        recent = state.losses[-_SMOOTHED_STEPS:]
        metrics = {"finalLoss": sum(recent) / len(recent), **between_steps.metrics}
        if first:
            metrics["resumedFromStep"] = first
        return metrics if first == steps else {**metrics, "secondsPerStep": seconds / (steps - first)}

    def _save_checkpoint(self, state: TrainingState) -> None:
        """Save the state every `checkpointSteps` steps, and when a stop was requested."""
        every = self.spec.training.checkpoint_steps
        due = every > 0 and state.step % every == 0 and state.step < self.spec.max_steps
        if self.checkpoints is not None and (due or self.stop_signal.requested):
            self.checkpoints.put(state.step, self.base_model, state.write)


def _keep_average(state: TrainingState) -> None:
    """Leave the values to publish in the adapters: a moving average, if the job asks for one. The training is over."""
    with state.averaged():
        published = {name: parameter.detach().clone() for name, parameter in state.parameters.items()}
    for name, parameter in state.parameters.items():
        parameter.data.copy_(published[name])


def open_session(
    model: PretrainedModel,
    spec: TrainJobSpec,
    progress: ProgressTracker,
    stop_signal: StopSignal,
    checkpoints: Checkpoints | None = None,
    remarks: Remarks | None = None,
    device: Device | None = None,
    outputs: Outputs | None = None,
    initial_lora: FetchedLora | None = None,
) -> TrainingSession:
    """Load a base model for training. `device` defaults to `find_device()`.

    Raises `PromptTooLongError` for a prompt that its text encoders would truncate, and `InvalidRunError` for a
    quantization that the device does not have.
    """
    device = device or find_device()
    # SDXL's VAE overflows in half precision, and its weights must not be rounded to it on loading.
    dtype = {"vae": torch.float32, "default": device.training_dtype}
    quantization = choose_quantization(device, spec.training)
    pipeline = load_pipeline(model, dtype, device.torch_device, quantization, progress.start)
    check_training_prompts(pipeline, spec)
    used, remarks = model.used(pipeline), remarks or Remarks()
    return TrainingSession(
        pipeline,
        used,
        device,
        spec,
        progress,
        stop_signal,
        checkpoints,
        outputs,
        initial_lora,
        remarks=remarks,
    )
