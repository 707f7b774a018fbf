"""One training from loaded pipeline to saved LoRA: the order of things, and what is on the device when.

`train_job` opens it. The rooms beside it do the work; this one alone knows all of them.
"""

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from darkroom_contract.base_models import UsedModel
from darkroom_contract.plan import VALIDATION_GUIDANCE_SCALE, VALIDATION_STEPS, class_image_count
from darkroom_contract.progress import Stage
from darkroom_contract.specs import TrainJobSpec
from darkroom_runner import lora, lora_kohya
from darkroom_runner.base_models import BaseModel, load_pipeline
from darkroom_runner.checkpoints import Checkpoints
from darkroom_runner.dataset import Photo
from darkroom_runner.device import Device, find_device, free_memory, generator
from darkroom_runner.finite import draw_finite
from darkroom_runner.interruption import Interruption
from darkroom_runner.progress import Progress
from darkroom_runner.prompt_length import check_training_prompts
from darkroom_runner.remarks import Remarks
from darkroom_runner.schedulers import training_schedule
from darkroom_runner.training.encodings import Encoding, encode_photo
from darkroom_runner.training.loop import Learner, Subject
from darkroom_runner.training.objective import Objective
from darkroom_runner.training.prior import draw_class_encodings
from darkroom_runner.training.prompts import FrozenPrompts, Prompts, TrainedPrompts
from darkroom_runner.training.state import TrainingState, UnusableStateError

log = logging.getLogger(__name__)

_SMOOTHED_STEPS = 20
"""A single step's loss says little: it depends on its timestep most of all."""


