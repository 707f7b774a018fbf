"""Sends actions: one request each, its answer put into the cache. Called by `reconcile.py` alone; decides nothing.

A refusal that says "you are behind" (409, 404) is answered by looking the object up, so that the next decision is made
on what there is; every other error goes on to the caller.
"""

import contextlib
import logging
from collections.abc import Callable
from datetime import datetime
from functools import singledispatchmethod

from darkroom_contract import names
from darkroom_contract.event_reasons import EventReason
from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.outcome import Reason
from darkroom_contract.status import JobStatus
from darkroom_operator import pods, slot, statuses
from darkroom_operator.actions import (
    Action,
    AssignSlot,
    ConfirmPod,
    DeleteJob,
    DeletePod,
    FailBroken,
    LookForHolder,
    LookForJob,
    LookForPods,
    MakePod,
    ObserveGeneration,
    ReleasePod,
    Requeue,
    TellPlace,
    WriteStatus,
)
from darkroom_operator.cache import Cache, uids
from darkroom_operator.cluster import RUNNER_PODS, Cluster
from darkroom_operator.documents import Json, merge_patch
from darkroom_operator.errors import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    NotFoundError,
    QuotaExceededError,
    UnreachableError,
)
from darkroom_operator.event_recorder import EventRecorder
from darkroom_operator.job_events import JobEvent, JobReference
from darkroom_operator.metrics import Metrics
from darkroom_operator.run_ends import end_of_run
from darkroom_operator.runner_pod import GATE, RunnerPod
from darkroom_operator.settings import Settings
from darkroom_operator.slot import Slot
from darkroom_operator.world import BrokenJob

log = logging.getLogger(__name__)


