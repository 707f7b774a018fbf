"""Sends actions to the API server and puts the responses into the cache. Called by `controller.py`; decides nothing.

A 409 or 404 means that the cache is stale: the object is read again, so that the next decision is made on its current
state. Every other error is raised.
"""

import contextlib
import logging
from collections.abc import Callable
from datetime import datetime
from functools import singledispatchmethod

from darkroom_contract import names
from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.status import JobStatus
from darkroom_operator.cache.cache import Cache, uids
from darkroom_operator.errors import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    NotFoundError,
    QuotaExceededError,
    UnreachableError,
)
from darkroom_operator.kube.client import RUNNER_PODS, KubeClient
from darkroom_operator.kube.objects import Json, merge_patch
from darkroom_operator.pods.builder import runner_pod
from darkroom_operator.pods.runner_pod import GATE, RunnerPod
from darkroom_operator.reconcile.actions import (
    Action,
    AssignSlot,
    ConfirmPod,
    CreatePod,
    DeleteJob,
    DeletePod,
    FailUnreadableJob,
    ObserveGeneration,
    Requeue,
    UngatePod,
    UpdateQueuePosition,
    VerifyHolder,
    VerifyJob,
    VerifyPods,
    WriteStatus,
)
from darkroom_operator.scheduling import slot
from darkroom_operator.scheduling.slot import Slot
from darkroom_operator.settings import Settings
from darkroom_operator.status import transitions
from darkroom_operator.status.run_ends import end_of_run
from darkroom_operator.status.unreadable import unreadable_status
from darkroom_operator.telemetry.events import EventRecorder, remark_event
from darkroom_operator.telemetry.metrics import Metrics

log = logging.getLogger(__name__)


