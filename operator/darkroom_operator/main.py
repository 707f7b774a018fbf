"""The `darkroom-operator` command: reads the settings, then runs kopf and the reconcile loop until a signal.

If one part fails, the process exits; its container restarts it, and no state is lost. Shutdown starts with what others
wait for: the operator stops acting and gives up its leadership, before kopf closes its watches.
"""

import asyncio
import contextlib
import gc
import logging
import os
import sys
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import prometheus_client

from darkroom_contract.log_lines import set_up_log
from darkroom_contract.names import Kind
from darkroom_contract.tracing.tracing import Tracing, open_tracing
from darkroom_operator.cache.cache import Cache
from darkroom_operator.cache.handlers import build_registry
from darkroom_operator.cache.outcome_reader import OutcomeReader
from darkroom_operator.cache.progress_reader import ProgressReader
from darkroom_operator.cache.resync import Resync
from darkroom_operator.clock import ServerClock
from darkroom_operator.errors import ApiError, OperatorError
from darkroom_operator.kopf_tasks import KopfTasks
from darkroom_operator.kube.client import KubeClient
from darkroom_operator.kube.connection import find_connection
from darkroom_operator.kube.watch_monitor import WatchMonitor
from darkroom_operator.leader_election import LeaderElector
from darkroom_operator.reconcile.activity import Activity
from darkroom_operator.reconcile.controller import Reconciler
from darkroom_operator.reconcile.executor import ActionExecutor
from darkroom_operator.scheduling.policy import POLICIES
from darkroom_operator.scheduling.preflight import ModelRoot, preflight_failure
from darkroom_operator.settings import Settings
from darkroom_operator.telemetry.event_recorder import EventRecorder
from darkroom_operator.telemetry.gauges import Gauges
from darkroom_operator.telemetry.health import Health
from darkroom_operator.telemetry.job_traces import JobTraces
from darkroom_operator.telemetry.metrics import Metrics

CRD_RETRY_SECONDS = 3.0
"""The interval at which missing CRDs are looked for."""

GC_THRESHOLD = 20_000
"""New objects that trigger a garbage collection, instead of Python's 700."""

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"

log = logging.getLogger("darkroom_operator")


def main() -> None:
    set_up_log(LOG_FORMAT)
    # At INFO kopf logs every event of every object.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    # The creation time of each counter: doubles the number of series, and nobody uses it.
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    try:
        settings = Settings.from_environment(os.environ)
        tracing = open_tracing("darkroom-operator", os.environ)
        try:
            asyncio.run(operate(settings, tracing))
        finally:
            tracing.close()
    except OperatorError as error:
        sys.exit(f"darkroom-operator: {error}")


async def operate(settings: Settings, tracing: Tracing | None = None) -> None:
    """Until SIGTERM or SIGINT, or until a part fails: then its error is raised."""
    kopf_tasks = KopfTasks()
    try:
        await _run(settings, kopf_tasks, JobTraces(tracing or Tracing()))
    finally:
        await kopf_tasks.stop()
    log.info("stopped")


