"""Names of the environment variables that more than one package reads. Each program has further ones in its
settings.py.

AWS credentials are boto3's own: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, and the rest of its chain.
"""

RUN = "DARKROOM_RUN"
"""The run document, JSON; set by the operator on the runner's container."""

TERMINATION_MESSAGE_PATH = "DARKROOM_TERMINATION_MESSAGE_PATH"
"""Where the runner writes its outcome; the container's `terminationMessagePath`."""

SCRATCH_DIR = "DARKROOM_SCRATCH_DIR"
"""A writable folder for the runner's temporary files (an emptyDir)."""

WARM_SECONDS = "DARKROOM_WARM_SECONDS"
"""For the operator: how long a pod whose run ended well waits for the next job. On the runner's container: the same,
set by the operator; absent or 0: the process ends with its run."""

MAX_RUNS = "DARKROOM_MAX_RUNS"
"""Runs of one pod, after which its process ends; for the operator, and set by it on the runner's container."""

OUTCOME_KEY = "DARKROOM_OUTCOME_KEY"
"""Key of the signatures of outcomes (handover.py): 64 hexadecimal digits, random for each pod; set by the operator."""

HANDOVER_DIR = "DARKROOM_HANDOVER_DIR"
"""Mount path of the downward API volume with the next run document (handover.py); set by the operator."""

MODEL_ROOT = "DARKROOM_MODEL_ROOT"
"""A folder of base models, one folder each, looked at before the hub."""

S3_ENDPOINT_URL = "DARKROOM_S3_ENDPOINT_URL"
"""Empty or unset: AWS itself."""

S3_PUBLIC_ENDPOINT_URL = "DARKROOM_S3_PUBLIC_ENDPOINT_URL"
"""The address under which people reach the storage; links are signed for it. The endpoint itself when unset."""

S3_ADDRESSING_STYLE = "DARKROOM_S3_ADDRESSING_STYLE"
"""`path` (default), `virtual` or `auto`; see storage/s3.py."""

S3_BUCKET = "DARKROOM_S3_BUCKET"
S3_REGION = "DARKROOM_S3_REGION"
DATASET_URIS = "DARKROOM_DATASET_URIS"
"""Folders that trainings may read beside their namespace's own, such as `s3://photos/ s3://archive/dogs/`."""

DEFAULT_BASE_MODEL = "DARKROOM_DEFAULT_BASE_MODEL"
"""The base model of jobs that name none: for the operator, and for the gateway's imports of LoRAs."""

C2PA_CERTIFICATE = "DARKROOM_C2PA_CERTIFICATE"
C2PA_KEY = "DARKROOM_C2PA_KEY"
C2PA_TIMESTAMP_URL = "DARKROOM_C2PA_TIMESTAMP_URL"
"""Content Credentials: PEM files of the certificate chain and its key, and a time-stamping server; for the runner."""

OTEL_SDK_DISABLED = "OTEL_SDK_DISABLED"
OTEL_EXPORTER = "OTEL_TRACES_EXPORTER"
OTEL_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
OTEL_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
"""OpenTelemetry's own, as far as they turn traces on and off (tracing/tracing.py); its SDK reads further ones."""

REDIS_URL = "DARKROOM_REDIS_URL"
