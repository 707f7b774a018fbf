"""Reasons of the Kubernetes Events that the operator posts on jobs, and of the gateway's `WebhookFailed`.

Each reason has one type and one action, so that `kubectl get events --field-selector reason=Retrying` and alerts on
Events can rely on them. They are part of the API: a reason may be added, and none is renamed or removed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from darkroom_contract.remarks import RemarkReason


class EventType(StrEnum):
    """Kubernetes' two types of Events."""

    NORMAL = "Normal"
    WARNING = "Warning"


class EventReason(StrEnum):
    """What happened to a job: first its life cycle in order, then the remarks of its runs (`RemarkReason`)."""

    QUEUED = "Queued"
    WAITING_FOR_MODEL = "WaitingForModel"
    ADMITTED = "Admitted"
    QUOTA_EXCEEDED = "QuotaExceeded"
    POD_REFUSED = "PodRefused"
    STARTED = "Started"
    START_DEADLINE_EXCEEDED = "StartDeadlineExceeded"
    ACTIVE_DEADLINE_EXCEEDED = "ActiveDeadlineExceeded"
    NODE_LOST = "NodeLost"
    RETRYING = "Retrying"
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    WEBHOOK_FAILED = "WebhookFailed"

    PROMPT_TRUNCATED = RemarkReason.PROMPT_TRUNCATED.value
    PHOTOS_LEFT_OUT = RemarkReason.PHOTOS_LEFT_OUT.value
    PHOTOS_CONVERTED = RemarkReason.PHOTOS_CONVERTED.value
    PHOTOS_UPSCALED = RemarkReason.PHOTOS_UPSCALED.value
    SAMPLER_SETTING_DROPPED = RemarkReason.SAMPLER_SETTING_DROPPED.value
    TIMESTEPS_REPLACED = RemarkReason.TIMESTEPS_REPLACED.value
    CACHE_INEFFECTIVE = RemarkReason.CACHE_INEFFECTIVE.value
    BASE_MODEL_DIFFERS = RemarkReason.BASE_MODEL_DIFFERS.value
    DRAWN_AGAIN = RemarkReason.DRAWN_AGAIN.value
    PICTURE_LEFT_OUT = RemarkReason.PICTURE_LEFT_OUT.value
    CLIP_LEFT_OUT = RemarkReason.CLIP_LEFT_OUT.value
    VALIDATION_FAILED = RemarkReason.VALIDATION_FAILED.value
    FILE_LEFT_OUT = RemarkReason.FILE_LEFT_OUT.value
    PICTURE_CROPPED = RemarkReason.PICTURE_CROPPED.value
    PICTURE_PADDED = RemarkReason.PICTURE_PADDED.value
    SETTING_IGNORED = RemarkReason.SETTING_IGNORED.value
    SETTING_UNSUITABLE = RemarkReason.SETTING_UNSUITABLE.value
    CAPTIONS_LEFT_OUT = RemarkReason.CAPTIONS_LEFT_OUT.value
    MASKS_LEFT_OUT = RemarkReason.MASKS_LEFT_OUT.value
    MEMORY_SAVED = RemarkReason.MEMORY_SAVED.value
    LORA_CONVERTED = RemarkReason.LORA_CONVERTED.value
    SAMPLES_LEFT_OUT = RemarkReason.SAMPLES_LEFT_OUT.value
    REMARKS_LEFT_OUT = RemarkReason.REMARKS_LEFT_OUT.value


@dataclass(frozen=True)
class EventMeaning:
    """How Events of one reason are posted."""

    type: EventType
    action: str
    """What the operator, the gateway or the run did, in one word for programs: `action` of events.k8s.io/v1."""
    when: str
    """When it is posted, as one sentence of the documentation."""


def _normal(action: str, when: str) -> EventMeaning:
    return EventMeaning(EventType.NORMAL, action, when)


def _warning(action: str, when: str) -> EventMeaning:
    return EventMeaning(EventType.WARNING, action, when)


RUN = "Run"

