"""Reasons of conditions and failures: what each means and what to do about it.

`Reason` (outcome.py) says why a run or a job failed, `ConditionReason` is the state of a job in its conditions. Both
are part of the API: a reason may be added, and none is ever renamed or removed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from darkroom_contract.outcome import Reason
from darkroom_contract.status import ConditionStatus, ConditionType


class ConditionReason(StrEnum):
    """State of a job that has not failed."""

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
    IDLE_POD_GONE = "IdlePodGone"
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
        "The run's container runs. After a failed run, why it failed.",
        {
            TRUE: (ConditionReason.RUNNING,),
            FALSE: (
                ConditionReason.STARTING,
                ConditionReason.POD_REFUSED,
                ConditionReason.TERMINATING,
                ConditionReason.SUSPENDED,
                ConditionReason.IDLE_POD_GONE,
                ConditionReason.FINISHED,
            ),
            UNKNOWN: (ConditionReason.NODE_LOST,),
        },
    ),
    ConditionType.SUSPENDED: (
        "The job was taken out of the queue. Absent if that never happened.",
        {TRUE: (ConditionReason.SUSPENDED,), FALSE: (ConditionReason.RESUMED,)},
    ),
    ConditionType.COMPLETE: (
        "The job has succeeded. Absent until then.",
        {TRUE: (ConditionReason.SUCCEEDED,)},
    ),
    ConditionType.FAILED: ("The job has failed for good, with one of the reasons of failure. Absent until then.", {}),
}
"""The meaning of each condition when it is true, and its reasons besides those of failures."""


@dataclass(frozen=True)
class Advice:
    """One reason explained. Both are whole sentences."""

    meaning: str
    action: str


NOTHING = "Nothing."

STATES: Mapping[ConditionReason, Advice] = {
    ConditionReason.QUEUED: Advice("The job waits for the slot; the message gives its position.", NOTHING),
    ConditionReason.WAITING_FOR_MODEL: Advice(
        "A TrainJob of a model that the job needs has not finished. The job waits for it, whatever their"
        " order in the queue, and uses the model that it makes.",
        "Nothing. If that training is suspended, resume it, or delete it to use the current model.",
    ),
    ConditionReason.QUOTA_EXCEEDED: Advice(
        "A ResourceQuota of the namespace does not admit the run's pod yet.",
        "Nothing, when it is Darkroom's own quota and another run is still terminating. Otherwise "
        "raise the quota that the message names, or free what uses it.",
    ),
    ConditionReason.BACKING_OFF: Advice(
        "A run failed for a transient reason, or was interrupted. The next one starts at status.nextAttemptTime.",
        "The condition PodReady has the reason of the last run's end.",
    ),
    ConditionReason.SUSPENDED: Advice(
        "spec.suspend is true: the job is not in the queue; its run, if any, is stopping or has stopped.",
        "Set spec.suspend to false to queue it again.",
    ),
    ConditionReason.RESUMED: Advice("spec.suspend was true before and is false now.", NOTHING),
    ConditionReason.SLOT_ACQUIRED: Advice("The job was admitted: it holds the slot and has a pod.", NOTHING),
    ConditionReason.POD_REFUSED: Advice(
        "The API server refused the run's pod. Creation is retried until spec.startDeadlineSeconds have passed.",
        "Fix what the message names: an admission policy, a missing service account or priority class.",
    ),
    ConditionReason.STARTING: Advice(
        "The run's pod exists and its container does not run yet: it waits for a GPU, an image, or a volume. After a "
        "warm start, which status.runStart shows, the container runs already and gets its run.",
        "If it lasts, read the message: it quotes the scheduler or the kubelet.",
    ),
    ConditionReason.RUNNING: Advice("The run is in progress.", NOTHING),
    ConditionReason.TERMINATING: Advice("The run's pod is being deleted, and may still save its state.", NOTHING),
    ConditionReason.NODE_LOST: Advice(
        "The node of the run does not answer. The run may still be working, so the slot is held until its pod is gone.",
        "Bring the node back. If it is off for good, delete the Node, or the pod with --force: the job is then tried "
        "again.",
    ),
    ConditionReason.IDLE_POD_GONE: Advice(
        "The job had taken over the idle pod of an earlier run, which ended before it began this one. It is counted "
        "neither as a failure nor as an interruption.",
        "Nothing: the job runs next in a new pod.",
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
        "There are no photos under dataset.uri, or the bucket does not exist.",
        "Correct the URI, or put JPEG, PNG, WebP, AVIF or HEIC files directly into that folder.",
    ),
    Reason.IMAGE_INVALID: Advice(
        "A start picture or mask can't be used: damaged, too large, of another format, or a mask that selects nothing.",
        "Replace the picture that the message names, and create a new job.",
    ),
    Reason.IMAGE_NOT_ALLOWED: Advice(
        "A start picture or mask is outside of the folders that generations of this namespace may read, or belongs to "
        "a job of another namespace.",
        "Copy it to images/<namespace>/ of Darkroom's bucket, or have its folder added to datasets.allowedUris.",
    ),
    Reason.IMAGE_NOT_FOUND: Advice(
        "There is no such start picture or mask, or the job that makes it has not finished.",
        "Correct the URI; wait for the job that makes the picture, or upload it again if it was deleted.",
    ),
    Reason.MODEL_NOT_FOUND: Advice(
        "There is no LoRA of this modelId in this namespace, or its weights are missing in storage.",
        "Train it first, or correct modelId.",
    ),
    Reason.MODEL_INCOMPATIBLE: Advice(
        "A LoRA does not fit the base model, a base model is of another kind, or a file differs from what was stored.",
        "Use the base model that the LoRA was trained on, or train it again.",
    ),
    Reason.BASE_MODEL_NOT_FOUND: Advice(
        "The base model is neither in the runner's model root nor available from the hub.",
        "Correct its name, put its folder into the model cache, or give the runner access to the hub and a token.",
    ),
    Reason.INVALID_RUN: Advice(
        "Two settings of the job contradict each other, or the runner's environment is incomplete.",
        "Change what the message names and create a new job. If it names an environment variable, correct the "
        "runner's Secret.",
    ),
    Reason.PROMPT_TOO_LONG: Advice(
        "A training prompt has more tokens than the text encoders read (77 with start and end): its "
        "end would have no effect.",
        "Create a new job with a shorter prompt; the message shows where it would be cut.",
    ),
    Reason.TRAINING_DIVERGED: Advice(
        "Training diverged: the loss became NaN or infinite.",
        "Create a new job with a lower training.learningRate, or with training.warmupSteps.",
    ),
    Reason.NON_FINITE_OUTPUT: Advice(
        "Every image contains NaN or infinite values, and a second attempt in float32 did not help, "
        "or ran out of memory.",
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
        "Object storage is unreachable or refuses access.", "Check its address, bucket, credentials and network policy."
    ),
    Reason.SIGNING_FAILED: Advice(
        "Images are to be signed (C2PA), and the certificate or its key can't be read, has expired or is not accepted.",
        "Replace the Secret of runner.c2pa.secretName with a valid certificate chain and its key.",
    ),
    Reason.INTERRUPTED: Advice(
        "A cause outside Darkroom ended the run: an eviction, a preemption, a drained node, a node "
        "shutdown. It does not count against spec.backoffLimit.",
        "Nothing: the job is retried, and a training resumes from its last state.",
    ),
    Reason.INTERNAL_ERROR: Advice(
        "An unexpected error: a defect.", "Read the run's log, and report the defect with it."
    ),
    Reason.INVALID_SPEC: Advice(
        "This release of the operator can't read the job.",
        "Create the job again in the form of the installed CRDs; check that CRDs and operator are of the same release.",
    ),
    Reason.POD_FAILED: Advice(
        "The run's pod ended without reporting a reason: it was killed, or its container never started.",
        "Read the message, the run's log, and the pod's events.",
    ),
    Reason.POD_LOST: Advice(
        "The run's pod was deleted before it reported how the run ended. It counts as a failure, "
        "unless somebody was seen deleting it or its node did not respond.",
        "Nothing: the job is retried. If it happens often, find out what deletes pods.",
    ),
    Reason.START_DEADLINE_EXCEEDED: Advice(
        "The run's pod had not started after spec.startDeadlineSeconds.",
        "Fix what the message says it waited for; raise spec.startDeadlineSeconds if that is only slow.",
    ),
    Reason.ACTIVE_DEADLINE_EXCEEDED: Advice(
        "The run took longer than spec.activeDeadlineSeconds.",
        "Create a new job with a higher limit or less work; check in the log whether the run hung.",
    ),
    Reason.BACKOFF_LIMIT_EXCEEDED: Advice(
        "More runs failed than spec.backoffLimit allows. The message begins with the last one's reason.",
        "Fix that cause, then create a new job.",
    ),
}
