"""Query parameters that submissions of both kinds share. They set the fields of the contract's `JobSpec`.

Only parameters that the request sets are put into a spec. The API server applies the defaults, as it does for YAML.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

from darkroom_contract.specs.job import JobSpec
from darkroom_gateway.jobs.contract_fields import parameter


class JobParameters(BaseModel):
    """How the job queues, and how long it may take."""

    model_config = ConfigDict(extra="forbid")

    priority: int = parameter(JobSpec, "priority")
    suspend: bool = parameter(JobSpec, "suspend")
    backoff_limit: int = parameter(JobSpec, "backoff_limit")
    active_deadline_seconds: int | None = parameter(JobSpec, "active_deadline_seconds")
    start_deadline_seconds: int = parameter(JobSpec, "start_deadline_seconds")
    ttl_seconds_after_finished: int | None = parameter(JobSpec, "ttl_seconds_after_finished")


def take(given: dict[str, Any], fields: dict[str, str]) -> dict[str, Any]:
    """Move the parameters of one group out of `given`, renamed to the group's fields."""
    return {field: given.pop(name) for name, field in fields.items() if name in given}