EVENTS: Mapping[EventReason, EventMeaning] = {
    EventReason.QUEUED: _normal(
        "Queue", "The job entered the queue: it is new, was resumed, or is due for another run."
    ),
    EventReason.WAITING_FOR_MODEL: _normal("Queue", "The job waits for the training of its model to finish."),
    EventReason.ADMITTED: _normal("Admit", "The job holds a slot, and the pod of its run exists."),
    EventReason.QUOTA_EXCEEDED: _warning("CreatePod", "A ResourceQuota does not admit the pod of the run yet."),
    EventReason.POD_REFUSED: _warning("CreatePod", "The API server refused the pod of the run."),
    EventReason.STARTED: _normal(RUN, "The container of the run started."),
    EventReason.START_DEADLINE_EXCEEDED: _warning("Stop", "The run did not start within `spec.startDeadlineSeconds`."),
    EventReason.ACTIVE_DEADLINE_EXCEEDED: _warning(
        "Stop", "The run took longer than `spec.activeDeadlineSeconds` and is being stopped."
    ),
    EventReason.NODE_LOST: _warning(RUN, "The node of the run stopped responding."),
    EventReason.RETRYING: _warning("Retry", "A run failed or was interrupted, and another one follows."),
    EventReason.SUSPENDED: _normal(
        "Suspend", "`spec.suspend` took effect: the job left the queue, or its run has stopped."
    ),
    EventReason.RESUMED: _normal("Resume", "`spec.suspend` was set back to false."),
    EventReason.SUCCEEDED: _normal("Finish", "The job is complete."),
    EventReason.FAILED: _warning("Finish", "The job failed for good; the note begins with the reason of the failure."),
    EventReason.WEBHOOK_FAILED: _warning(
        "SendWebhook", "The gateway gave up sending an event of the job to its webhook."
    ),
    EventReason.PROMPT_TRUNCATED: _warning(RUN, "A prompt was longer than the text encoders read, and was cut."),
    EventReason.PHOTOS_LEFT_OUT: _warning(RUN, "Some photos were not used."),
    EventReason.PHOTOS_CONVERTED: _normal(RUN, "Photos were converted, for example to sRGB."),
    EventReason.PHOTOS_UPSCALED: _warning(RUN, "Photos were smaller than the training resolution, and were enlarged."),
    EventReason.SAMPLER_SETTING_DROPPED: _warning(RUN, "The sampler ignores a setting of the base model's scheduler."),
    EventReason.TIMESTEPS_REPLACED: _warning(
        RUN, "The base model's timestep spacing starts too far from noise, and was replaced."
    ),
    EventReason.CACHE_INEFFECTIVE: _warning(RUN, "The U-Net cache saves little time at these settings."),
    EventReason.BASE_MODEL_DIFFERS: _warning(RUN, "The LoRA was trained on another base model than the job uses."),
    EventReason.DRAWN_AGAIN: _normal(RUN, "A picture came out with invalid values, and was drawn again in float32."),
    EventReason.PICTURE_LEFT_OUT: _warning(RUN, "A picture came out with invalid values, and is not in the result."),
    EventReason.CLIP_LEFT_OUT: _warning(RUN, "A clip could not be made, and is not in the result."),
    EventReason.VALIDATION_FAILED: _warning(RUN, "A validation picture of the training could not be made."),
    EventReason.FILE_LEFT_OUT: _warning(RUN, "A file could not be written or uploaded, and is not in the result."),
    EventReason.PICTURE_CROPPED: _normal(RUN, "A picture was cropped to the size of a clip, or of the training."),
    EventReason.PICTURE_PADDED: _normal(RUN, "The picture was padded to the size of the clip."),
    EventReason.SETTING_IGNORED: _warning(RUN, "A setting has no effect in this job."),
    EventReason.SETTING_UNSUITABLE: _warning(RUN, "A setting does not suit the LoRA or the rest of the job."),
    EventReason.CAPTIONS_LEFT_OUT: _warning(RUN, "Some captions were not used."),
    EventReason.MASKS_LEFT_OUT: _warning(RUN, "Some masks were not used."),
    EventReason.MEMORY_SAVED: _normal(RUN, "The training saved memory in a way that costs time or precision."),
    EventReason.LORA_CONVERTED: _normal(RUN, "The LoRA was made by another program, and was converted completely."),
    EventReason.SAMPLES_LEFT_OUT: _warning(RUN, "Some sample images of the training could not be made or kept."),
    EventReason.REMARKS_LEFT_OUT: _warning(RUN, "There were more remarks than a status holds; the log has them all."),
}
