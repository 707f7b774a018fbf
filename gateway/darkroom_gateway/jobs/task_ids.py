"""Task ids: the names of the jobs that the gateway creates. Pure."""

import base64
import hashlib
import secrets

from darkroom_contract.names import MAX_JOB_NAME_LENGTH, Kind

TASK_ID_PATTERN = rf"^[a-z0-9]([a-z0-9-]{{0,{MAX_JOB_NAME_LENGTH - 2}}}[a-z0-9])?$"
"""Any name that a job can have: jobs from YAML are looked up too."""

IDEMPOTENCY_KEY_PATTERN = r"^[\x21-\x7e]{1,255}$"

DATASET_ID_PATTERN = r"[a-z2-7]{16}"
"""What `new_dataset_id` makes. Folders of other names beside the datasets are somebody else's."""

PREFIXES = {Kind.TRAIN: "train", Kind.GENERATE: "generate"}


def new_task_id(kind: Kind) -> str:
    """A random name, such as `train-k3x9q2m7ab`; fifty bits, so that two never meet."""
    return f"{PREFIXES[kind]}-{_letters(secrets.token_bytes(10))[:10]}"


def task_id_for(kind: Kind, idempotency_key: str) -> str:
    """The one name that belongs to an `Idempotency-Key`: a request that is sent again finds the job of the first."""
    return f"{PREFIXES[kind]}-{_letters(hashlib.sha256(idempotency_key.encode()).digest())[:20]}"


def new_dataset_id() -> str:
    """Always random: of two requests with one key, the loser cleans up its own photos only."""
    return _letters(secrets.token_bytes(10))


def _letters(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()
