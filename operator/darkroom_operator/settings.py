"""The operator's settings. `main.py` reads the environment once; the other modules get the `Settings`.

The API server's address is not among them: the Kubernetes client finds it by kubectl's rules.
"""

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, ValidationInfo, field_validator, model_validator
from pydantic_settings import NoDecode

from darkroom_contract import environment as names
from darkroom_contract.base_models import DEFAULT_BASE_MODEL, parse_reference
from darkroom_contract.handover import DEFAULT_MAX_RUNS
from darkroom_contract.settings import EnvironmentSettings, Integer, variable
from darkroom_contract.specs.job import MAX_SECONDS
from darkroom_contract.storage.datasets import DatasetPolicy
from darkroom_contract.storage.settings import DatasetUris
from darkroom_operator.errors import SettingsError
from darkroom_operator.kube.objects import Json
from darkroom_operator.pods.template import VARIABLE, read_template

SVD = "stabilityai/stable-video-diffusion-img2vid-xt"

MAX_DOUBLINGS = 64
MAX_RUNS = 1_000_000
MAX_LEASE_SECONDS = 3600


def _check_base_model(reference: str) -> str:
    parse_reference(reference)
    return reference


def _read_template(given: object) -> object:
    return read_template(given) if isinstance(given, str) else given


BaseModelReference = Annotated[str, AfterValidator(_check_base_model)]
Template = Annotated[Json, NoDecode, BeforeValidator(_read_template)]


class QueuePolicyName(StrEnum):
    """The policies of `scheduling/policy.py`."""

    PRIORITY_THEN_AGE = "PriorityThenAge"


