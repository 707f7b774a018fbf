"""Jobs as the API server returns them, for stores without a cluster."""

from typing import Any


def job_document(number: int, prompt: str = "a dog", version: int | None = None, **status: Any) -> dict[str, Any]:
    """The GenerateJob `job-<number>`; higher numbers are newer."""
    return {
        "kind": "GenerateJob",
        "metadata": {
            "name": f"job-{number}",
            "namespace": "default",
            "uid": f"uid-{number}",
            "resourceVersion": str(version or number + 1),
            "creationTimestamp": f"2026-01-01T{number // 60:02d}:{number % 60:02d}:00Z",
        },
        "spec": {"prompt": prompt},
        "status": status,
    }
