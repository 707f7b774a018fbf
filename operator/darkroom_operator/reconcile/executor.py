"""Sends actions to the API server and puts the responses into the cache. Called by `controller.py`; decides nothing.

A 409 or 404 means that the cache is stale: the object is read again (`cache_refresh.py`), so that the next decision is
made on its current state. Every other error is raised.
"""

import contextlib
import logging
import secrets
from collections.abc import Callable
from datetime import datetime
from functools import singledispatchmethod

from darkroom_contract.event_reasons import EventReason
from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.outcome import Reason
from darkroom_contract.status import JobStatus, RunStart
from darkroom_contract.tracing.tracing import Tracing
from darkroom_operator.cache.cache import Cache
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
from darkroom_operator.pods.runner_pod import ANNOTATION_FOREIGN_GATES, GATE, RunnerPod
from darkroom_operator.pods.warm_patches import acknowledgement, run_gift, takeover
from darkroom_operator.reconcile.actions import (
    AcknowledgeRun,
    Action,
    AssignSlot,
    ConfirmPod,
    CreatePod,
    DeleteJob,
    DeletePod,
    FailUnreadableJob,
    GiveRun,
    ObserveGeneration,
    Requeue,
    TakeOverPod,
    UngatePod,
    UpdateQueuePosition,
    VerifyHolder,
    VerifyJob,
    VerifyPods,
    WriteStatus,
)
from darkroom_operator.reconcile.cache_refresh import CacheRefresh
from darkroom_operator.scheduling import slot
from darkroom_operator.scheduling.snapshot import UnreadableJob
from darkroom_operator.settings import Settings
from darkroom_operator.status import transitions
from darkroom_operator.status.run_ends import end_of_run
from darkroom_operator.status.unreadable import unreadable_status
from darkroom_operator.telemetry.event_recorder import EventRecorder
from darkroom_operator.telemetry.job_events import JobEvent, JobReference
from darkroom_operator.telemetry.job_traces import JobTraces
from darkroom_operator.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

