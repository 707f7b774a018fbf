"""What a training does between two steps: measure the held-out loss, save the LoRA, generate sample images.

Called by `session` after each step. None of it changes the training, which has the same losses with and without. It
precedes the checkpoint of its step: after a kill in between, the next run repeats it; after a stop, the next run makes
up for it.
"""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from darkroom_contract.plan import SAMPLE, evaluation_work
from darkroom_contract.storage.keys import LORA_FILE, kohya_file
from darkroom_runner.errors import InternalError, InterruptedRunError, ModelIncompatibleError, translate
from darkroom_runner.models.device import free_memory
from darkroom_runner.training.batches import Concept
from darkroom_runner.training.evaluation_mode import evaluation_mode
from darkroom_runner.training.outputs import Outputs
from darkroom_runner.training.samples import Samples
from darkroom_runner.training.state import TrainingState
from darkroom_runner.training.trainer import Trainer

if TYPE_CHECKING:
    from darkroom_runner.training.session import TrainingSession

log = logging.getLogger(__name__)


@dataclass
class BetweenSteps:
    """The evaluations, saved steps and sample images of one training."""

    session: "TrainingSession"
    trainer: Trainer
    state: TrainingState
    held_out: list[Concept]
    """The photos that are not trained on, encoded; empty to measure no held-out loss."""
    outputs: Outputs | None
    """None to keep nothing."""
    seconds: float = field(default=0.0, init=False)
    """Time that all of it took."""
    metrics: dict[str, float] = field(default_factory=dict, init=False)
    """`heldOutLoss` of the newest evaluation; `bestHeldOutLoss` and `bestStep` so far."""
    _work: float = field(default=0.0, init=False)
    """Planned work of what is done since the newest step."""
    _measured: float | None = field(default=None, init=False)
    """The held-out loss of the newest step, if it was measured and is finite."""

    def resume(self) -> None:
        """Continue an earlier run's outputs, and make up for those of its last step.

        Raises `StorageUnavailableError`.
        """
        if self.outputs is not None:
            if self.session.spec.training.validation_steps:
                self.outputs.samples.find_stored()
            best = self.outputs.saved_steps.find_best(self.session.base_model) if self.held_out else None
            if best is not None and best.held_out_loss is not None and best.step is not None:
                self.metrics |= {"bestHeldOutLoss": best.held_out_loss, "bestStep": best.step}
        if self.state.step:
            self.run()

    def run(self) -> None:
        """Do what is due after the newest step."""
        started, step, training = time.monotonic(), self.state.step, self.session.spec.training
        due, self._measured, self._work = [], None, 0.0
        if self.held_out and (step % training.evaluation_steps == 0 or step == self.session.spec.max_steps):
            due.append(self._evaluate)
        if self.outputs is not None:
            if training.save_steps and step % training.save_steps == 0:
                due.append(self._save_step)
            if training.validation_steps and step % training.validation_steps == 0 < self.session.spec.max_steps - step:
                due.append(self._sample)
        if not due:
            return
        with self.state.averaged():
            for action in due:
                if self.session.stop_signal.requested:
                    break
                action()
        self.seconds += time.monotonic() - started

    def finish(self) -> None:
        """Store what could not be stored before. Raises `StorageUnavailableError`."""
        if self.outputs is not None:
            self.outputs.saved_steps.finish(self.session.base_model)

    def _evaluate(self) -> None:
        """Measure the held-out loss, and keep the LoRA if it is the lowest one so far."""
        session, step = self.session, self.state.step
        try:
            with evaluation_mode(session.pipeline, session.device):
                loss = self.trainer.held_out_loss(self.held_out, session.spec.training.seed, self._on_batch)
        except InterruptedRunError:
            log.info("the held-out loss of step %d is left to the next run", step)
            return
        self._work = evaluation_work(session.spec)
        log.info("held-out loss at step %d: %.5f", step, loss)
        self.metrics["heldOutLoss"] = loss
        self._measured = loss if math.isfinite(loss) else None
        if math.isfinite(loss) and loss < self.metrics.get("bestHeldOutLoss", math.inf):
            self.metrics |= {"bestHeldOutLoss": loss, "bestStep": step}
            if self.outputs is not None:
                self._save_best(self.outputs, step, loss)
        elif self.outputs is not None:
            self.outputs.saved_steps.store_best(session.base_model)
        session.progress.announce(metrics=self.metrics)

    def _save_best(self, outputs: Outputs, step: int, loss: float) -> None:
        try:
            outputs.saved_steps.put_best(step, loss, self.session.base_model, self._write_files)
        except OSError as error:
            log.warning("the best LoRA so far, of step %d, was not saved: %s", step, error)

    def _save_step(self) -> None:
        assert self.outputs is not None
        self.outputs.saved_steps.put(self.state.step, self._measured, self.session.base_model, self._write_files)

    def _write_files(self, folder: Path, step: int, held_out_loss: float | None) -> list[Path]:
        """The LoRA in both formats; only in diffusers' for a base model without names in Kohya's."""
        assert self.outputs is not None
        metadata = self.outputs.lora_metadata(self.session.base_model, step, held_out_loss)
        weights, kohya = folder / LORA_FILE, folder / kohya_file(self.session.spec.model_id)
        self.session.save(weights, metadata)
        try:
            self.session.save_kohya(kohya, metadata)
        except ModelIncompatibleError as error:
            log.info("%s is not saved in Kohya format: %s", kohya.name, error)
            return [weights]
        return [weights, kohya]

    def _sample(self) -> None:
        """Generate and publish the images of all validation prompts. A failing one does not fail the training."""
        assert self.outputs is not None
        samples, step = self.outputs.samples, self.state.step
        prompts = self.session.spec.training.prompts_to_validate
        missing = [number for number in range(len(prompts)) if not samples.has(step, number)]
        if not missing:
            return
        with (
            self._failures_noted(samples),
            evaluation_mode(self.session.pipeline, self.session.device),
            self.session.idle_models.present(),
        ):
            for number in missing:
                self._sample_prompt(self.outputs, number, prompts[number])
        free_memory()

    def _sample_prompt(self, outputs: Outputs, number: int, prompt: str) -> None:
        session, step = self.session, self.state.step
        with self._failures_noted(outputs.samples):
            image = session.generate_image(prompt, partial(self._on_denoising_step, number), "A sample image")
            info = outputs.sample_info(session.base_model, prompt, step, image.size, session.sampler)
            outputs.samples.add(step, number, image, info)
        outputs.samples.publish()

    @contextmanager
    def _failures_noted(self, samples: Samples) -> Iterator[None]:
        """Every failure becomes a remark. A stop is left to the session, which saves a checkpoint first."""
        step = self.state.step
        try:
            yield
        except InterruptedRunError:
            log.info("sample images of step %d are left to the next run", step)
        except Exception as error:
            failure = translate(error)
            log.warning("a sample image of step %d failed", step, exc_info=isinstance(failure, InternalError))
            samples.note_failure(step, failure)

    def _on_batch(self) -> None:
        """Called before each forward pass of an evaluation."""
        self._on_part(self._work)
        self._work = min(self._work + self.session.spec.training.batch_size, evaluation_work(self.session.spec))

    def _on_denoising_step(self, number: int, step: int, total: int) -> None:
        """Called after each step of sample image `number`."""
        self._on_part(self._work + (number + step / total) * SAMPLE)

    def _on_part(self, work: float) -> None:
        """Called often while something takes long. A stop is left to the session, which saves a checkpoint first."""
        self.session.stop_signal.check()
        self.session.progress.keep_alive(work)
