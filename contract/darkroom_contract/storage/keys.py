"""Keys of the bucket's objects. No client, no network.

    datasets/<namespace>/<dataset id>/<file>               photos, from the gateway
    images/<namespace>/<upload id>/<file>                  start pictures and masks of generations, from the gateway
    runs/<job uid>/<file>                                  results of a job, from the runner (names: below); images as
                                                           soon as each is finished
    runs/<job uid>/manifest.json                           written last: where it exists, the results are complete
    runs/<job uid>/logs/<attempt>.txt                      log of each run, during and after it
    runs/<job uid>/steps/<step>/<LoRA file>                the LoRA at that step, or of the best one, in both formats
    runs/<job uid>/samples/<file>                          images of the validation prompts during a training
    runs/<job uid>/checkpoint-<step>.safetensors           state of an unfinished training
    runs/<job uid>/checkpoint.json                         the state to resume from; written after it
    models/<namespace>/<model id>/model.json               the run whose weights a model id refers to; written last
    models/<namespace>/<model id>/steps/<step>.json        the same for a saved step, or `best`
    loras/<namespace>/<folder>/<file>                      LoRA files from elsewhere; imported ones, from the gateway
    deletions/<namespace>/models/<model id>.json           an incomplete deletion of a model; removed last

A model's weights stay in the folder of the run that made them, or where they were imported; `model.json` only points to
them. So a second training
under the same id replaces one small object and never mixes two trainings.
"""

import re
from datetime import datetime

from pydantic import Field

from darkroom_contract.base_models import UsedModel
from darkroom_contract.names import MAX_JOB_NAME_LENGTH
from darkroom_contract.outcome import Outcome
from darkroom_contract.schema import Schema

LORA_FILE = "pytorch_lora_weights.safetensors"
"""The LoRA under diffusers' default file name; a GenerateJob loads this one."""
MANIFEST_FILE = "manifest.json"
CHECKPOINT_FILE = "checkpoint.json"
BEST = "best"
"""In place of a step's number: the LoRA with the lowest held-out loss."""


class ModelRecord(Schema):
    """`model.json`: the LoRA that a model id refers to."""

    model_id: str
    weights_key: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    kohya_tensors_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """Of the file in Kohya format: the SHA-256 of its tensors, by which A1111, Forge and Civitai find it. None if there
    is no such file, for an imported model, and in records of releases up to 0.1.0."""
    base_model: str
    base_model_commit: str | None = None
    """Commit on the hub, if known: a branch or tag may have other weights later."""
    prompt: str = ""
    """What it was trained with; empty for an imported model that does not say."""
    job_uid: str = ""
    """The job that trained it; empty for an imported model."""
    source: str | None = None
    """Where an imported model came from: the name of the uploaded file, or its URI."""
    step: int | None = None
    """The training step, for a saved step or the best one."""
    held_out_loss: float | None = None
    created: datetime
    earlier_runs: tuple[str, ...] = Field(
        (), description="Uids of the jobs that trained this model id before, oldest first."
    )

    @property
    def trained_on(self) -> UsedModel:
        return UsedModel(reference=self.base_model, commit=self.base_model_commit)


class ModelRemoval(Schema):
    """An accepted deletion of a model: any gateway that finds it completes it. Written before anything is deleted."""

    model_id: str
    runs: tuple[str, ...] = Field(description="Uids of the jobs whose LoRA is deleted.")
    imports: tuple[str, ...] = Field((), description="Ids of the imports whose file is deleted.")
    requested: datetime


class Manifest(Schema):
    """`manifest.json`: the outcome of a finished run. A later attempt that finds it reports it without working."""

    outcome: Outcome
    attempt: int
    namespace: str | None = Field(None, description="Of the job. Releases up to 0.1.0 recorded none.")
    versions: dict[str, str] = Field(default_factory=dict, description="Of darkroom, torch, diffusers, ...")
    base_models: tuple[UsedModel, ...] = Field((), description="What the run loaded.")
    saved_steps: tuple[ModelRecord, ...] = Field((), description="The LoRA of earlier steps, and the best one, last.")
    samples: tuple[str, ...] = Field((), description="Sample images in storage, by their name in `samples/`.")
    created: datetime


class CheckpointRecord(Schema):
    """`checkpoint.json`: the newest complete state of an unfinished training."""

    step: int = Field(ge=1, description="Completed steps.")
    state_key: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    base_model: str
    base_model_commit: str | None = None
    attempt: int
    created: datetime


def dataset_prefix(namespace: str, dataset_id: str | None = None) -> str:
    """Prefix of one dataset, or of all datasets that a namespace's jobs may read."""
    return f"datasets/{namespace}/" if dataset_id is None else f"datasets/{namespace}/{dataset_id}/"


def images_prefix(namespace: str, upload_id: str | None = None) -> str:
    """Prefix of one upload of start pictures, or of all pictures that a namespace's jobs may read."""
    return f"images/{namespace}/" if upload_id is None else f"images/{namespace}/{upload_id}/"


