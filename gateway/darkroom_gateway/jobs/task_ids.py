"""Task ids: the names of the jobs that the gateway creates. Pure."""

import base64
import hashlib
import secrets

from darkroom_contract.names import MAX_JOB_NAME_LENGTH, Kind

TASK_ID_PATTERN = rf"^[a-z0-9]([a-z0-9-]{{0,{MAX_JOB_NAME_LENGTH - 2}}}[a-z0-9])?$"
"""Any valid job name, because jobs created with kubectl can be looked up too."""

IDEMPOTENCY_KEY_PATTERN = r"^[\x21-\x7e]{1,255}$"

DATASET_ID_PATTERN = r"[a-z2-7]{16}"
"""Format of `new_dataset_id`. Other folders next to the datasets are not the gateway's."""

IMPORT_ID_PATTERN = r"import-[a-z2-7]{16}"
"""Format of `new_import_id`. Other folders next to the imported LoRAs belong to people."""

UPLOAD_PREFIX = "upload-"
UPLOAD_ID_PATTERN = rf"{UPLOAD_PREFIX}[a-z2-7]{{16}}"
"""Format of `new_upload_id`. No dataset that the gateway stores itself, nor an old one, has this format."""

PREFIXES = {Kind.TRAIN: "train", Kind.GENERATE: "generate"}


def new_task_id(kind: Kind) -> str:
    """A random name with 50 bits of entropy, such as `train-k3x9q2m7ab`."""
    return f"{PREFIXES[kind]}-{_letters(secrets.token_bytes(10))[:10]}"


def task_id_for(kind: Kind, idempotency_key: str) -> str:
    """The name derived from an `Idempotency-Key`, by which a repeated request finds the first one's job."""
    return f"{PREFIXES[kind]}-{_letters(hashlib.sha256(idempotency_key.encode()).digest())[:20]}"


def new_dataset_id() -> str:
    """Always random, so that of two requests with the same key, each removes only its own photos."""
    return _letters(secrets.token_bytes(10))


def new_import_id() -> str:
    """Always random, so that concurrent imports of one model never share a file."""
    return f"import-{_letters(secrets.token_bytes(10))}"


def new_upload_id() -> str:
    """The folder of photos that a client uploads to object storage itself. It can't be guessed."""
    return UPLOAD_PREFIX + new_dataset_id()


def _letters(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()
