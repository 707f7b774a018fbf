"""The status of a job that this release can't parse, as plain JSON: there is no typed one to start from. Pure."""

from datetime import datetime

from darkroom_contract.outcome import Reason
from darkroom_operator.kube.objects import Json
from darkroom_operator.scheduling.snapshot import UnreadableJob
from darkroom_operator.status.conditions import MAX_MESSAGE


def unreadable_status(job: UnreadableJob, now: datetime) -> Json:
    moment = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    condition = {
        "type": "Failed",
        "status": "True",
        "reason": Reason.INVALID_SPEC.value,
        "message": f"This release of the operator can't read the job: {job.fault}"[:MAX_MESSAGE],
        "lastTransitionTime": moment,
    }
    return {"phase": "Failed", "completionTime": moment, "queue": None, "slot": None, "conditions": [condition]}