def run_prefix(job_uid: str) -> str:
    return f"runs/{job_uid}/"


def manifest_key(job_uid: str) -> str:
    return run_prefix(job_uid) + MANIFEST_FILE


def run_log_key(job_uid: str, attempt: int) -> str:
    return f"{run_prefix(job_uid)}logs/{attempt}.txt"


def checkpoint_record_key(job_uid: str) -> str:
    return run_prefix(job_uid) + CHECKPOINT_FILE


def checkpoint_state_key(job_uid: str, step: int) -> str:
    return f"{run_prefix(job_uid)}checkpoint-{step}.safetensors"


def model_prefix(namespace: str) -> str:
    return f"models/{namespace}/"


def model_record_key(namespace: str, model_id: str) -> str:
    """`model_id` must have passed `names.MODEL_ID_PATTERN`, as it has in every spec."""
    return f"{model_prefix(namespace)}{model_id}/model.json"


def model_steps_prefix(namespace: str, model_id: str) -> str:
    """`model_id` must have passed `names.MODEL_ID_PATTERN`."""
    return f"{model_prefix(namespace)}{model_id}/steps/"


def model_step_key(namespace: str, model_id: str, step: str) -> str:
    """The record of a saved step: `step` is its number, or `best`; both must have passed their patterns."""
    return f"{model_steps_prefix(namespace, model_id)}{step}.json"


def model_reference_key(namespace: str, reference: str) -> str:
    """The record that `my-dog`, `my-dog@200` or `my-dog@best` refers to; it must have passed
    `names.MODEL_REFERENCE_PATTERN`."""
    model_id, _, step = reference.partition("@")
    return model_step_key(namespace, model_id, step) if step else model_record_key(namespace, model_id)


def lora_prefix(namespace: str, import_id: str | None = None) -> str:
    """Prefix of all LoRA files from elsewhere that a namespace's jobs may read, or of one import."""
    return f"loras/{namespace}/" if import_id is None else f"loras/{namespace}/{import_id}/"


def saved_step_prefix(job_uid: str, step: str) -> str:
    """Where a run stores the LoRA of a step; `step` is its number, or `best`."""
    return f"{run_prefix(job_uid)}steps/{step}/"


def samples_prefix(job_uid: str) -> str:
    return f"{run_prefix(job_uid)}samples/"


def sample_key(job_uid: str, file: str) -> str:
    return samples_prefix(job_uid) + file


def model_removals_prefix(namespace: str) -> str:
    return f"deletions/{namespace}/models/"


def model_removal_key(namespace: str, model_id: str) -> str:
    """`model_id` must have passed `names.MODEL_ID_PATTERN`."""
    return f"{model_removals_prefix(namespace)}{model_id}.json"


def image_file(job_name: str, seed: int, suffix: str = ".png") -> str:
    """An image is named after its job and seed, so that downloads of several jobs never overwrite each other."""
    return f"{_stem(job_name)}-seed-{seed}{suffix}"


def grid_file(job_name: str, suffix: str = ".png") -> str:
    """All images of a job in one."""
    return f"{_stem(job_name)}-grid{suffix}"


def clip_file(job_name: str) -> str:
    return f"{_stem(job_name)}.mp4"


def validation_file(job_name: str, prompt: int = 0) -> str:
    """The image of validation prompt number `prompt` (from 0) by the finished LoRA: the second one ends in `-2`."""
    return f"{_stem(job_name)}-validation{f'-{prompt + 1}' if prompt else ''}.png"


def kohya_file(model_id: str) -> str:
    """The LoRA in Kohya form, under the name by which other tools list it. `model_id` must have passed
    `names.MODEL_ID_PATTERN`. Names that a run uses for other files get a suffix, in any case: some
    file systems ignore case."""
    taken = re.fullmatch(r"pytorch_lora_weights|checkpoint(-\d+)?", model_id, re.IGNORECASE)
    return f"{model_id}-kohya.safetensors" if taken else f"{model_id}.safetensors"


def sample_file(job_name: str, step: int, prompt: int) -> str:
    """The image of validation prompt number `prompt` (from 0) after `step` steps."""
    return f"{_stem(job_name)}-step-{step:05d}-{prompt}.png"


def samples_sheet_file(job_name: str) -> str:
    """All sample images of a training on one sheet: a row for each prompt, a column for each step."""
    return f"{_stem(job_name)}-samples.png"


def _stem(job_name: str) -> str:
    """A job's name as part of a file name: DNS labels are unchanged, and path separators are replaced."""
    return re.sub(r"[^A-Za-z0-9-]", "-", job_name[:MAX_JOB_NAME_LENGTH])


def dataset_uri(bucket: str, prefix: str) -> str:
    return f"s3://{bucket}/{prefix}"


def parse_uri(uri: str) -> tuple[str, str]:
    """`s3://bucket/prefix` into bucket and prefix; the prefix ends in a slash, so that it means one folder."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    return bucket, prefix.rstrip("/") + "/"