@dataclass
class TrainingSession:
    """A base model on a device, on its way to a LoRA."""

    pipeline: Any
    base_model: UsedModel
    device: Device
    spec: TrainJobSpec
    progress: Progress
    interruption: Interruption
    checkpoints: Checkpoints | None = None
    """Where the state is kept; None when nobody would go on from it."""
    adapters: lora.Adapters | None = None
    remarks: Remarks = field(default_factory=Remarks)

    @property
    def side_px(self) -> int:
        """The side to which photos are cropped; the base model's own when the job names none."""
        own = self.pipeline.unet.config.sample_size * self.pipeline.vae_scale_factor
        return self.spec.training.resolution or int(own)

    def learn(self, photos: list[Photo]) -> dict[str, float]:
        """Train the adapters; returns the metrics of the outcome.

        Raises `ModelIncompatibleError` before anything costly for a base model that can't be trained.
        """
        objective = Objective(training_schedule(self.pipeline.scheduler), self.spec.training.min_snr_gamma)
        torch.manual_seed(self.spec.training.seed)
        class_encodings = self._draw_class_pictures()
        subjects = [Subject(self.spec.prompt, self._encode(photos)), *self._prior_subject(class_encodings)]
        self.adapters = lora.add_adapters(self.pipeline, self.spec.training)
        prompts = self._prompts([subject.prompt for subject in subjects])
        self._prepare_device()
        return self._train(self._begin(self.adapters), objective, prompts, subjects)

    def save(self, path: Path, facts: dict[str, str]) -> None:
        """Write the trained adapters as diffusers reads them. Call `learn` first."""
        lora.save(self._learned(), path, facts)

    def save_kohya(self, path: Path, facts: dict[str, str]) -> None:
        """Write them in Kohya form, for other tools. Call `learn` first.

        Raises `ModelIncompatibleError` for a base model whose modules have no names in that form.
        """
        prediction = self.pipeline.scheduler.config.get("prediction_type")
        lora_kohya.save(self._learned(), path, facts, self.spec, prediction)

    def _learned(self) -> lora.Adapters:
        if self.adapters is None:
            raise RuntimeError("nothing was learned yet")
        return self.adapters

    def draw_validation(self, prompt: str) -> Image.Image:
        """One picture with the finished LoRA, as a first look at it. Raises `NonFiniteOutputError`."""
        self.progress.enter(Stage.DENOISING, VALIDATION_STEPS)
        self.pipeline.to(self.device.place)
        self.pipeline.unet.eval()

        def report(pipe: Any, step: int, timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
            self._denoised(step + 1, pipe.num_timesteps)
            return kwargs

        def draw() -> Image.Image:
            drawn: Image.Image = self.pipeline(
                prompt,
                height=self.side_px,
                width=self.side_px,
                num_inference_steps=VALIDATION_STEPS,
                guidance_scale=VALIDATION_GUIDANCE_SCALE,
                generator=generator(self.spec.training.seed),
                callback_on_step_end=report,
            ).images[0]
            return drawn

        return draw_finite(self.pipeline, draw, "The validation picture", self.remarks, self.device.autocast)

    def _draw_class_pictures(self) -> list[Encoding]:
        prior = self.spec.training.prior_preservation
        if prior is None:
            return []
        self.progress.enter(Stage.DRAWING_CLASS_IMAGES)
        count, seed = class_image_count(self.spec), self.spec.training.seed
        side_px = self.side_px
        return draw_class_encodings(
            self.pipeline, prior.class_prompt, count, side_px, seed, self._denoised, self.remarks
        )

    def _denoised(self, step: int, total: int) -> None:
        self.interruption.check()
        self.progress.step(step, total)

    def _encode(self, photos: list[Photo]) -> list[list[Encoding]]:
        self.progress.enter(Stage.ENCODING, len(photos))
        encodings = []
        for number, photo in enumerate(photos, start=1):
            self.interruption.check()
            encodings.append(encode_photo(self.pipeline.vae, photo, self.side_px, self.spec.training.random_flip))
            self.progress.step(number, len(photos))
        return encodings

    def _prior_subject(self, encodings: list[Encoding]) -> list[Subject]:
        prior = self.spec.training.prior_preservation
        if prior is None:
            return []
        return [Subject(prior.class_prompt, [[each] for each in encodings], prior.weight)]

    def _prompts(self, prompts: list[str]) -> Prompts:
        kind = TrainedPrompts if self.spec.training.train_text_encoders else FrozenPrompts
        return kind(self.pipeline, self.device, prompts)

    def _prepare_device(self) -> None:
        """On CUDA only what is trained stays on the card, and activations are computed twice rather than kept."""
        self.pipeline.unet.train()
        if not self.device.is_cuda:
            return
        self.pipeline.unet.enable_gradient_checkpointing()
        idle = ["vae"] if self.spec.training.train_text_encoders else ["vae", *lora.TEXT_ENCODERS]
        for name in idle:
            getattr(self.pipeline, name).to("cpu")
        free_memory()

    def _begin(self, adapters: lora.Adapters) -> TrainingState:
        """The state that an earlier run of the job saved, or a fresh one."""
        state = TrainingState.fresh(adapters.parameters, self.spec.training.learning_rate)
        saved = None if self.checkpoints is None else self.checkpoints.fetch(self.base_model)
        if saved is not None:
            try:
                state.read(saved, self.spec.max_steps)
            except UnusableStateError as error:
                log.warning("the saved state can't be used, training begins anew: %s", error)
        return state

    def _train(
        self, state: TrainingState, objective: Objective, prompts: Prompts, subjects: list[Subject]
    ) -> dict[str, float]:
        steps, first = self.spec.max_steps, state.step
        self.progress.enter(Stage.TRAINING, steps, first)
        learner = Learner(self.pipeline.unet, prompts, objective, self.spec.training, self.device)

        def report(loss: float, learning_rate: float) -> None:
            self._keep(state)
            self.interruption.check()
            self.progress.step(state.step, steps, loss=loss, learningRate=learning_rate)

        begun = time.monotonic()
        learner.train(subjects, state, steps, report)
        seconds = time.monotonic() - begun
        log.info("trained %d steps in %.1f s", steps - first, seconds)
        recent = state.losses[-_SMOOTHED_STEPS:]
        metrics = {"finalLoss": sum(recent) / len(recent)}
        if first:
            metrics["resumedFromStep"] = first
        return metrics if first == steps else {**metrics, "secondsPerStep": seconds / (steps - first)}

    def _keep(self, state: TrainingState) -> None:
        """Save the state when it is time to, or when the run is told to stop."""
        every = self.spec.training.checkpoint_steps
        due = every > 0 and state.step % every == 0 and state.step < self.spec.max_steps
        if self.checkpoints is not None and (due or self.interruption.requested):
            self.checkpoints.put(state.step, self.base_model, state.write)


def open_session(
    model: BaseModel,
    spec: TrainJobSpec,
    progress: Progress,
    interruption: Interruption,
    checkpoints: Checkpoints | None = None,
    remarks: Remarks | None = None,
    device: Device | None = None,
) -> TrainingSession:
    """Load the base model for training; on the machine's own device unless one is given.

    Raises `PromptTooLongError` for a prompt that its text encoders would cut.
    """
    device = device or find_device()
    # SDXL's VAE overflows in half precision; its weights must not even have been rounded to it.
    pipeline = load_pipeline(model, {"vae": torch.float32, "default": device.training_dtype}, device.place)
    check_training_prompts(pipeline, spec)
    used, remarks = model.used(pipeline), remarks or Remarks()
    return TrainingSession(pipeline, used, device, spec, progress, interruption, checkpoints, remarks=remarks)
