"""The spec of `TrainJob`: photos, base model and training settings.

The only source of the CRD's schema, of the gateway's bounds and of the run document.
"""

from pydantic import Field

from darkroom_contract.names import BASE_MODEL_PATTERN, MAX_BASE_MODEL_LENGTH, MODEL_ID_PATTERN
from darkroom_contract.schema import Schema
from darkroom_contract.specs.dataset import MAX_CAPTIONS_BYTES, Dataset
from darkroom_contract.specs.job import NOT_BLANK, JobSpec
from darkroom_contract.specs.training import PriorPreservation, Training

MAX_STEPS = 20_000
MAX_SAVED_STEPS = 100
MAX_SAMPLED_STEPS = 100
MAX_SPEC_BYTES = 112 * 1024
"""As JSON. The spec becomes a part of one environment variable, which Linux limits to 128 KiB."""


class Concept(Schema):
    """One more subject of a training."""

    prompt: str = Field(
        pattern=NOT_BLANK,
        max_length=1000,
        description="The instance prompt of this subject, with a rare word of its own, such as: a photo of xyz cat.",
    )
    dataset: Dataset = Field(description="The photos of this subject.")
    repeats: int = Field(
        1, ge=1, le=100, description="How often each photo is shown for each time that one of the others is."
    )
    prior_preservation: PriorPreservation | None = Field(
        None, description="Prior preservation for this subject's class. Off when unset."
    )


class TrainJobSpec(JobSpec):
    """What to train, and on which photos. After creation only limits, deadlines, priority and suspend may be
    changed."""

    model_id: str = Field(
        pattern=MODEL_ID_PATTERN,
        max_length=63,
        description="Name under which the trained LoRA is stored in this namespace. Letters, digits, dot, "
        "underscore and hyphen. A later training of the same name replaces it once it has succeeded.",
    )
    prompt: str = Field(
        pattern=NOT_BLANK,
        max_length=1000,
        description="The instance prompt: what the photos show, with a rare word for the subject, such as: a "
        "photo of sks dog. Prompts with the same words show the subject later.",
    )
    dataset: Dataset = Field(description="The photos to learn from, in object storage.")
    repeats: int = Field(
        1, ge=1, le=100, description="How often a photo of dataset is shown for each time that one of concepts is."
    )
    concepts: tuple[Concept, ...] = Field(
        (),
        max_length=8,
        description="Further subjects to learn in the same LoRA, each with its own prompt and photos.",
    )
    max_steps: int = Field(
        500,
        ge=1,
        le=MAX_STEPS,
        description="Optimizer steps. More steps learn the subject better, until they overfit; a few hundred suit"
        " a handful of photos.",
    )
    base_model: str | None = Field(
        None,
        pattern=BASE_MODEL_PATTERN,
        max_length=MAX_BASE_MODEL_LENGTH,
        description="SDXL model to train: a hub repository (owner/name) or a folder of the model root, optionally"
        " with @revision (a branch, a tag, or a commit, which never changes). The cluster's default "
        "when unset.",
    )
    training: Training = Field(
        default_factory=Training, description="Training settings. The defaults suit SDXL at its native size."
    )

    @property
    def datasets(self) -> dict[str, Dataset]:
        """All datasets of the job by the path of their field, the main one first."""
        found = {"dataset": self.dataset} | {
            f"concepts[{i}].dataset": each.dataset for i, each in enumerate(self.concepts)
        }
        priors = {"training.priorPreservation": self.training.prior_preservation} | {
            f"concepts[{i}].priorPreservation": each.prior_preservation for i, each in enumerate(self.concepts)
        }
        return found | {f"{path}.dataset": prior.dataset for path, prior in priors.items() if prior and prior.dataset}

    @property
    def model_references(self) -> tuple[str, ...]:
        """The model of this namespace that the training continues from, if any."""
        initial = self.training.initial_lora
        return () if initial is None or initial.model_id is None else (initial.model_id,)

    @property
    def lora_uris(self) -> tuple[str, ...]:
        """LoRA files that the job reads from outside of its namespace's models."""
        initial = self.training.initial_lora
        return () if initial is None or initial.uri is None else (initial.uri,)

    @property
    def contradiction(self) -> str | None:
        """Settings that contradict each other, and what to do, in whole sentences. None when there are none.

        The CRD refuses what it can at creation (crd/definitions.py)."""
        training = self.training
        if (fault := self._size_fault) is not None:
            return fault
        if training.initial_lora is not None and training.initial_lora.is_ambiguous:
            return "training.initialLora needs exactly one of modelId and uri."
        if training.save_steps and self.max_steps / training.save_steps > MAX_SAVED_STEPS:
            return (
                f"training.saveSteps {training.save_steps} saves the LoRA more than {MAX_SAVED_STEPS} times in "
                f"{self.max_steps} steps. Raise it to {-(-self.max_steps // MAX_SAVED_STEPS)} or more."
            )
        if training.validation_steps and self.max_steps / training.validation_steps > MAX_SAMPLED_STEPS:
            return (
                f"training.validationSteps {training.validation_steps} generates images more than {MAX_SAMPLED_STEPS} "
                f"times in {self.max_steps} steps. Raise it to {-(-self.max_steps // MAX_SAMPLED_STEPS)} or more."
            )
        if training.text_encoder_learning_rate is not None and not training.train_text_encoders:
            return (
                "training.textEncoderLearningRate has no effect without training.trainTextEncoders. Set that to true, "
                "or omit the learning rate."
            )
        return None

    @property
    def _size_fault(self) -> str | None:
        """Texts that are each within their bounds, and together too long for a pod."""
        captions_bytes = sum(each.captions_bytes for each in self.datasets.values())
        if captions_bytes > MAX_CAPTIONS_BYTES:
            return (
                f"The captions of the spec have {captions_bytes} bytes, more than {MAX_CAPTIONS_BYTES}. Put them into "
                "files beside the photos: photo.txt for photo.jpg."
            )
        if not (captions_bytes or self.concepts or self.training.validation_prompts):
            return None
        spec_bytes = len(self.model_dump_json(by_alias=True, exclude_none=True).encode())
        if spec_bytes > MAX_SPEC_BYTES:
            return (
                f"The spec has {spec_bytes} bytes of JSON, more than {MAX_SPEC_BYTES}. Shorten the prompts, or put "
                "captions into files beside the photos: photo.txt for photo.jpg."
            )
        return None