class Requests:
    """What can be sent."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        settings: Settings,
        clock: Callable[[], datetime],
        metrics: Metrics | None = None,
        events: EventRecorder | None = None,
    ) -> None:
        self._events = events or EventRecorder()
        self._cluster = cluster
        self._cache = cache
        self._settings = settings
        self._clock = clock
        self._metrics = metrics or Metrics()

    async def send(self, action: Action) -> None:
        """Raises `ApiError` when the API server does not answer, or refuses for its own reasons."""
        await self._send(action)

    @singledispatchmethod
    async def _send(self, action: Action) -> None:
        raise TypeError(f"{action!r} is no action")

    @_send.register
    async def _(self, action: AssignSlot) -> None:
        lease, job = action.slot, action.job
        if lease.uid is None and await self._has_unseen_pods():
            return
        try:
            if lease.uid is None and job is not None:
                answer = await self._cluster.create_lease(slot.new_lease(lease, job, self._clock()))
            else:
                answer = await self._cluster.patch_lease(lease.name, slot.assignment(lease, job, self._clock()))
        except (ConflictError, AlreadyExistsError, NotFoundError):
            await self._look_up_slot(lease)
            return
        self._cache.put_slot(answer)
        log.info("slot %d goes to %s", lease.number, job.key if job else "nobody")

    async def _has_unseen_pods(self) -> bool:
        """Before a Lease is made. Where one was deleted by hand, a run may be going on that no watch has shown yet; any
        that is let go later needs the old Lease, and is refused."""
        before = dict(self._cache.pods.view)
        async for _, page in self._cluster.list_pods(RUNNER_PODS):
            for document in page:
                self._put_pod(document)
        return before != self._cache.pods.view

    @_send.register
    async def _(self, action: MakePod) -> None:
        manifest = pods.runner_pod(action.job, action.attempt, action.slot, self._settings)
        name = manifest["metadata"]["name"]
        try:
            self._cache.put_pod(await self._cluster.create_pod(manifest))
            log.info("made %s for %s", name, action.job.key)
        except AlreadyExistsError as error:
            found = self._put_pod(await self._cluster.get_pod(name))
            if found is None or (found.job_uid, found.attempt) != (action.job.uid, action.attempt):
                await self._tell_refusal(action.job, error)
                raise
        except UnreachableError:
            raise
        except QuotaExceededError as error:
            self._metrics.count_quota_refusal()
            await self._tell(action.job, statuses.without_room(action.job, error.message, self._clock()))
            self._record(EventReason.QUOTA_EXCEEDED, action.job, error.message)
            raise
        except ApiError as error:
            await self._tell_refusal(action.job, error)
            raise

    @_send.register
    async def _(self, action: ConfirmPod) -> None:
        patch = slot.confirmation(action.slot, action.pod, self._clock())
        try:
            self._cache.put_slot(await self._cluster.patch_lease(action.slot.name, patch))
        except (ConflictError, NotFoundError):
            await self._look_up_slot(action.slot)

    @_send.register
    async def _(self, action: ReleasePod) -> None:
        try:
            self._cache.put_pod(await self._cluster.remove_gate(action.pod.name, action.pod.uid, GATE))
            log.info("let %s go", action.pod.name)
        except (ConflictError, NotFoundError):
            await self._look_up_pod(action.pod)

    @_send.register
    async def _(self, action: DeletePod) -> None:
        log.info("deleting pod %s: %s", action.pod.name, action.why)
        with contextlib.suppress(ConflictError, NotFoundError):  # Gone, or no longer the same: the look-up tells.
            await self._cluster.delete_pod(action.pod.name, action.pod.uid, action.pod.version)
        await self._look_up_pod(action.pod)

    @_send.register
    async def _(self, action: WriteStatus) -> None:
        job, before, after = action.job, action.job.status.to_dict(), action.status.to_dict()
        patch = {"metadata": {"resourceVersion": job.resource_version}, "status": merge_patch(before, after)}
        try:
            answer = await self._cluster.patch_status(job.kind, job.name, patch)
        except (ConflictError, NotFoundError):
            await self._look_up_job(job.kind, job.name, job.uid)
            return
        self._cache.put_job(job.kind, answer)
        if (end := end_of_run(job, action.status, self._cache.pods.view.get(job.status.pod_uid or ""))) is not None:
            self._metrics.count_run(end)
        if job.status.phase != action.status.phase:
            log.info("%s is %s", job.key, action.status.phase)
        self._events.record_change(job, action.status, answer["metadata"]["resourceVersion"], self._clock())

    @_send.register
    async def _(self, action: FailBroken) -> None:
        job = action.job
        status = _broken_status(job, self._clock())
        patch = {"metadata": {"resourceVersion": job.version}, "status": status}
        try:
            self._cache.put_job(job.kind, await self._cluster.patch_status(job.kind, job.name, patch))
            self._record(EventReason.FAILED, job, f"{Reason.INVALID_SPEC}: {status['conditions'][0]['message']}")
        except (ConflictError, NotFoundError):
            await self._look_up_job(job.kind, job.name, job.uid)

    @_send.register
    async def _(self, action: DeleteJob) -> None:
        job = action.job
        with contextlib.suppress(ConflictError, NotFoundError):  # Somebody was faster.
            await self._cluster.delete_job(job.kind, job.name, job.uid)
            log.info("deleted %s: its time to live is over", job.key)
        await self._look_up_job(job.kind, job.name, job.uid)

    @_send.register
    async def _(self, action: Requeue) -> None:
        await self._look_up_slot(self._cache.slot(action.job.status.slot or 0))
        # The newest Lease of each slot: one that was deleted may still be known, by an answer that came after the news.
        holders = {each.holder for each in self._cache.slots(0).values()}
        if action.job.uid not in holders:
            await self.send(WriteStatus(action.job, action.status))

    @_send.register
    async def _(self, action: TellPlace | ObserveGeneration) -> None:
        await self.send(WriteStatus(action.job, action.status))

    @_send.register
    async def _(self, action: LookForPods) -> None:
        found, version = set(), 0
        async for text, page in self._cluster.list_pods({names.LABEL_JOB_UID: action.job_uid}):
            version = int(text)
            found |= uids(page)
            for document in page:
                self._put_pod(document)
        shelf = self._cache.pods.view
        # What came after the list can't be in it.
        known = {pod.uid for pod in shelf.values() if pod.job_uid == action.job_uid and int(pod.version) <= version}
        for uid in (known | ({action.expected_uid} - shelf.keys())) - found:
            self._cache.pods.drop(uid)

    @_send.register
    async def _(self, action: LookForHolder) -> None:
        holder, key = action.slot.holder or "", action.slot.holder_key or ""
        kind, _, name = key.partition("/")
        if kind in set(Kind) and name:
            await self._look_up_job(Kind(kind), name, holder)
            return
        log.warning("slot %d is held by %r, and does not say what that is", action.slot.number, holder)
        await self._look_up_jobs(holder)

    @_send.register
    async def _(self, action: LookForJob) -> None:
        await self._look_up_job(action.pod.job_kind, action.pod.job_name, action.pod.job_uid)

    def _put_pod(self, document: Json) -> RunnerPod | None:
        """What the API server answered when it was asked: the pod exists."""
        pod = self._cache.put_pod(document)
        if pod is not None:
            self._cache.pods.revive(pod.uid, pod)
        return pod

    async def _look_up_slot(self, lease: Slot) -> None:
        try:
            document = await self._cluster.get_lease(lease.name)
        except NotFoundError:
            document = {}
        found = self._cache.put_slot(document) if document else None
        if found is not None and found.uid is not None:
            self._cache.leases.revive(found.uid, found)
        if lease.uid is not None and (found is None or found.uid != lease.uid):
            self._cache.leases.drop(lease.uid)

    async def _look_up_pod(self, pod: RunnerPod) -> None:
        try:
            document = await self._cluster.get_pod(pod.name)
        except NotFoundError:
            self._cache.pods.drop(pod.uid)
            return
        self._put_pod(document)
        if document["metadata"]["uid"] != pod.uid:
            self._cache.pods.drop(pod.uid)

    async def _look_up_job(self, kind: Kind, name: str, uid: str) -> None:
        try:
            found = self._cache.put_job(kind, await self._cluster.get_job(kind, name))
        except NotFoundError:
            found = None
        if found is None or found.uid != uid:
            self._cache.drop_job(uid)

    async def _look_up_jobs(self, uid: str) -> None:
        """All of them, to find one by its uid alone."""
        found: set[str] = set()
        for kind in Kind:
            async for _, page in self._cluster.list_jobs(kind):
                found |= {self._cache.put_job(kind, document).uid for document in page}
        if uid not in found:
            self._cache.drop_job(uid)

    async def _tell_refusal(self, job: Job, error: ApiError) -> None:
        words = f"The API server would not take the pod: {error.message}"
        await self._tell(job, statuses.refused(job, words, self._clock()))
        self._record(EventReason.POD_REFUSED, job, words)

    def _record(self, reason: EventReason, job: Job | BrokenJob, note: str) -> None:
        """An Event that does not follow from a change of the status; at the version of the job that shows it."""
        present = self._cache.jobs.view.get(job.uid, job)
        self._events.record(JobReference.of(present), JobEvent(reason, note), self._clock())

    async def _tell(self, job: Job, status: JobStatus) -> None:
        if statuses.is_news(job, status):
            await self.send(WriteStatus(job, status))


def _broken_status(job: BrokenJob, now: datetime) -> Json:
    moment = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    condition = {
        "type": "Failed",
        "status": "True",
        "reason": Reason.INVALID_SPEC.value,
        "message": f"This release can't read the job: {job.fault}"[:2000],
        "lastTransitionTime": moment,
    }
    return {"phase": "Failed", "completionTime": moment, "queue": None, "slot": None, "conditions": [condition]}
