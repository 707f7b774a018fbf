"""What the operator is told by its environment. Read once, by `main`; nothing else reads environment variables.

How the API server is reached is not here: `connection.py` finds that by kubectl's own rules.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Self, TypeVar

from darkroom_contract import environment as names
from darkroom_contract.base_models import parse_reference
from darkroom_contract.datasets import DatasetPolicy, read_policy
from darkroom_contract.specs import MAX_SECONDS
from darkroom_operator.errors import SettingsError
from darkroom_operator.kube.objects import Json
from darkroom_operator.pods.template import VARIABLE, read_template

T = TypeVar("T")

SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
SVD = "stabilityai/stable-video-diffusion-img2vid-xt"

MAX_DOUBLINGS = 64
MAX_LEASE_SECONDS = 3600


@dataclass(frozen=True)
class Settings:
    """The operator's settings; each is the environment variable of its docstring."""

    runner_image: str
    """DARKROOM_RUNNER_IMAGE. No default: it must be the image of the operator's own release."""
    namespace: str = "default"
    """DARKROOM_NAMESPACE, whose jobs are run, and where pods and leases are made. One operator serves one namespace."""
    slots: int = 1
    """DARKROOM_SLOTS: how many jobs run at a time. One, since there is one GPU."""
    runner_template: Json = field(default_factory=dict)
    """DARKROOM_RUNNER_TEMPLATE: a YAML file, a partial PodTemplateSpec that is laid under the pod of each run: where it
    is put, and what it gets to see. Checked by `runner_template.py`, which says what may be in it."""
    runner_secret: str | None = None
    """DARKROOM_RUNNER_SECRET: a Secret whose keys become the runner's environment: storage, Redis, model root."""
    gpu_resource: str = "nvidia.com/gpu"
    """DARKROOM_GPU_RESOURCE: the extended resource that a runner asks for."""
    gpu_count: int = 1
    """DARKROOM_GPU_COUNT: how many of it; 0 asks for none, for clusters without GPUs."""
    default_base_model: str = SDXL
    """DARKROOM_DEFAULT_BASE_MODEL, for jobs that name none."""
    default_video_base_model: str = SVD
    """DARKROOM_DEFAULT_VIDEO_BASE_MODEL, for jobs that name none."""
    dataset_policy: DatasetPolicy | None = None
    """DARKROOM_S3_BUCKET and DARKROOM_DATASET_URIS, as runners get them: what trainings may read. The operator itself
    never reads the bucket. None, without a bucket: left to the runner, which fails the job when its turn has come."""
    model_root: Path | None = None
    """DARKROOM_MODEL_ROOT, where the operator sees the runners' own: a job whose base model is not there fails before
    it takes a slot. None: left to the runner."""
    redis_url: str | None = None
    """DARKROOM_REDIS_URL: where live progress is read. None: statuses show no progress."""
    health_port: int | None = None
    """DARKROOM_HEALTH_PORT of /healthz. None: not served."""
    health_host: str = "0.0.0.0"
    """DARKROOM_HEALTH_HOST: the address it is served on; a kubelet asks on the pod's own."""
    retry_base_seconds: float = 10.0
    """DARKROOM_RETRY_BASE_SECONDS: the wait after the first failure; each further one doubles it, as Job does."""
    retry_cap_seconds: float = 300.0
    """DARKROOM_RETRY_CAP_SECONDS: no wait is longer. A cause that takes minutes to mend is found soon after."""
    termination_grace_seconds: int = 120
    """DARKROOM_TERMINATION_GRACE_SECONDS: how long a stopped runner may take to save its state and leave."""
    lease_seconds: int = 5
    """DARKROOM_LEASE_SECONDS: how long a leader may be silent before another operator takes over. What is done about it
    is tried every fifth of it, so a new leader acts within 1.4 times as long (7 s) of the old one's sudden end."""
    identity: str | None = None
    """DARKROOM_OPERATOR_IDENTITY: the name under which it leads. None: one that only this process has. One that
    outlives the process lets the next begin without waiting; no two that live at once may share it."""
    watch_stuck_seconds: float = 120.0
    """DARKROOM_WATCH_STUCK_SECONDS: how far a watch may be behind before the liveness probe fails. kopf mends a silent
    one after 70 s, and waits up to 21 s between tries."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises `SettingsError` with the name and the value of what can't be used."""
        given = {
            "runner_image": environment.get("DARKROOM_RUNNER_IMAGE"),
            "namespace": environment.get("DARKROOM_NAMESPACE"),
            "slots": _read(environment, "DARKROOM_SLOTS", _at_least_one),
            "runner_template": _read(environment, VARIABLE, read_template),
            "runner_secret": environment.get("DARKROOM_RUNNER_SECRET"),
            "gpu_resource": environment.get("DARKROOM_GPU_RESOURCE"),
            "gpu_count": _read(environment, "DARKROOM_GPU_COUNT", _at_least_zero),
            "default_base_model": _read(environment, "DARKROOM_DEFAULT_BASE_MODEL", _base_model),
            "default_video_base_model": _read(environment, "DARKROOM_DEFAULT_VIDEO_BASE_MODEL", _base_model),
            "model_root": _read(environment, names.MODEL_ROOT, Path),
            "dataset_policy": _dataset_policy(environment),
            "redis_url": environment.get(names.REDIS_URL),
            "health_port": _read(environment, "DARKROOM_HEALTH_PORT", _at_least_one),
            "health_host": environment.get("DARKROOM_HEALTH_HOST"),
            "retry_base_seconds": _read(environment, "DARKROOM_RETRY_BASE_SECONDS", _duration),
            "retry_cap_seconds": _read(environment, "DARKROOM_RETRY_CAP_SECONDS", _duration),
            "termination_grace_seconds": _read(environment, "DARKROOM_TERMINATION_GRACE_SECONDS", _at_least_zero),
            "lease_seconds": _read(environment, "DARKROOM_LEASE_SECONDS", _lease_duration),
            "identity": environment.get("DARKROOM_OPERATOR_IDENTITY"),
            "watch_stuck_seconds": _read(environment, "DARKROOM_WATCH_STUCK_SECONDS", _duration),
        }
        if not given["runner_image"]:
            raise SettingsError("DARKROOM_RUNNER_IMAGE is not set: name the image that has darkroom-runner in it.")
        settings = cls(**{name: value for name, value in given.items() if value not in (None, "")})  # type: ignore[arg-type]
        settings._require_one_word_on_gpus()
        return settings

    def _require_one_word_on_gpus(self) -> None:
        containers = (self.runner_template.get("spec") or {}).get("containers") or []
        resources: Json = containers[0].get("resources") or {} if containers else {}
        for kind in ("limits", "requests"):
            if self.gpu_count and self.gpu_resource in (resources.get(kind) or {}):
                where = f"{VARIABLE}: spec.containers[0].resources.{kind}.{self.gpu_resource}"
                raise SettingsError(f"{where}: it can't be set here: set DARKROOM_GPU_COUNT.")

    @property
    def renew_seconds(self) -> float:
        """After so long without a renewal a leader stops acting: well before anybody else begins."""
        return 0.6 * self.lease_seconds

    @property
    def retry_seconds(self) -> float:
        """Between two renewals of a leader, and two looks of a follower."""
        return 0.2 * self.lease_seconds

    def retry_wait(self, failures: int) -> timedelta:
        """The wait before the next run, after so many failed ones."""
        doublings = min(failures - 1, MAX_DOUBLINGS)  # A status may say anything.
        return timedelta(seconds=min(self.retry_cap_seconds, self.retry_base_seconds * 2.0**doublings))


def _read(environment: Mapping[str, str], name: str, parse: Callable[[str], T]) -> T | None:
    text = environment.get(name)
    if not text:
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise SettingsError(f"{name} is {text!r}: {error}") from error


def _base_model(text: str) -> str:
    parse_reference(text)
    return text


def _dataset_policy(environment: Mapping[str, str]) -> DatasetPolicy | None:
    bucket, uris = environment.get(names.S3_BUCKET), environment.get(names.DATASET_URIS)
    try:
        return read_policy(bucket, uris) if bucket else None
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _at_least_zero(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError("it must be 0 or more")
    return number


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError("it must be 1 or more")
    return number


def _lease_duration(text: str) -> int:
    seconds = int(text)
    if not 1 <= seconds <= MAX_LEASE_SECONDS:
        raise ValueError(f"it must be a whole number of seconds from 1 to {MAX_LEASE_SECONDS}")
    return seconds


def _duration(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= MAX_SECONDS:
        raise ValueError(f"it must be a number of seconds from 0 to {MAX_SECONDS}")
    return seconds
