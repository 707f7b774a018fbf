"""The runner's settings. `main` reads the environment once; the other modules get the `Settings`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import model_validator

from darkroom_contract import environment as names
from darkroom_contract.handover import DEFAULT_MAX_RUNS
from darkroom_contract.settings import WholeNumber, variable
from darkroom_contract.storage.datasets import DatasetPolicy
from darkroom_contract.storage.settings import DatasetUris, StorageSettings
from darkroom_runner.errors import InvalidRunError

DEFAULT_TERMINATION_MESSAGE_PATH = "/dev/termination-log"


class Settings(StorageSettings):
    """The runs of one process. Credentials of the object storage are not settings: boto3 has its own sources."""

    error_type = InvalidRunError

    run: str = variable(names.RUN)
    """The document of the first run, JSON. The operator sets it on the runner's pod."""
    s3_bucket: str = variable(names.S3_BUCKET)
    """Bucket for photos, pictures, clips and LoRAs."""
    scratch_dir: Path | None = variable(names.SCRATCH_DIR, None)
    """Folder of temporary files. The operator sets it to an emptyDir. Unset: the system's own."""
    model_root: Path | None = variable(names.MODEL_ROOT, None)
    """Folder of base models. Unset: base models come from the Hugging Face hub only."""
    redis_url: str | None = variable(names.REDIS_URL, None, repr=False)
    """Redis to which live progress is published. Unset: progress goes to the log only."""
    c2pa_certificate: Path | None = variable(names.C2PA_CERTIFICATE, None)
    """PEM file of the certificate chain that signs images and clips (C2PA), the signer's first. Unset: unsigned."""
    c2pa_key: Path | None = variable(names.C2PA_KEY, None)
    """PEM file of the certificate's private key, without password."""
    c2pa_timestamp_url: str | None = variable(names.C2PA_TIMESTAMP_URL, None)
    """Time-stamping server (RFC 3161) that confirms when a file was signed. Unset: none is asked."""
    dataset_uris: DatasetUris = variable(names.DATASET_URIS, ())
    """Folders that trainings may read in addition to `datasets/<namespace>/` of the bucket."""
    warm_seconds: float = variable(names.WARM_SECONDS, 0.0, ge=0)
    """How long the process waits for the next run after one that ended well. The operator sets it. 0: it ends."""
    max_runs: WholeNumber = variable(names.MAX_RUNS, DEFAULT_MAX_RUNS, ge=1)
    """Runs after which the process ends in any case. The operator sets it."""
    outcome_key: str | None = variable(names.OUTCOME_KEY, None, repr=False)
    """Key that signs published outcomes, 64 hexadecimal digits. The operator sets it. Unset: the process ends with its
    run."""
    handover_dir: Path | None = variable(names.HANDOVER_DIR, None)
    """Folder with the next run document and the acknowledgement of the last outcome, a downward API volume. The
    operator sets it. Unset: the process ends with its run."""

    @model_validator(mode="after")
    def _require_certificate_and_key(self) -> Self:
        if (self.c2pa_certificate is None) != (self.c2pa_key is None):
            raise InvalidRunError(f"Set both {names.C2PA_CERTIFICATE} and {names.C2PA_KEY}, or neither.")
        return self

    @property
    def stays_warm(self) -> bool:
        """Whether the process waits for another run. Without Redis it could not publish its outcome."""
        return self.warm_seconds > 0 and None not in (self.outcome_key, self.handover_dir, self.redis_url)

    @property
    def dataset_policy(self) -> DatasetPolicy:
        return DatasetPolicy(self.s3_bucket, self.dataset_uris)


def termination_message_path(environment: Mapping[str, str]) -> Path:
    """Read apart from `Settings`: an outcome must be written even when those can't be read."""
    return Path(environment.get(names.TERMINATION_MESSAGE_PATH) or DEFAULT_TERMINATION_MESSAGE_PATH)
