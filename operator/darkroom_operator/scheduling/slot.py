"""The slot: a Lease whose holder is the uid of the job that may run. Pure reading and writing of its documents.

Every change is one patch that names the resource version it was decided on, so that of two that were decided on the
same state only one is accepted. `admission.py` decides, `reconcile.py` sends.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from darkroom_contract import names
from darkroom_contract.jobs import Job
from darkroom_operator.kube.objects import Json, instant, micro_time
from darkroom_operator.pods.runner_pod import RunnerPod

SLOTS = {names.LABEL_COMPONENT: names.SLOT_COMPONENT, names.LABEL_PART_OF: names.PART_OF}
"""Selects the Leases that are slots."""
ANNOTATION_JOB = names.ANNOTATION_JOB
ANNOTATION_POD_UID = f"{names.GROUP}/pod-uid"

_NUMBER = re.compile(r"[0-9]+$")


@dataclass(frozen=True, slots=True)
class Slot:
    """One slot as the API server shows it. A slot whose Lease does not exist yet has neither uid nor version."""

    number: int
    uid: str | None = None
    version: str | None = None
    holder: str | None = None
    """Uid of the job that holds it."""
    holder_key: str | None = None
    """`Kind/name` of that job, by which it can be looked up once it is gone from every cache."""
    pod_uid: str | None = None
    """The pod that was let go under this holder, or is about to be."""
    acquired: datetime | None = None
    """When the holder got it."""

    @property
    def name(self) -> str:
        return names.slot_lease_name(self.number)


def read_slot(document: Json) -> Slot:
    """Raises `ValueError` for a Lease that is none of ours."""
    metadata = document["metadata"]
    match = _NUMBER.search(metadata["name"])
    if not match or metadata["name"] != names.slot_lease_name(int(match[0])):
        raise ValueError(f"the Lease {metadata['name']} is labelled as a slot but not named as one")
    annotations, spec = metadata.get("annotations") or {}, document.get("spec") or {}
    return Slot(
        number=int(match[0]),
        uid=metadata["uid"],
        version=metadata["resourceVersion"],
        holder=spec.get("holderIdentity") or None,
        holder_key=annotations.get(ANNOTATION_JOB),
        pod_uid=annotations.get(ANNOTATION_POD_UID),
        acquired=instant(spec.get("acquireTime")),
    )


def new_lease(slot: Slot, holder: Job, now: datetime) -> Json:
    """The Lease of a slot that never was taken."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": slot.name, "labels": SLOTS, "annotations": {ANNOTATION_JOB: holder.key}},
        "spec": {"holderIdentity": holder.uid, "acquireTime": micro_time(now), "leaseTransitions": 0},
    }


def assignment(slot: Slot, holder: Job | None, now: datetime) -> Json:
    """The patch that gives a slot to a job, or frees it. A free one has no holder, not an empty one."""
    return {
        "metadata": {
            "resourceVersion": slot.version,
            "labels": SLOTS,
            "annotations": {ANNOTATION_JOB: holder.key if holder else None, ANNOTATION_POD_UID: None},
        },
        "spec": {
            "holderIdentity": holder.uid if holder else None,
            "acquireTime": micro_time(now) if holder else None,
            "renewTime": None,
        },
    }


def confirmation(slot: Slot, pod: RunnerPod, now: datetime) -> Json:
    """The patch by which the holder says which pod it is about to let go."""
    return {
        "metadata": {"resourceVersion": slot.version, "annotations": {ANNOTATION_POD_UID: pod.uid}},
        "spec": {"renewTime": micro_time(now)},
    }
