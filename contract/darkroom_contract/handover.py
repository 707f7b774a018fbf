"""Warm hand-over: a runner pod that ended a run well stays idle and takes over the next job's run.

The operator and the runner exchange three things, and neither needs credentials of the other:

- The run document. The operator writes it to the annotation `darkroom.dev/run`, which the pod reads as a file of a
  downward API volume. The first run of a pod is in the environment variable `DARKROOM_RUN`.
- The outcome. The runner publishes a `SignedOutcome` on a Redis stream. Its HMAC key is in the pod's environment, so
  access to Redis is not enough to end a job.
- The acknowledgement. The operator writes `<job uid>/<attempt>` to the annotation `darkroom.dev/acknowledged` once
  the outcome is in the job's status. Without one the runner ends with the outcome in its termination message, as a
  runner without hand-over does, so a lost Redis costs only the warm start.

The environment variables are in environment.py: `WARM_SECONDS`, `MAX_RUNS`, `OUTCOME_KEY` and `HANDOVER_DIR`.
"""

import hashlib
import hmac
import json
from typing import Any, Self

from pydantic import Field, ValidationError

from darkroom_contract.names import GROUP
from darkroom_contract.outcome import Outcome
from darkroom_contract.schema import Schema

ANNOTATION_RUN = f"{GROUP}/run"
"""On a pod: the `RunDocument` that it takes over, as JSON. Written once per run, after the slot and the job's status
name the pod."""
ANNOTATION_ACKNOWLEDGED = f"{GROUP}/acknowledged"
"""On a pod: `run_key` of its last run whose outcome is in the job's status."""
ANNOTATION_TEMPLATE = f"{GROUP}/template"
"""On a pod: a hash of everything in its manifest that does not depend on the job, and of the release."""
LABEL_RUNNER_STATE = f"{GROUP}/runner-state"
"""On a pod that waits for its next run: `idle`. Absent otherwise."""
IDLE = "idle"

HANDOVER_DIR = "/etc/darkroom/handover"
"""Mount path of the downward API volume."""
HANDOVER_VOLUME = "handover"
RUN_FILE = "run"
"""Content of `ANNOTATION_RUN`; empty without the annotation. The kubelet replaces all files of the volume at once, by
renaming the symbolic link `..data`."""
ACKNOWLEDGED_FILE = "acknowledged"
"""Content of `ANNOTATION_ACKNOWLEDGED`."""

ACKNOWLEDGE_SECONDS = 10.0
"""How long a runner waits for the acknowledgement of its outcome."""
PUBLISH_SECONDS = 1.0
"""Interval at which the runner publishes its outcome again while it waits."""
DEFAULT_MAX_RUNS = 100

STREAM_MAX_LENGTH = 16
STREAM_TTL_SECONDS = 24 * 3600
STREAM_FIELD = "outcome"
MIN_KEY_DIGITS = 64


def outcome_stream(job_uid: str) -> str:
    """The Redis stream of a job; each entry has one field, `outcome`, a `SignedOutcome` as JSON."""
    return f"darkroom:outcome:{job_uid}"


def run_key(job_uid: str, attempt: int) -> str:
    """One run, as annotations name it."""
    return f"{job_uid}/{attempt}"


class SignedOutcome(Schema):
    """The outcome of a run whose process waits for the next one."""

    job_uid: str = Field(min_length=1, max_length=64)
    attempt: int = Field(ge=1)
    outcome: Outcome
    idle: bool = Field(True, description="The process can take over another run.")
    signature: str = Field("", description="HMAC-SHA256 of the canonical JSON of the other fields, in hexadecimal.")

    @classmethod
    def sign(cls, job_uid: str, attempt: int, outcome: Outcome, key: str) -> Self:
        """`key` is `DARKROOM_OUTCOME_KEY`. Raises `ValueError` for a key that is too short or not hexadecimal."""
        unsigned = cls(job_uid=job_uid, attempt=attempt, outcome=outcome)
        return unsigned.model_copy(update={"signature": _signature(unsigned.to_dict(), key)})

    def to_json(self) -> str:
        return json.dumps(self.to_dict())

    @classmethod
    def verify(cls, text: str, key: str) -> Self | None:
        """The outcome in `text`, or None if its signature is not by `key` or it is not a signed outcome.

        The signature covers the document as it was published, with fields that this release does not know. Compared in
        constant time. Raises `ValueError` for an invalid key.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if not isinstance(document, dict):
            return None
        given = document.get("signature")
        try:
            expected = _signature(document, key)
        except RecursionError:  # `dumps` refuses documents that are less deep than those that `loads` refuses.
            return None
        if not isinstance(given, str) or not hmac.compare_digest(expected.encode(), _ascii(given)):
            return None
        try:
            return cls.model_validate(document)
        except ValidationError:
            return None


def _ascii(text: str) -> bytes:
    return text.encode("ascii", errors="replace")


def _signature(document: dict[str, Any], key: str) -> str:
    secret = bytes.fromhex(key)
    if 2 * len(secret) < MIN_KEY_DIGITS:
        raise ValueError(f"the key of outcomes has {len(key)} hexadecimal digits: use {MIN_KEY_DIGITS} or more")
    return hmac.new(secret, _canonical_json(document), hashlib.sha256).hexdigest()


def _canonical_json(document: dict[str, Any]) -> bytes:
    """Without the signature; sorted keys, no spaces, ASCII only. Python's shortest float form survives a round trip."""
    rest = {name: value for name, value in document.items() if name != "signature"}
    return json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")
