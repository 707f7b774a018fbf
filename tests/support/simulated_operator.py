"""An operator on a simulated API, driven request by request: the real controller, executor and cache,
with watches that deliver as much as a test wants.
"""

import logging
from collections.abc import Coroutine, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from darkroom_operator.cache.cache import Cache
from darkroom_operator.cache.outcome_reader import accepted_outcome
from darkroom_operator.errors import UnreachableError
from darkroom_operator.kube.client import KubeClient
from darkroom_operator.kube.objects import LEASES, PODS
from darkroom_operator.reconcile.actions import Action, AssignSlot
from darkroom_operator.reconcile.controller import Reconciler
from darkroom_operator.reconcile.executor import ActionExecutor
from darkroom_operator.scheduling.policy import QueuePolicy
from darkroom_operator.scheduling.preflight import ModelRoot, preflight_failure
from darkroom_operator.settings import Settings
from darkroom_operator.telemetry.metrics import Metrics
from support.queue_order import overtaken
from support.simulated_api import PLURALS, SimulatedApi, SimulatedKubeClient
from support.simulated_user import KINDS

Json = dict[str, Any]

logging.getLogger("darkroom_operator").setLevel(logging.CRITICAL)


class WatchedExecutor(ActionExecutor):
    """Notes whom an admission overtakes, in the view that decided it."""

    overtaken: tuple[str, ...] = ()

    async def send(self, action: Action) -> None:
        if isinstance(action, AssignSlot):
            self.overtaken += tuple(overtaken(action, self._cache, self._clock()))
        await super().send(action)


class SimulatedOperator:
    """One process; `crash` begins a new one."""

    def __init__(
        self,
        api: SimulatedApi,
        slots: int = 1,
        metrics: Metrics | None = None,
        policy: QueuePolicy | None = None,
        **settings: Any,
    ) -> None:
        self.api = api
        self._policy = policy
        self.is_leader = True
        self.look_cpu_seconds = 0.0
        """CPU time of one pass over all waiting jobs."""
        self._cpu = 0.0
        self._metrics = metrics or Metrics()
        self._settings = Settings(runner_image="x", slots=slots, retry_base_seconds=2.0, **settings)
        self.crash()

    def crash(self) -> None:
        """Lose all state; a new process begins with a list of all objects."""
        model_root = ModelRoot(self._settings.model_root)
        self.cache = Cache(lambda job: preflight_failure(job, self._settings, model_root), self._policy)
        self.kube = SimulatedKubeClient(self.api)
        self.executor = WatchedExecutor(
            cast(KubeClient, self.kube), self.cache, self._settings, self._now, self._metrics
        )
        self._reconciler = Reconciler(
            self.cache,
            self.executor,
            self._settings,
            clock=self._now,
            monotonic=self._monotonic,
            cpu_seconds=self._cpu_seconds,
            is_leader=lambda: self.is_leader,
            metrics=self._metrics,
        )
        self._work: Coroutine[Any, Any, float] | None = None
        self._seen = {plural: len(self.api.history[plural]) for plural in PLURALS}
        for plural in PLURALS:
            for document in self.api.all(plural):
                self._show(plural, "ADDED", document)

    def _now(self) -> datetime:
        return self.api.now

    def _monotonic(self) -> float:
        return self.api.now.timestamp()

    def _cpu_seconds(self) -> float:
        """Read before and after a pass."""
        self._cpu += self.look_cpu_seconds
        return self._cpu

    def liveness_error(self) -> str | None:
        return self._reconciler.liveness_error()

    def see(self, plural: str, events: int | None = None) -> None:
        """The watch brings the next events, or all."""
        history, begin = self.api.history[plural], self._seen[plural]
        end = len(history) if events is None else min(len(history), begin + events)
        for event in history[begin:end]:
            self._show(plural, event.kind, event.document)
        self._seen[plural] = end

    def read_outcomes(self, published: Mapping[str, Sequence[str]]) -> None:
        """As outcome_reader.py does."""
        for slot in self.cache.leases.view.values():
            pod = self.cache.pods.view.get(slot.pod_uid or "")
            for text in published.get(slot.holder or "", ()):
                if pod is not None and (found := accepted_outcome(text, pod, slot.holder or "")) is not None:
                    self.cache.outcomes[pod.uid] = found
        self._reconciler.wake()

    def list_again(self, plural: str) -> None:
        """The watch broke, what it would have shown is lost, and everything is listed, as resync.py does."""
        self._seen[plural] = len(self.api.history[plural])
        documents, version = self.api.all(plural), self.api.revision
        for document in documents:
            self._show(plural, "ADDED", document)
        uids = {document["metadata"]["uid"] for document in documents}
        if plural == PODS:
            self.cache.pods.forget_others(uids, version)
        elif plural == LEASES:
            self.cache.leases.forget_others(uids, version)
        else:
            self.cache.keep_only_jobs(KINDS[plural], uids, version)
        self._reconciler.wake()

    def see_all(self) -> None:
        for plural in PLURALS:
            self.see(plural)

    def _show(self, plural: str, event: str, document: Json) -> None:
        """As handlers.py does."""
        if event == "DELETED":
            self.cache.delete(plural, document)
        elif not self.cache.see(plural, document):
            return
        self._reconciler.wake()

    def step(self, pauses: int) -> None:
        """Continue or start a pass of the reconcile loop, for this number of pauses at requests."""
        for _ in range(pauses):
            self._work = self._work or self._reconciler.once()
            try:
                self._work.send(None)
            except (StopIteration, UnreachableError):
                self._work = None
                return

    def rest(self) -> None:
        """Pass after pass, with up-to-date watches, until one sends nothing."""
        for _ in range(200):
            self.see_all()
            sent, begun = self.kube.sent, self._work is None
            while self._work is not None or begun:
                begun = False
                self.step(1)
            if self.kube.sent == sent:
                return
        raise AssertionError("the operator does not become idle")

    def seconds_until_the_next_look(self) -> float:
        """How long an operator at rest sleeps when nothing wakes it."""
        try:
            self._reconciler.once().send(None)
        except StopIteration as done:
            seconds: float = done.value
            return seconds
        raise AssertionError("the operator has something to send")
