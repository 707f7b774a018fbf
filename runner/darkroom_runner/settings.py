"""What the runner is told by its environment. Read once, by `main`; nothing else reads environment variables.

Credentials of the object storage are not here: boto3 finds them by its own chain.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from darkroom_contract import environment as names
from darkroom_contract.datasets import DatasetPolicy, read_allowed_uris
from darkroom_contract.s3 import AddressingStyle, read_addressing_style, read_endpoint_url, require_host_for
from darkroom_runner.errors import InvalidRunError

DEFAULT_TERMINATION_MESSAGE_PATH = "/dev/termination-log"
DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True)
class Settings:
    """The runner's settings."""

    run: str
    """The run document, JSON."""
    scratch_dir: Path | None
    """Where temporary files go. None: the system's own place for them."""
    model_root: Path | None
    """A folder of base models. None: base models come from the hub only."""
    s3_endpoint_url: str | None
    """None: AWS itself."""
    s3_bucket: str
    s3_region: str
    redis_url: str | None
    """None: progress goes to the log only."""
    s3_addressing_style: AddressingStyle = AddressingStyle.PATH
    """Where the bucket stands in addresses."""
    dataset_uris: tuple[str, ...] = ()
    """Folders that trainings may read beside their namespace's own."""

    @property
    def dataset_policy(self) -> DatasetPolicy:
        return DatasetPolicy(self.s3_bucket, self.dataset_uris)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises `InvalidRunError` when something that every run needs is missing or can't be used."""
        scratch, root = environment.get(names.SCRATCH_DIR), environment.get(names.MODEL_ROOT)
        bucket = _required(environment, names.S3_BUCKET)
        try:
            endpoint_url = read_endpoint_url(names.S3_ENDPOINT_URL, environment.get(names.S3_ENDPOINT_URL))
            style = read_addressing_style(environment.get(names.S3_ADDRESSING_STYLE))
            require_host_for(style, bucket, endpoint_url)
            dataset_uris = read_allowed_uris(environment.get(names.DATASET_URIS))
        except ValueError as error:
            raise InvalidRunError(str(error)) from None
        return cls(
            run=_required(environment, names.RUN),
            scratch_dir=Path(scratch) if scratch else None,
            model_root=Path(root) if root else None,
            s3_endpoint_url=endpoint_url,
            s3_bucket=bucket,
            s3_region=environment.get(names.S3_REGION) or DEFAULT_REGION,
            redis_url=environment.get(names.REDIS_URL) or None,
            s3_addressing_style=style,
            dataset_uris=dataset_uris,
        )


def termination_message_path(environment: Mapping[str, str]) -> Path:
    """Apart from the rest, since an outcome must be written even when the rest can't be read."""
    return Path(environment.get(names.TERMINATION_MESSAGE_PATH) or DEFAULT_TERMINATION_MESSAGE_PATH)


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name)
    if not value:
        raise InvalidRunError(f"The environment variable {name} is not set; the operator sets it on the runner's pod.")
    return value
