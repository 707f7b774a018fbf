"""What every reason means and what to do about it: for the reference and whoever writes about a job.

`Reason` (outcome.py) is why a run or a job failed; `ConditionReason` is where a job stands, as the operator words its
conditions. Both are part of the API: a reason may be added, and none is ever renamed or removed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from darkroom_contract.outcome import Reason
from darkroom_contract.status import ConditionStatus, ConditionType


class ConditionReason(StrEnum):
    """Where a job stands, while it has not failed."""

    QUEUED = "Queued"
    WAITING_FOR_MODEL = "WaitingForModel"
    QUOTA_EXCEEDED = "QuotaExceeded"
    BACKING_OFF = "BackingOff"
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    SLOT_ACQUIRED = "SlotAcquired"
    POD_REFUSED = "PodRefused"
    STARTING = "Starting"
    RUNNING = "Running"
    TERMINATING = "Terminating"
    NODE_LOST = "NodeLost"
    FINISHED = "Finished"
    SUCCEEDED = "Succeeded"


TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN

CONDITIONS: Mapping[ConditionType, tuple[str, Mapping[ConditionStatus, tuple[ConditionReason, ...]]]] = {
    ConditionType.ADMITTED: (
        "The job holds a slot.",
        {
            TRUE: (ConditionReason.SLOT_ACQUIRED,),
            FALSE: (
                ConditionReason.QUEUED,
                ConditionReason.WAITING_FOR_MODEL,
                ConditionReason.QUOTA_EXCEEDED,
                ConditionReason.POD_REFUSED,
                ConditionReason.BACKING_OFF,
                ConditionReason.SUSPENDED,
            ),
        },
    ),
    ConditionType.POD_READY: (
        "The run's pod works. After a failed run, its reason.",
        {
            TRUE: (ConditionReason.RUNNING,),
            FALSE: (
                ConditionReason.STARTING,
                ConditionReason.POD_REFUSED,
                ConditionReason.TERMINATING,
                ConditionReason.SUSPENDED,
                ConditionReason.FINISHED,
            ),
            UNKNOWN: (ConditionReason.NODE_LOST,),
        },
    ),
    ConditionType.SUSPENDED: (
        "The job was taken out of the queue. Absent while that never happened.",
        {TRUE: (ConditionReason.SUSPENDED,), FALSE: (ConditionReason.RESUMED,)},
    ),
    ConditionType.COMPLETE: (
        "The job has succeeded. Absent until then.",
        {TRUE: (ConditionReason.SUCCEEDED,)},
    ),
    ConditionType.FAILED: ("The job has failed for good, with one of the reasons of failure. Absent until then.", {}),
}
"""What each condition says when it is true, and the reasons that it may have beside those of failure."""


@dataclass(frozen=True)
class Advice:
    """One reason, for people. Both are whole sentences."""

    meaning: str
    action: str


NOTHING = "Nothing."

STATES: Mapping[ConditionReason, Advice] = {
    ConditionReason.QUEUED: Advice("The job waits for the slot; the message says where in the queue.", NOTHING),
    ConditionReason.WAITING_FOR_MODEL: Advice(
        "A TrainJob of the same modelId has not finished. The generation waits for it, wherever the two stand in the "
        "queue, and uses the model that it makes.",
        "Nothing. If that training is suspended, resume it, or delete it to generate with the model as it is.",
    ),
    ConditionReason.QUOTA_EXCEEDED: Advice(
        "A ResourceQuota of the namespace does not let the run's pod in yet.",
        "Nothing, when it is Darkroom's own quota and another run is still ending. Otherwise raise the quota that the "
        "message names, or remove what uses it up.",
    ),
    ConditionReason.BACKING_OFF: Advice(
        "A run failed for a reason that may pass, or was interrupted. The next one begins at status.nextAttemptTime.",
        "Read on the condition PodReady why the last run ended.",
    ),
    ConditionReason.SUSPENDED: Advice(
        "spec.suspend is true: the job is out of the queue; its run, if it had one, is being stopped or has stopped.",
        "Set spec.suspend to false to queue it again.",
    ),
    ConditionReason.RESUMED: Advice("spec.suspend was true once and is false now.", NOTHING),
    ConditionReason.SLOT_ACQUIRED: Advice("The job's turn has come: it holds the slot and has a pod.", NOTHING),
    ConditionReason.POD_REFUSED: Advice(
        "The API server refused the run's pod. It is tried again until spec.startDeadlineSeconds are over.",
        "Mend what the message names: an admission policy, a missing service account or priority class.",
    ),
    ConditionReason.STARTING: Advice(
        "The run's pod is there and its container is not: it waits for a GPU, for its image, or for a volume.",
        "When it lasts, act on what the message says in the scheduler's or kubelet's words.",
    ),
    ConditionReason.RUNNING: Advice("The run is going on.", NOTHING),
    ConditionReason.TERMINATING: Advice("The run's pod is being deleted, and may still save its state.", NOTHING),
    ConditionReason.NODE_LOST: Advice(
        "The node of the run does not answer. The run may still be working, so the slot is held until its pod is gone.",
        "Bring the node back. If it is off for good, delete the Node, or the pod with --force: the job is then tried "
        "again.",
    ),
    ConditionReason.FINISHED: Advice("The run is over.", NOTHING),
    ConditionReason.SUCCEEDED: Advice(
        "The job is complete: status.artifacts lists its files.",
        "Read status.remarks, if there are any: they say what was cut, left out, converted or replaced.",
    ),
}

FAILURES: Mapping[Reason, Advice] = {
    Reason.DATASET_INVALID: Advice(
        "A photo can't be used, or there are too many.", "Replace or remove the file that the message names."
    ),
    Reason.DATASET_NOT_ALLOWED: Advice(
        "dataset.uri is outside of the folders that trainings of this namespace may read.",
        "Copy the photos to datasets/<namespace>/ of Darkroom's bucket, or have their folder added to "
        "datasets.allowedUris.",
    ),
    Reason.DATASET_NOT_FOUND: Advice(
        "There are no photos under dataset.uri, or no such bucket.",
        "Correct the address, or put JPEG, PNG, WebP, AVIF or HEIC files right into that folder.",
    ),
    Reason.MODEL_NOT_FOUND: Advice(
        "No LoRA is kept under modelId in this namespace, or its weights are gone from storage.",
        "Train it first, or correct modelId.",
    ),
    Reason.MODEL_INCOMPATIBLE: Advice(
        "A LoRA does not fit the base model, or a base model is of another kind, or a file is not what was stored.",
        "Use the base model that the LoRA was trained on, or train it again.",
    ),
    Reason.BASE_MODEL_NOT_FOUND: Advice(
        "The base model is neither in the runner's model root nor to be had from the hub.",
        "Correct its name, put its folder into the model cache, or give the runner a way to the hub and its token.",
    ),
    Reason.INVALID_RUN: Advice(
        "Two settings of the job make no sense together, or the runner was not told what it needs.",
        "Change what the message names and create a new job. If it names an environment variable, correct the "
        "runner's Secret.",
    ),
    Reason.PROMPT_TOO_LONG: Advice(
        "A prompt of a training has more tokens than the text encoders read (77 with start and end): its end would "
        "train nothing.",
        "Create a new job with a shorter prompt; the message shows where it would be cut.",
    ),
    Reason.TRAINING_DIVERGED: Advice(
        "Training diverged: the loss became NaN or infinite.",
        "Create a new job with a lower training.learningRate, or with training.warmupSteps.",
    ),
    Reason.NON_FINITE_OUTPUT: Advice(
        "No picture is good: they came out as NaN or infinite values, and drawing them again in float32 did not help, "
        "or did not fit into memory.",
        "Create a new job with another sampler, more steps or a lower guidance scale; with a LoRA, a lower loraScale.",
    ),
    Reason.OUT_OF_MEMORY: Advice(
        "The GPU's memory or the container's ran out.",
        "Lower batchSize, resolution, width and height, or decodeChunkSize; or give the runner more memory.",
    ),
    Reason.DISK_FULL: Advice(
        "The runner's scratch volume or the model cache is full.", "Make the volume larger, or clear the cache."
    ),
    Reason.STORAGE_UNAVAILABLE: Advice(
        "Object storage can't be reached, or refuses.", "Check its address, bucket, credentials and network policy."
    ),
    Reason.INTERRUPTED: Advice(
        "Something outside of Darkroom ended the run: an eviction, a preemption, a drained node, a node that was shut "
        "down. It does not count against spec.backoffLimit.",
        "Nothing: the job is tried again, and a training goes on from its last state.",
    ),
    Reason.INTERNAL_ERROR: Advice(
        "Something that nobody foresaw.", "Read the run's log, and report it with the log as a defect."
    ),
    Reason.INVALID_SPEC: Advice(
        "This release of the operator can't read the job.",
        "Create the job again as this release's CRDs want it; check that CRDs and operator are of one release.",
    ),
    Reason.POD_FAILED: Advice(
        "The run's pod ended without telling why: it was killed, or its container never worked.",
        "Read the message, the run's log, and the events of the pod.",
    ),
    Reason.POD_LOST: Advice(
        "The run's pod was deleted before it told how the run ended. It counts as a failure, unless somebody was seen "
        "deleting it or its node did not answer.",
        "Nothing: the job is tried again. When it happens often, look for who deletes pods.",
    ),
    Reason.START_DEADLINE_EXCEEDED: Advice(
        "The run's pod had not started after spec.startDeadlineSeconds.",
        "Act on what the message says it waited for; raise spec.startDeadlineSeconds if that is only slow.",
    ),
    Reason.ACTIVE_DEADLINE_EXCEEDED: Advice(
        "The run took longer than spec.activeDeadlineSeconds.",
        "Create a new job with a larger limit or less work; read the log for whether the run hung.",
    ),
    Reason.BACKOFF_LIMIT_EXCEEDED: Advice(
        "More runs failed than spec.backoffLimit forgives. The message begins with the last one's reason.",
        "Act on that reason, then create a new job.",
    ),
}