class ActionExecutor:
    """One method for each type of action."""

    def __init__(
        self,
        kube: KubeClient,
        cache: Cache,
        settings: Settings,
        clock: Callable[[], datetime],
        metrics: Metrics | None = None,
        events: EventRecorder | None = None,
    ) -> None:
        self._events = events or EventRecorder()
        self._kube = kube
        self._cache = cache
        self._settings = settings
        self._clock = clock
        self._metrics = metrics or Metrics()

    async def send(self, action: Action) -> None:
        """Raises `ApiError` if the API server does not answer, or refuses for a reason other than a stale cache."""
        await self._send(action)

    @singledispatchmethod
    async def _send(self, action: Action) -> None:
        raise TypeError(f"{action!r} is not an action")

    @_send.register
    async def _(self, action: AssignSlot) -> None:
        lease, job = action.slot, action.job
        if lease.uid is None and await self._has_unseen_pods():
            return
        try:
            if lease.uid is None and job is not None:
                answer = await self._kube.create_lease(slot.new_lease(lease, job, self._clock()))
            else:
                answer = await self._kube.patch_lease(lease.name, slot.assignment(lease, job, self._clock()))
        except (ConflictError, AlreadyExistsError, NotFoundError):
            await self._look_up_slot(lease)
            return
        self._cache.put_slot(answer)
        log.info("slot %d is assigned to %s", lease.number, job.key if job else "no job")

    async def _has_unseen_pods(self) -> bool:
        """Check before a Lease is created: if one was deleted by hand, a run may be active that no watch has delivered
        yet. A pod that would be ungated later needs the old Lease, and is refused."""
        before = dict(self._cache.pods.view)
        async for _, page in self._kube.list_pods(RUNNER_PODS):
            for document in page:
                self._put_pod(document)
        return before != self._cache.pods.view

    @_send.register
    async def _(self, action: CreatePod) -> None:
        manifest = runner_pod(action.job, action.attempt, action.slot, self._settings)
        name = manifest["metadata"]["name"]
        try:
            self._cache.put_pod(await self._kube.create_pod(manifest))
            log.info("created pod %s for %s", name, action.job.key)
        except AlreadyExistsError as error:
            found = self._put_pod(await self._kube.get_pod(name))
            if found is None or (found.job_uid, found.attempt) != (action.job.uid, action.attempt):
                await self._record_refusal(action.job, error)
                raise
        except UnreachableError:
            raise
        except QuotaExceededError as error:
            self._metrics.count_quota_refusal()
            await self._write_if_changed(
                action.job, transitions.quota_exceeded(action.job, error.message, self._clock())
            )
            raise
        except ApiError as error:
            await self._record_refusal(action.job, error)
            raise

    @_send.register
    async def _(self, action: ConfirmPod) -> None:
        patch = slot.confirmation(action.slot, action.pod, self._clock())
        try:
            self._cache.put_slot(await self._kube.patch_lease(action.slot.name, patch))
        except (ConflictError, NotFoundError):
            await self._look_up_slot(action.slot)

    @_send.register
    async def _(self, action: UngatePod) -> None:
        try:
            self._cache.put_pod(await self._kube.remove_gate(action.pod.name, action.pod.uid, GATE))
            log.info("ungated pod %s", action.pod.name)
        except (ConflictError, NotFoundError):
            await self._look_up_pod(action.pod)

    @_send.register
    async def _(self, action: DeletePod) -> None:
        log.info("deleting pod %s: %s", action.pod.name, action.why)
        with contextlib.suppress(ConflictError, NotFoundError):  # Deleted or changed: the look-up shows it.
            await self._kube.delete_pod(action.pod.name, action.pod.uid, action.pod.version)
        await self._look_up_pod(action.pod)

    @_send.register
    async def _(self, action: WriteStatus) -> None:
        job, before, after = action.job, action.job.status.to_dict(), action.status.to_dict()
        patch = {"metadata": {"resourceVersion": job.resource_version}, "status": merge_patch(before, after)}
        try:
            answer = await self._kube.patch_status(job.kind, job.name, patch)
        except (ConflictError, NotFoundError):
            await self._look_up_job(job.kind, job.name, job.uid)
            return
        self._cache.put_job(job.kind, answer)
        if (end := end_of_run(job, action.status, self._cache.pods.view.get(job.status.pod_uid or ""))) is not None:
            self._metrics.count_run(end)
        if job.status.phase != action.status.phase:
            log.info("%s is %s", job.key, action.status.phase)
        for remark in action.status.remarks or ():
            if remark not in (job.status.remarks or ()):
                self._events.record(remark_event(job, remark, self._clock()))

    @_send.register
    async def _(self, action: FailUnreadableJob) -> None:
        job = action.job
        patch = {"metadata": {"resourceVersion": job.version}, "status": unreadable_status(job, self._clock())}
        try:
            self._cache.put_job(job.kind, await self._kube.patch_status(job.kind, job.name, patch))
        except (ConflictError, NotFoundError):
            await self._look_up_job(job.kind, job.name, job.uid)

    @_send.register
    async def _(self, action: DeleteJob) -> None:
        job = action.job
        with contextlib.suppress(ConflictError, NotFoundError):  # Deleted or replaced already.
            await self._kube.delete_job(job.kind, job.name, job.uid)
            log.info("deleted %s: its time to live has expired", job.key)
        await self._look_up_job(job.kind, job.name, job.uid)

    @_send.register
    async def _(self, action: Requeue) -> None:
        await self._look_up_slot(self._cache.slot(action.job.status.slot or 0))
        # Of each slot the newest Lease: a response may have brought a deleted one back into the cache.
        holders = {each.holder for each in self._cache.slots(0).values()}
        if action.job.uid not in holders:
            await self.send(WriteStatus(action.job, action.status))

    @_send.register
    async def _(self, action: UpdateQueuePosition | ObserveGeneration) -> None:
        await self.send(WriteStatus(action.job, action.status))

    @_send.register
    async def _(self, action: VerifyPods) -> None:
        found, version = set(), 0
        async for text, page in self._kube.list_pods({names.LABEL_JOB_UID: action.job_uid}):
            version = int(text)
            found |= uids(page)
            for document in page:
                self._put_pod(document)
        cached = self._cache.pods.view
        # Newer pods can't be in the list.
        known = {pod.uid for pod in cached.values() if pod.job_uid == action.job_uid and int(pod.version) <= version}
        for uid in (known | ({action.expected_uid} - cached.keys())) - found:
            self._cache.pods.drop(uid)

    @_send.register
    async def _(self, action: VerifyHolder) -> None:
        holder, key = action.slot.holder or "", action.slot.holder_key or ""
        kind, _, name = key.partition("/")
        if kind in set(Kind) and name:
            await self._look_up_job(Kind(kind), name, holder)
            return
        log.warning("slot %d is held by uid %r without a job key, searching all jobs", action.slot.number, holder)
        await self._look_up_jobs(holder)

    @_send.register
    async def _(self, action: VerifyJob) -> None:
        await self._look_up_job(action.pod.job_kind, action.pod.job_name, action.pod.job_uid)

    def _put_pod(self, document: Json) -> RunnerPod | None:
        """Add a pod that the API server itself has just returned: it exists."""
        pod = self._cache.put_pod(document)
        if pod is not None:
            self._cache.pods.revive(pod.uid, pod)
        return pod

    async def _look_up_slot(self, lease: Slot) -> None:
        try:
            document = await self._kube.get_lease(lease.name)
        except NotFoundError:
            document = {}
        found = self._cache.put_slot(document) if document else None
        if found is not None and found.uid is not None:
            self._cache.leases.revive(found.uid, found)
        if lease.uid is not None and (found is None or found.uid != lease.uid):
            self._cache.leases.drop(lease.uid)

    async def _look_up_pod(self, pod: RunnerPod) -> None:
        try:
            document = await self._kube.get_pod(pod.name)
        except NotFoundError:
            self._cache.pods.drop(pod.uid)
            return
        self._put_pod(document)
        if document["metadata"]["uid"] != pod.uid:
            self._cache.pods.drop(pod.uid)

    async def _look_up_job(self, kind: Kind, name: str, uid: str) -> None:
        try:
            found = self._cache.put_job(kind, await self._kube.get_job(kind, name))
        except NotFoundError:
            found = None
        if found is None or found.uid != uid:
            self._cache.drop_job(uid)

    async def _look_up_jobs(self, uid: str) -> None:
        """List all jobs to find one by its uid."""
        found: set[str] = set()
        for kind in Kind:
            async for _, page in self._kube.list_jobs(kind):
                found |= {self._cache.put_job(kind, document).uid for document in page}
        if uid not in found:
            self._cache.drop_job(uid)

    async def _record_refusal(self, job: Job, error: ApiError) -> None:
        message = f"The API server refused the pod: {error.message}"
        await self._write_if_changed(job, transitions.pod_refused(job, message, self._clock()))

    async def _write_if_changed(self, job: Job, status: JobStatus) -> None:
        if transitions.is_changed(job, status):
            await self.send(WriteStatus(job, status))