REFUSALS = (400, 403, 422)
"""Answers to a patch that will not change by themselves: an admission policy, or a role without the right."""


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
        traces: JobTraces | None = None,
    ) -> None:
        self._traces = traces or JobTraces(Tracing())
        self._events = events or EventRecorder()
        self._kube = kube
        self._cache = cache
        self._refresh = CacheRefresh(kube, cache)
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
                patch = slot.assignment(lease, job, self._clock(), action.idle_pod)
                answer = await self._kube.patch_lease(lease.name, patch)
        except (ConflictError, AlreadyExistsError, NotFoundError):
            await self._refresh.slot(lease)
            return
        self._cache.put_slot(answer)
        log.info("slot %d is assigned to %s", lease.number, job.key if job else "no job")

    async def _has_unseen_pods(self) -> bool:
        """Check before a Lease is created: if one was deleted by hand, a run may be active that no watch has delivered
        yet. A pod that would be ungated later needs the old Lease, and is refused."""
        before = dict(self._cache.pods.view)
        async for _, page in self._kube.list_pods(RUNNER_PODS):
            for document in page:
                self._refresh.put_pod(document)
        return before != self._cache.pods.view

    @_send.register
    async def _(self, action: CreatePod) -> None:
        key = secrets.token_hex(32) if self._settings.keeps_pods_warm else None
        manifest = runner_pod(action.job, action.attempt, action.slot, self._settings, key)
        name = manifest["metadata"]["name"]
        try:
            self._cache.put_pod(await self._kube.create_pod(manifest))
            log.info("created pod %s for %s", name, action.job.key)
        except AlreadyExistsError as error:
            found = self._refresh.put_pod(await self._kube.get_pod(name))
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
            self._record(EventReason.QUOTA_EXCEEDED, action.job, error.message)
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
            await self._refresh.slot(action.slot)

    @_send.register
    async def _(self, action: UngatePod) -> None:
        pod = action.pod
        foreign = {ANNOTATION_FOREIGN_GATES: ",".join(pod.foreign_gates)} if pod.template and pod.foreign else None
        try:
            self._cache.put_pod(await self._kube.remove_gate(pod.name, pod.uid, GATE, foreign))
            log.info("ungated pod %s", pod.name)
        except (ConflictError, NotFoundError):
            await self._refresh.pod(pod)

    @_send.register
    async def _(self, action: AcknowledgeRun) -> None:
        await self._patch_pod(action.pod, acknowledgement(action.pod))

    @_send.register
    async def _(self, action: TakeOverPod) -> None:
        await self._hand_over(action.pod, takeover(action.pod, action.job, action.attempt))

    @_send.register
    async def _(self, action: GiveRun) -> None:
        if not await self._hand_over(action.pod, run_gift(action.pod, action.job, self._settings)):
            return
        log.info("gave run %d of %s to pod %s", action.pod.attempt, action.job.key, action.pod.name)

    async def _hand_over(self, pod: RunnerPod, patch: Json) -> bool:
        """Patch an idle pod. One that a policy of the cluster keeps from being changed is deleted: the job that waits
        for it then gets a new one."""
        try:
            await self._patch_pod(pod, patch)
        except ApiError as error:
            if error.code not in REFUSALS:
                raise
            log.warning("pod %s can't be handed over and is deleted: %s", pod.name, error)
            await self._send(DeletePod(pod, "the cluster refuses to hand it over"))
            return False
        return True

    async def _patch_pod(self, pod: RunnerPod, patch: Json) -> None:
        try:
            self._cache.put_pod(await self._kube.patch_pod(pod.name, patch))
        except (ConflictError, NotFoundError):
            await self._refresh.pod(pod)

    @_send.register
    async def _(self, action: DeletePod) -> None:
        log.info("deleting pod %s: %s", action.pod.name, action.why)
        with contextlib.suppress(ConflictError, NotFoundError):  # Deleted or changed: the look-up shows it.
            await self._kube.delete_pod(action.pod.name, action.pod.uid, action.pod.version)
        await self._refresh.pod(action.pod)

    @_send.register
    async def _(self, action: WriteStatus) -> None:
        job, before, after = action.job, action.job.status.to_dict(), action.status.to_dict()
        patch = {"metadata": {"resourceVersion": job.resource_version}, "status": merge_patch(before, after)}
        try:
            answer = await self._kube.patch_status(job.kind, job.name, patch)
        except (ConflictError, NotFoundError):
            await self._refresh.job(job.kind, job.name, job.uid)
            return
        self._cache.put_job(job.kind, answer)
        if (end := end_of_run(job, action.status, self._cache.pods.view.get(job.status.pod_uid or ""))) is not None:
            self._metrics.count_run(end)
        if action.status.attempts > job.status.attempts:
            self._metrics.count_start(job.kind, action.status.run_start or RunStart.COLD)
        if job.status.phase != action.status.phase:
            log.info("%s is %s", job.key, action.status.phase)
        self._traces.record_change(job, action.status, self._clock())
        self._events.record_change(job, action.status, answer["metadata"]["resourceVersion"], self._clock())

    @_send.register
    async def _(self, action: FailUnreadableJob) -> None:
        job = action.job
        status = unreadable_status(job, self._clock())
        patch = {"metadata": {"resourceVersion": job.version}, "status": status}
        try:
            self._cache.put_job(job.kind, await self._kube.patch_status(job.kind, job.name, patch))
            self._record(EventReason.FAILED, job, f"{Reason.INVALID_SPEC}: {status['conditions'][0]['message']}")
        except (ConflictError, NotFoundError):
            await self._refresh.job(job.kind, job.name, job.uid)

    @_send.register
    async def _(self, action: DeleteJob) -> None:
        job = action.job
        with contextlib.suppress(ConflictError, NotFoundError):  # Deleted or replaced already.
            await self._kube.delete_job(job.kind, job.name, job.uid)
            log.info("deleted %s: its time to live has expired", job.key)
        await self._refresh.job(job.kind, job.name, job.uid)

    @_send.register
    async def _(self, action: Requeue) -> None:
        await self._refresh.slot(self._cache.slot(action.job.status.slot or 0))
        # Of each slot the newest Lease: a response may have brought a deleted one back into the cache.
        holders = {each.holder for each in self._cache.slots(0).values()}
        if action.job.uid not in holders:
            await self.send(WriteStatus(action.job, action.status))

    @_send.register
    async def _(self, action: UpdateQueuePosition | ObserveGeneration) -> None:
        await self.send(WriteStatus(action.job, action.status))

    @_send.register
    async def _(self, action: VerifyPods) -> None:
        await self._refresh.pods_of(action.job_uid, action.expected_uid, action.expected_name)

    @_send.register
    async def _(self, action: VerifyHolder) -> None:
        holder, key = action.slot.holder or "", action.slot.holder_key or ""
        kind, _, name = key.partition("/")
        if kind in set(Kind) and name:
            await self._refresh.job(Kind(kind), name, holder)
            return
        log.warning("slot %d is held by uid %r without a job key, searching all jobs", action.slot.number, holder)
        await self._refresh.jobs(holder)

    @_send.register
    async def _(self, action: VerifyJob) -> None:
        await self._refresh.job(action.pod.job_kind, action.pod.job_name, action.pod.job_uid)

    async def _record_refusal(self, job: Job, error: ApiError) -> None:
        message = f"The API server refused the pod: {error.message}"
        await self._write_if_changed(job, transitions.pod_refused(job, message, self._clock()))
        self._record(EventReason.POD_REFUSED, job, message)

    def _record(self, reason: EventReason, job: Job | UnreadableJob, note: str) -> None:
        """Record an Event that is not derived from a change of the status, at the job's cached version."""
        cached = self._cache.jobs.view.get(job.uid, job)
        self._events.record(JobReference.of(cached), JobEvent(reason, note), self._clock())

    async def _write_if_changed(self, job: Job, status: JobStatus) -> None:
        if transitions.is_changed(job, status):
            await self.send(WriteStatus(job, status))
