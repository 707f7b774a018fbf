"""The part of a spec that both kinds share: the job's place in the queue, retries, deadlines and webhook."""

from pydantic import Field

from darkroom_contract.names import HTTP_URL_PATTERN
from darkroom_contract.schema import Schema
from darkroom_contract.specs.webhook_event import DEFAULT_EVENTS, MAX_WEBHOOK_CHARACTERS, WebhookEvent

NOT_BLANK = r"\S"


MAX_SEED = 2**32 - 1


MAX_SECONDS = 30 * 24 * 3600


class JobSpec(Schema):
    """Queueing, limits and webhook, the same for both kinds. All of it may be changed at any time."""

    priority: int = Field(
        0,
        ge=-1000,
        le=1000,
        description="Jobs with a higher priority run first; equal ones run in order of creation. A running job is"
        " never preempted. May be changed while the job waits.",
    )
    suspend: bool = Field(
        False,
        description="true removes the job from the queue and stops its run, if any: a training first saves its "
        "state and later resumes from it. false queues the job again, at the place of its priority "
        "and age.",
    )
    backoff_limit: int = Field(
        2,
        ge=0,
        le=10,
        description="Failed runs before the job fails. Only failures that another run might not hit count, and "
        "the waits between runs grow. Invalid input fails the job at once.",
    )
    active_deadline_seconds: int | None = Field(
        None,
        ge=1,
        le=MAX_SECONDS,
        description="Longest duration of one run, in seconds from the start of its container. A longer run is "
        "stopped and the job fails, without a retry. No limit when unset.",
    )
    start_deadline_seconds: int = Field(
        600,
        ge=1,
        le=MAX_SECONDS,
        description="Seconds from the creation of a run's pod until its container must have started: GPU "
        "scheduling and image pull included. After that the run counts as failed and releases its "
        "slot.",
    )
    ttl_seconds_after_finished: int | None = Field(
        None,
        ge=0,
        le=MAX_SECONDS,
        description="Seconds after its end until the job is deleted, with its pod. Its files in object storage "
        "are kept, unless it has the label darkroom.dev/delete-files. The job is kept when unset. A webhook that is "
        "not delivered yet postpones the deletion, for up to 27 hours after the end.",
    )
    webhook: str | None = Field(
        None,
        pattern=HTTP_URL_PATTERN,
        max_length=MAX_WEBHOOK_CHARACTERS,
        description="Address that the gateway sends the events of the job to: a POST with the job as JSON, signed by "
        "the Standard Webhooks convention, and repeated for about a day until it is answered with 2xx. https, without "
        "a user name.",
    )
    webhook_events: tuple[WebhookEvent, ...] | None = Field(
        None,
        max_length=len(WebhookEvent),
        description="Which events the webhook gets. Started: the first run was admitted. Succeeded and Failed: the "
        "job's end. Deleted: it was deleted before its end. Succeeded, Failed and Deleted when unset.",
    )

    @property
    def reported_events(self) -> tuple[WebhookEvent, ...]:
        """The events that the webhook gets; none without a webhook."""
        if self.webhook is None:
            return ()
        return DEFAULT_EVENTS if self.webhook_events is None else self.webhook_events


MUTABLE_FIELDS = frozenset(JobSpec.model_fields)

"""Every other field of a spec is immutable after creation."""
