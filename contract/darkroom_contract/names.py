"""Names in the cluster: API group, kinds, labels, annotations, and names derived from a job.

Used by every package; contains no policy. The patterns here check every name from a user before it becomes part of an
object's name, a label or a storage key.
"""

from enum import StrEnum

GROUP = "darkroom.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "darkroom"

LABEL_JOB_UID = f"{GROUP}/job-uid"
LABEL_JOB_KIND = f"{GROUP}/job-kind"
LABEL_JOB_NAME = f"{GROUP}/job-name"
LABEL_ATTEMPT = f"{GROUP}/attempt"
LABEL_MODEL_ID = f"{GROUP}/model-id"
LABEL_SUBMITTED_BY = f"{GROUP}/submitted-by"
"""On a job from the gateway: the name of the API key that created it. Informative only: anyone with write access to
jobs can set it, and it grants nothing."""
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_PART_OF = "app.kubernetes.io/part-of"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
RUNNER_COMPONENT = "runner"
SLOT_COMPONENT = "slot"
PART_OF = "darkroom"

ANNOTATION_JOB = f"{GROUP}/job"
"""On the Lease of a slot: its holder, as `Kind/name`."""

ANNOTATION_PHOTOS_SHA256 = f"{GROUP}/photos-sha256"
"""On a TrainJob from the gateway: SHA-256 over the SHA-256 of each uploaded photo, in order; hex. On a GenerateJob from
it: a SHA-256 that identifies its start pictures. Too long for a label (64 characters)."""

ANNOTATION_TRACEPARENT = f"{GROUP}/traceparent"
"""On a job: the W3C traceparent of the request that created it. Operator and runner add their spans to that trace."""

ANNOTATION_UPLOAD = f"{GROUP}/upload"
"""On a TrainJob from the gateway: URI of the upload by links whose photos it has."""

ANNOTATION_WEBHOOK = f"{GROUP}/webhook"
"""On a job with a webhook: what was delivered, as JSON (webhooks.py). Written by gateways alone."""

LABEL_DELETE_FILES = f"{GROUP}/delete-files"
"""`true` on a job whose files are deleted with it. `DELETE /jobs/{task_id}?files=true` sets it; users of YAML may set
it, too. The gateways list jobs by it and put `FINALIZER_FILES` on them."""

FINALIZER_FILES = f"{GROUP}/files"
"""Keeps a deleted job until a gateway has removed its files from object storage. Set and removed by gateways alone."""

RUNNER_CONTAINER = "runner"
"""The one container of a runner pod; its termination message carries the outcome."""

MAX_JOB_NAME_LENGTH = 48
"""Leaves space for `-<uid part>-<attempt>` in a pod's name, which must be a DNS label of at most 63 characters."""

MODEL_ID_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"
"""Also a valid label value, and never a path: no slash, no leading dot."""

MODEL_REFERENCE_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?(@(best|[1-9][0-9]{0,4}))?$"
"""A model id, optionally with one of its saved steps: `my-dog`, `my-dog@200`, `my-dog@best`."""
MAX_MODEL_REFERENCE_LENGTH = 69


def model_of_reference(reference: str) -> str:
    """The model id of a reference: `my-dog` for `my-dog@200`."""
    return reference.partition("@")[0]


def step_of_reference(reference: str) -> str | None:
    """The saved step of a reference: `200` for `my-dog@200`, None for `my-dog`."""
    return reference.partition("@")[2] or None


LORA_URI_PATTERN = (
    r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[A-Za-z0-9]([A-Za-z0-9/_.=+@ -]*[A-Za-z0-9_.=+@ -])?\.safetensors$"
)
"""One LoRA file of a bucket. Whether a job may read it is decided by storage/datasets.py."""

IMAGE_URI_PATTERN = (
    r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[A-Za-z0-9]([A-Za-z0-9/_.=+@ -]*[A-Za-z0-9_=+@ -])?"
    r"\.([Jj][Pp][Ee]?[Gg]|[Pp][Nn][Gg]|[Ww][Ee][Bb][Pp]|[Aa][Vv][Ii][Ff]|[Hh][Ee][Ii][CcFf])$"
)
"""One picture of a bucket. Whether a job may read it is decided by storage/datasets.py."""
MAX_IMAGE_URI_LENGTH = 512

HTTP_URL_PATTERN = r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s/?#@\\]+([/?#]\S*)?$"
"""An http or https address, without a user or a password. Where it may lead is decided by the gateway."""

KEY_NAME_PATTERN = MODEL_ID_PATTERN
"""Names of API keys: label values, and names of files in a Secret."""

DATASET_URI_PATTERN = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[A-Za-z0-9][A-Za-z0-9/_.=+-]*$"
"""A folder of a bucket. Whether a job may read it is decided by storage/datasets.py."""

BASE_MODEL_PATTERN = (
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?"
    r"(@[A-Za-z0-9](\.?[A-Za-z0-9_-]){0,99})?$"
)
"""`name` (a folder of the runner's model root) or `owner/name` (a hub repository), with `@revision`: a branch, tag or
commit without a slash. Never a path of its own: one slash at most, and no `..` in a revision."""
MAX_BASE_MODEL_LENGTH = 300


class Kind(StrEnum):
    """The two kinds of job."""

    TRAIN = "TrainJob"
    GENERATE = "GenerateJob"

    @property
    def plural(self) -> str:
        return {Kind.TRAIN: "trainjobs", Kind.GENERATE: "generatejobs"}[self]

    @property
    def singular(self) -> str:
        return self.value.lower()

    @property
    def short_name(self) -> str:
        return {Kind.TRAIN: "dtj", Kind.GENERATE: "dgj"}[self]

    @property
    def crd_name(self) -> str:
        return f"{self.plural}.{GROUP}"


def pod_name(job_name: str, job_uid: str, attempt: int) -> str:
    """The name of the pod of one run: the same for the same job and attempt, so that creating it twice is harmless.

    Part of the uid separates a job from a deleted one of the same name.
    """
    return f"{job_name[:MAX_JOB_NAME_LENGTH].rstrip('.-')}-{job_uid.replace('-', '')[:8]}-{attempt}"


def slot_lease_name(slot: int) -> str:
    """The Lease that is the right to run on slot number `slot`, counted from 0."""
    return f"darkroom-slot-{slot}"
