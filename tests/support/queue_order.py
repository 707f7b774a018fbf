"""Whether admissions follow the order of the queue, worked out without the operator's own queue.

Checked in the view that decided an admission, and in what the API server stored of a job whose idle pod left.
"""

from datetime import datetime
from typing import Any

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.status import Phase
from darkroom_operator.cache.cache import Cache
from darkroom_operator.reconcile.actions import AssignSlot
from darkroom_operator.scheduling.admission import owns_slot
from darkroom_operator.scheduling.slot import Slot, read_slot
from support.simulated_api import SimulatedApi
from support.simulated_user import JOBS

Json = dict[str, Any]


def overtaken(action: AssignSlot, cache: Cache, now: datetime) -> list[str]:
    """Names of jobs that could run now and come before the one which gets the slot. A job whose run is alive keeps its
    slot, whatever the queue is."""
    assigned, snapshot = action.job, cache.snapshot(now, 1)
    if assigned is None or any(owns_slot(assigned, pod) for pod in snapshot.pods_of(assigned.uid)):
        return []
    slots, rejected = list(cache.leases.view.values()), snapshot.rejected
    waiting = [job for job in cache.jobs.view.values() if job.uid not in rejected and _can_run(job, now)]
    free = [job for job in waiting if _is_free(job, action.slot, slots)]
    return [job.name for job in free if _place(job) < _place(assigned)]


def _can_run(job: Job, now: datetime) -> bool:
    """Only jobs that depend on no model are looked at."""
    due, phase = job.status.next_attempt_time, job.status.phase
    is_waiting = phase in (None, Phase.QUEUED) and job.status.slot is None and (due is None or due <= now)
    return is_waiting and not job.deleting and not job.spec.suspend and not job.spec.model_references


def _is_free(job: Job, assigned: Slot, slots: list[Slot]) -> bool:
    """No Lease names the job, or only the one that is assigned now, with a pod whose end the status records."""
    held = [slot for slot in slots if slot.holder == job.uid]
    ended = assigned.pod_uid is not None and job.status.pod_uid == assigned.pod_uid
    return not held or (held == [assigned] and ended)


def _place(job: Job) -> tuple[int, datetime, bool, int]:
    return -job.spec.priority, job.created, job.kind is not Kind.TRAIN, job.order


class KeptPlaces:
    """Follows the slots of an API server: a job whose idle pod left keeps its slot, unless another may precede it."""

    def __init__(self, api: SimulatedApi) -> None:
        self._api = api
        self._read = 0
        self._slots: dict[str, Slot] = {}
        """By the uid of the Lease."""
        self.kept = 0
        """Counts the jobs that got their slot again."""

    def lost(self) -> list[str]:
        """Names of the jobs that lost their places since the last call."""
        events, found = self._api.history["leases"][self._read :], []
        self._read += len(events)
        for event in events:
            uid, slot = event.document["metadata"]["uid"], read_slot(event.document)
            before = self._slots.pop(uid, None)
            if event.kind == "DELETED":
                continue
            self._slots[uid] = slot
            if before is not None and before.pod_uid is not None and slot.pod_uid is None:
                found += self._lost_by(before, slot)
        return found

    def _lost_by(self, before: Slot, after: Slot) -> list[str]:
        """The holder's name if it was queued again without its idle pod, and could run ever since."""
        versions = [each for each in self._versions(before.holder) if _lost_its_idle_pod(each, before.pod_uid)]
        if not versions or any(_is_held_back(each) for each in versions):
            return []
        if before.holder == after.holder:
            self.kept += 1
            return []
        if after.holder is None and len(self._slots) > 1:  # The holder of another slot waits for the quota.
            return []
        # Nobody gets the slot while the first job of the queue, a generation with a model, is too young for it.
        others = self._jobs() - {before.holder} if after.holder is None else {after.holder}
        if any(self._may_precede(self._versions(other), versions) for other in others):
            return []
        return [versions[0]["metadata"]["name"]]

    @staticmethod
    def _may_precede(others: list[Json], versions: list[Json]) -> bool:
        return any(_place_of(other, others[0]) < _place_of(each) for other in others for each in versions)

    def _jobs(self) -> set[str | None]:
        """The uids of all jobs that there ever were."""
        return {event.document["metadata"]["uid"] for plural in JOBS for event in self._api.history[plural]}

    def _versions(self, uid: str | None) -> list[Json]:
        """All states of a job; an operator may have seen any of them last."""
        every = (event.document for plural in JOBS for event in self._api.history[plural])
        return [document for document in every if document["metadata"]["uid"] == uid]


def _lost_its_idle_pod(job: Json, pod_uid: str | None) -> bool:
    status = job.get("status", {})
    reasons = {each["type"]: each["reason"] for each in status.get("conditions", [])}
    return bool(status.get("podUid") == pod_uid and reasons.get("PodReady") == "IdlePodGone")


def _is_held_back(job: Json) -> bool:
    """Whether it is suspended, deleted, or may wait for a model."""
    spec = job["spec"]
    return bool(spec.get("suspend") or "modelId" in spec or "deletionTimestamp" in job["metadata"])


def _place_of(job: Json, created: Json | None = None) -> tuple[int, str, bool, float]:
    """The place of a job, as `_place`. `created` is its first state, for a job that comes as early as it may: the order
    of jobs of one second is recorded with the first status. CRDs of an older release drop it, and any order may be."""
    order = job.get("status", {}).get("admissionOrder", float("inf"))
    order = order if created is None else int(created["metadata"]["resourceVersion"])
    spec = job["spec"]
    return -spec.get("priority", 0), job["metadata"]["creationTimestamp"], "dataset" not in spec, order
