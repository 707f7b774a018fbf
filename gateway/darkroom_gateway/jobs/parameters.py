"""Query parameters that submissions of both kinds share. They set the fields of the contract's `JobSpec`.

Only parameters that the request sets are put into a spec. The API server applies the defaults, as it does for YAML.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from darkroom_contract.specs.job import JobSpec
from darkroom_contract.specs.webhook_event import WebhookEvent
from darkroom_gateway.http.case_insensitive import case_insensitive
from darkroom_gateway.jobs.contract_fields import parameter

_WEBHOOK_EVENTS = (
    "An event that the webhook gets; repeat it for several. Started: the first run was admitted. Succeeded and Failed: "
    "the job's end. Deleted: it was deleted before its end. Succeeded, Failed and Deleted when left out."
)


class JobParameters(BaseModel):
    """How the job queues, how long it may take, and where its events are sent."""

    model_config = ConfigDict(extra="forbid")

    priority: int = parameter(JobSpec, "priority")
    suspend: bool = parameter(JobSpec, "suspend")
    backoff_limit: int = parameter(JobSpec, "backoff_limit")
    active_deadline_seconds: int | None = parameter(JobSpec, "active_deadline_seconds")
    start_deadline_seconds: int = parameter(JobSpec, "start_deadline_seconds")
    ttl_seconds_after_finished: int | None = parameter(JobSpec, "ttl_seconds_after_finished")
    webhook: str | None = parameter(JobSpec, "webhook", "https://example.com/darkroom")
    webhook_events: list[Annotated[WebhookEvent, case_insensitive(WebhookEvent)]] = Field(
        [], max_length=len(WebhookEvent), description=_WEBHOOK_EVENTS, examples=[["Started", "Succeeded"]]
    )


def take(given: dict[str, Any], fields: dict[str, str]) -> dict[str, Any]:
    """Move the parameters of one group out of `given`, renamed to the group's fields."""
    return {field: given.pop(name) for name, field in fields.items() if name in given}
