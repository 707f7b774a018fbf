"""Paths of the files of a run below its prefix, and their addresses at the gateway. Pure.

    my-dog-seed-7.png                                  an artifact
    samples/my-dog-step-00100-0.png                    a sample image of a training
    steps/100/pytorch_lora_weights.safetensors         a saved step, or steps/best/ for the best one

Checkpoints, logs and the manifest are in the same folder and are not served.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from darkroom_contract.names import Kind

FILE_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,149}$"
"""One path segment: no slash, and no leading dot."""
STEP_PATTERN = r"^(best|[1-9][0-9]{0,4})$"

_SERVED = re.compile(f"(?:(?:samples|steps/{STEP_PATTERN[1:-1]})/)?{FILE_NAME_PATTERN[1:-1]}")


def is_served(path: str) -> bool:
    """Whether a path has one of the forms above."""
    return _SERVED.fullmatch(path) is not None


@dataclass(frozen=True)
class FileAddresses:
    """Addresses of the files of one job, which redirect to fresh presigned links."""

    root_path: str
    job_name: str
    kind: Kind

    def of(self, path: str) -> str:
        return f"{self.root_path}/jobs/{self.job_name}/files/{path}?{urlencode({'kind': self.kind.value})}"

    def of_all(self, paths: Iterable[str]) -> list[str]:
        """Without paths that are not served: events come from Redis and may contain anything."""
        return [self.of(path) for path in paths if is_served(path)]
