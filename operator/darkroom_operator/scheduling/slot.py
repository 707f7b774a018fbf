"""A slot is a Lease whose holder is the uid of the job that may run. Pure: reads the Lease and builds its patches.

Every change is a single patch with the resource version on which it was decided. Of two decisions on the same state the
API server accepts one.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from darkroom_contract import names
from darkroom_contract.jobs import Job
from darkroom_operator.kube.objects import Json, instant, micro_time
from darkroom_operator.pods.runner_pod import RunnerPod

SLOTS = {names.LABEL_COMPONENT: names.SLOT_COMPONENT, names.LABEL_PART_OF: names.PART_OF}
"""Label selector of the slots."""
ANNOTATION_JOB = names.ANNOTATION_JOB
ANNOTATION_POD_UID = f"{names.GROUP}/pod-uid"
ANNOTATION_IDLE_POD_UID = f"{names.GROUP}/idle-pod-uid"
"""Absent unless a warm pod stays in the slot: see `reconcile/warm_pods.py`."""

_NUMBER = re.compile(r"[0-9]+$")


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot as read from its Lease. Without a Lease it has neither uid nor version."""

    number: int
    uid: str | None = None
    version: str | None = None
    holder: str | None = None
    """Uid of the job that holds the slot."""
    holder_key: str | None = None
    """`Kind/name` of that job, to look it up when it is in no cache."""
    pod_uid: str | None = None
    """The holder's pod that is ungated, or about to be."""
    idle_pod_uid: str | None = None
    """A pod between two runs, which the next holder takes over. Meaningless beside `pod_uid`."""
    acquired: datetime | None = None
    """When the holder was assigned."""

    @property
    def name(self) -> str:
        return names.slot_lease_name(self.number)


def read_slot(document: Json) -> Slot:
    """Raises `ValueError` for a Lease with another name than a slot's."""
    metadata = document["metadata"]
    match = _NUMBER.search(metadata["name"])
    if not match or metadata["name"] != names.slot_lease_name(int(match[0])):
        raise ValueError(f"Lease {metadata['name']} has the labels of a slot but not the name of one, ignoring it")
    annotations, spec = metadata.get("annotations") or {}, document.get("spec") or {}
    return Slot(
        number=int(match[0]),
        uid=metadata["uid"],
        version=metadata["resourceVersion"],
        holder=spec.get("holderIdentity") or None,
        holder_key=annotations.get(ANNOTATION_JOB),
        pod_uid=annotations.get(ANNOTATION_POD_UID),
        idle_pod_uid=annotations.get(ANNOTATION_IDLE_POD_UID),
        acquired=instant(spec.get("acquireTime")),
    )


def new_lease(slot: Slot, holder: Job, now: datetime) -> Json:
    """The Lease of a slot that has none yet, assigned to its first holder."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": slot.name, "labels": SLOTS, "annotations": {ANNOTATION_JOB: holder.key}},
        "spec": {"holderIdentity": holder.uid, "acquireTime": micro_time(now), "leaseTransitions": 0},
    }


def assignment(slot: Slot, holder: Job | None, idle_pod: RunnerPod | None, now: datetime) -> Json:
    """The patch that assigns the slot to a job, or frees it; `idle_pod` stays in it.

    A free slot has no `holderIdentity`, not an empty one.
    """
    annotations = {ANNOTATION_JOB: holder.key if holder else None, ANNOTATION_POD_UID: None}
    idle = _idle_annotation(slot, idle_pod)
    return {
        "metadata": {"resourceVersion": slot.version, "labels": SLOTS, "annotations": annotations | idle},
        "spec": {
            "holderIdentity": holder.uid if holder else None,
            "acquireTime": micro_time(now) if holder else None,
            "renewTime": None,
        },
    }


def confirmation(slot: Slot, pod: RunnerPod, now: datetime) -> Json:
    """The patch that records the pod which is about to be ungated, or to get its next run document."""
    annotations = {ANNOTATION_POD_UID: pod.uid} | _idle_annotation(slot, None)
    return {
        "metadata": {"resourceVersion": slot.version, "annotations": annotations},
        "spec": {"renewTime": micro_time(now)},
    }


def _idle_annotation(slot: Slot, pod: RunnerPod | None) -> dict[str, str | None]:
    """Empty if the Lease has no idle pod and gets none: without warm pods every request stays the same."""
    uid = None if pod is None else pod.uid
    return {} if slot.idle_pod_uid is None and uid is None else {ANNOTATION_IDLE_POD_UID: uid}