async def _run(settings: Settings, kopf_tasks: KopfTasks, traces: JobTraces) -> None:
    """Everything except kopf's shutdown. Servers and connections are closed when this returns."""
    model_root = ModelRoot(settings.model_root)
    cache = Cache(lambda job: preflight_failure(job, settings, model_root), POLICIES[settings.queue_policy]())
    watch_monitor, metrics = WatchMonitor(settings.watch_stuck_seconds), Metrics()
    clock, events, activity = ServerClock(), EventRecorder(metrics), Activity()
    async with KubeClient(settings.namespace, find_connection, clock, metrics.count_request) as kube:
        elector = LeaderElector(kube, settings, watch_monitor, clock.now)
        executor = ActionExecutor(kube, cache, settings, clock.now, metrics, events, traces)
        reconciler = Reconciler(
            cache, executor, settings, clock.now, is_leader=elector.is_leader, metrics=metrics, activity=activity
        )
        resync = Resync(kube, cache, watch_monitor, reconciler.wake)
        readers = _redis_readers(settings, cache, reconciler, clock)
        metrics.registry.register(Gauges(lambda: cache.snapshot(clock.now(), settings.slots), elector.is_leader))
        async with _probes_served(reconciler, watch_monitor, resync, metrics, settings):
            # 1. Log who the leader is, wait for the CRDs, and complete the cache.
            await elector.announce()
            await _wait_for_crds(kube, reconciler)
            await resync.list_until_complete(reconciler.record_activity)
            _tune_garbage_collection()
            # 2. Watch, and run everything until the first part ends.
            registry = build_registry(cache, watch_monitor, resync, reconciler.wake)
            await kopf_tasks.start(registry, settings.namespace)
            parts = {
                "kopf": kopf_tasks.run(),
                "leader election": elector.run(reconciler.wake),
                "reconcile": reconciler.run(),
                "resync": resync.run(),
                "events": events.run(kube, activity.wait_until_idle),
            }
            # 3. Stop acting, then give up the leadership.
            await _run_and_resign(parts | {name: reader.run() for name, reader in readers.items()}, elector)


async def _run_and_resign(parts: dict[str, Coroutine[Any, Any, None]], elector: LeaderElector) -> None:
    try:
        await _run_together(parts)
    except Exception as error:
        # Logged here, because the process may be killed before kopf has stopped.
        log.error("the operator stops because of an error: %s", error, exc_info=not isinstance(error, OperatorError))
        raise
    finally:
        await elector.resign()


async def _run_together(parts: dict[str, Coroutine[Any, Any, None]]) -> None:
    """Until the first part ends: kopf on a signal or when a watch fails, any other only by an error. The others are
    cancelled."""
    tasks = [asyncio.create_task(work, name=name) for name, work in parts.items()]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def _redis_readers(
    settings: Settings, cache: Cache, reconciler: Reconciler, clock: ServerClock
) -> dict[str, ProgressReader | OutcomeReader]:
    url = settings.redis_url
    if url is None:
        return {}
    progress = ProgressReader(url, cache, reconciler.wake, clock.now)
    if not settings.keeps_pods_warm:
        return {"progress": progress}
    return {"progress": progress, "outcomes": OutcomeReader(url, cache, reconciler.wake)}


def _tune_garbage_collection() -> None:
    """The listed objects are permanent, and planning for ten thousand jobs creates ten thousand objects: Python's
    cyclic collector would traverse all of them again and again, each time for longer than a hand-over takes."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


async def _wait_for_crds(kube: KubeClient, reconciler: Reconciler) -> None:
    """kopf looks up only once, at its start, which kinds exist; and it exits if nothing answers."""
    for kind in Kind:
        while not await _is_served(kind, kube):
            reconciler.record_activity()
            await asyncio.sleep(CRD_RETRY_SECONDS)


async def _is_served(kind: Kind, kube: KubeClient) -> bool:
    try:
        served = await kube.serves(kind)
    except ApiError as error:
        if not error.is_transient:
            raise
        log.warning("%s", error)
        return False
    if not served:
        log.warning("the cluster does not know %s yet: apply crds/ to it", kind.crd_name)
    return served


@contextlib.asynccontextmanager
async def _probes_served(
    reconciler: Reconciler, watch_monitor: WatchMonitor, resync: Resync, metrics: Metrics, settings: Settings
) -> AsyncIterator[None]:
    if settings.health_port is None:
        yield
        return
    alive, ready = [reconciler.liveness_error, watch_monitor.liveness_error], [resync.readiness_error]
    health = Health(alive, ready, metrics.registry, settings.health_host, settings.health_port)
    await health.start()
    try:
        yield
    finally:
        await health.stop()


if __name__ == "__main__":
    main()