class Settings(EnvironmentSettings):
    """One operator."""

    error_type = SettingsError

    runner_image: str = variable("DARKROOM_RUNNER_IMAGE")
    """Image with `darkroom-runner`, of the operator's own release."""
    namespace: str = variable("DARKROOM_NAMESPACE", "default")
    """Namespace of jobs, pods and Leases. One operator serves one namespace."""
    slots: Integer = variable("DARKROOM_SLOTS", 1, ge=1)
    """Jobs that run at a time. One, for one GPU."""
    queue_policy: QueuePolicyName = variable("DARKROOM_QUEUE_POLICY", QueuePolicyName.PRIORITY_THEN_AGE)
    """Order of the queue. `PriorityThenAge`: by `spec.priority`, then by age."""
    runner_template: Template = variable(VARIABLE, default_factory=dict)
    """Path of a YAML file: a partial PodTemplateSpec that is merged into the pod of every run, for node selectors,
    tolerations and volumes. A field that Darkroom itself sets is refused."""
    runner_secret: str | None = variable("DARKROOM_RUNNER_SECRET", None)
    """Secret whose keys become the runner's environment: storage, Redis, model root."""
    gpu_resource: str = variable("DARKROOM_GPU_RESOURCE", "nvidia.com/gpu")
    """Extended resource that a runner requests."""
    gpu_count: Integer = variable("DARKROOM_GPU_COUNT", 1, ge=0)
    """How many of `DARKROOM_GPU_RESOURCE` a runner requests. 0: request none, for clusters without GPUs."""
    default_base_model: BaseModelReference = variable(names.DEFAULT_BASE_MODEL, DEFAULT_BASE_MODEL)
    """Base model of jobs that name none."""
    default_video_base_model: BaseModelReference = variable("DARKROOM_DEFAULT_VIDEO_BASE_MODEL", SVD)
    """Video base model of jobs that name none."""
    s3_bucket: str | None = variable(names.S3_BUCKET, None)
    """The runners' bucket, to check a dataset's URI before a job takes a slot; the operator never reads it. Unset: only
    the runner checks."""
    dataset_uris: DatasetUris = variable(names.DATASET_URIS, ())
    """Folders that trainings may read in addition to `datasets/<namespace>/`, such as
    `s3://photos/ s3://archive/dogs/`. The runners get the same."""
    model_root: Path | None = variable(names.MODEL_ROOT, None)
    """The runners' folder of base models, where it is mounted in the operator too: a job whose base model is not in it
    fails before it takes a slot. Unset: only the runner checks."""
    redis_url: str | None = variable(names.REDIS_URL, None, repr=False)
    """Redis from which live progress is read. Unset: statuses show no progress."""
    health_port: Integer | None = variable("DARKROOM_HEALTH_PORT", None, ge=1, le=65_535)
    """Port of `/healthz`, `/readyz` and `/metrics`. Unset: not served."""
    health_host: str = variable("DARKROOM_HEALTH_HOST", "0.0.0.0")
    """Address that `DARKROOM_HEALTH_PORT` is served on. A kubelet probes the pod's own address."""
    warm_seconds: float = variable(names.WARM_SECONDS, 60.0, ge=0, le=MAX_SECONDS)
    """How long a runner whose run ended well waits for the next job, with libraries and base model in memory. It holds
    its GPU meanwhile. 0: each run gets a new pod, as it does without Redis."""
    max_runs: Integer = variable(names.MAX_RUNS, DEFAULT_MAX_RUNS, ge=1, le=MAX_RUNS)
    """Runs of one runner, one after the other, before a new pod replaces it."""
    retry_base_seconds: float = variable("DARKROOM_RETRY_BASE_SECONDS", 10.0, ge=0, le=MAX_SECONDS)
    """Wait after the first failed run; each further one doubles it, as a Kubernetes Job does."""
    retry_cap_seconds: float = variable("DARKROOM_RETRY_CAP_SECONDS", 300.0, ge=0, le=MAX_SECONDS)
    """Longest wait between two runs."""
    termination_grace_seconds: Integer = variable("DARKROOM_TERMINATION_GRACE_SECONDS", 120, ge=0)
    """Time for a stopped runner to save its state and exit."""
    lease_seconds: Integer = variable("DARKROOM_LEASE_SECONDS", 5, ge=1, le=MAX_LEASE_SECONDS)
    """Duration of the leader's Lease. Another operator takes over at most 1.4 times as long (7 s) after the leader
    died."""
    identity: str | None = variable("DARKROOM_OPERATOR_IDENTITY", None)
    """Name of this operator in the leader's Lease. A name that outlives the process lets its successor start without
    waiting; two live operators must not share one. Unset: unique to the process."""
    watch_stuck_seconds: float = variable("DARKROOM_WATCH_STUCK_SECONDS", 120.0, ge=0, le=MAX_SECONDS)
    """How far a watch may lag before the liveness probe fails. kopf restarts a silent watch after 70 s, and waits up to
    21 s between attempts."""

    @field_validator("dataset_uris", mode="before")
    @classmethod
    def _ignore_without_bucket(cls, given: object, info: ValidationInfo) -> object:
        """Only a policy uses them, and a policy needs a bucket: the runner checks the rest."""
        return given if info.data.get("s3_bucket") else ()

    @model_validator(mode="after")
    def _require_one_source_of_gpus(self) -> Self:
        containers = (self.runner_template.get("spec") or {}).get("containers") or []
        resources: Json = containers[0].get("resources") or {} if containers else {}
        for kind in ("limits", "requests"):
            if self.gpu_count and self.gpu_resource in (resources.get(kind) or {}):
                where = f"{VARIABLE}: spec.containers[0].resources.{kind}.{self.gpu_resource}"
                raise SettingsError(f"{where}: it can't be set here: set DARKROOM_GPU_COUNT.")
        return self

    @property
    def dataset_policy(self) -> DatasetPolicy | None:
        """What trainings may read; None without a bucket."""
        return DatasetPolicy(self.s3_bucket, self.dataset_uris) if self.s3_bucket else None

    @property
    def keeps_pods_warm(self) -> bool:
        """Whether pods take over further runs. Outcomes of such runs come by Redis."""
        return self.warm_seconds > 0 and self.redis_url is not None

    @property
    def renew_seconds(self) -> float:
        """A leader that could not renew its Lease for this long stops acting: well before another one starts."""
        return 0.6 * self.lease_seconds

    @property
    def retry_seconds(self) -> float:
        """Interval of a leader's renewals, and of a follower's checks."""
        return 0.2 * self.lease_seconds

    def retry_wait(self, failures: int) -> timedelta:
        """The wait before the next run, after `failures` failed ones."""
        doublings = min(failures - 1, MAX_DOUBLINGS)  # A status may contain any number.
        return timedelta(seconds=min(self.retry_cap_seconds, self.retry_base_seconds * 2.0**doublings))
