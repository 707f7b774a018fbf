"""The events that a job's webhook reports. gateway/darkroom_gateway/webhooks/ sends them."""

from enum import StrEnum

MAX_WEBHOOK_CHARACTERS = 1024


class WebhookEvent(StrEnum):
    """What a webhook reports. Each event happens at most once in the life of a job."""

    STARTED = "Started"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    DELETED = "Deleted"

    @property
    def message_type(self) -> str:
        """The `type` of the message, such as `job.succeeded`."""
        return f"job.{self.value.lower()}"


DEFAULT_EVENTS = (WebhookEvent.SUCCEEDED, WebhookEvent.FAILED, WebhookEvent.DELETED)
"""The events that end a job."""
