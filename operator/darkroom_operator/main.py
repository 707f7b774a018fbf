"""The `darkroom-operator` command: settings from the environment, then kopf and the reconcile until it is told to stop.

Whatever ends one of the parts ends the process: what runs it starts it again, and nothing is lost. Its end begins with
what others wait for: it stops acting and gives the lead back, before kopf takes its time to end its watches.
"""

import asyncio
import contextlib
import gc
import logging
import os
import sys
from collections.abc import AsyncIterator, Collection, Coroutine
from typing import Any

import kopf
import prometheus_client

from darkroom_contract.log_lines import set_up_log
from darkroom_contract.names import Kind
from darkroom_operator.cache import Cache
from darkroom_operator.clock import ServerClock
from darkroom_operator.cluster import Cluster
from darkroom_operator.connection import find_connection
from darkroom_operator.errors import ApiError, OperatorError
from darkroom_operator.event_recorder import EventRecorder
from darkroom_operator.gauges import Gauges
from darkroom_operator.handlers import build_registry
from darkroom_operator.health import Health
from darkroom_operator.leadership import Leadership
from darkroom_operator.metrics import Metrics
from darkroom_operator.progress import ProgressReader
from darkroom_operator.reconcile import Reconciler
from darkroom_operator.refusals import ModelRoot, refusal
from darkroom_operator.requests import Requests
from darkroom_operator.resync import Resync
from darkroom_operator.settings import Settings
from darkroom_operator.watches import Watches

KINDS_SECONDS = 3.0
"""Between two looks whether the kinds are defined."""

CANCEL_SECONDS = 0.03
"""Until what kopf left behind is cancelled again: less than its `reconnect_backoff`, a tenth of a second."""

YOUNG_OBJECTS = 20_000
"""So many new objects, and not Python's 700, make it look for cycles among them."""

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"

log = logging.getLogger("darkroom_operator")


def main() -> None:
    set_up_log(LOG_FORMAT)
    # It tells of every event of every object.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    # When each counter was made: as many lines again, that nobody asks for.
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    try:
        asyncio.run(operate(Settings.from_environment(os.environ)))
    except OperatorError as error:
        sys.exit(f"darkroom-operator: {error}")


async def operate(settings: Settings) -> None:
    """Until SIGTERM or SIGINT, or until a part fails: that failure is raised."""
    watching = Watching()
    try:
        await _act(settings, watching)
    finally:
        await watching.end()
    log.info("stopped")


class Watching:
    """kopf's own tasks, in two halves: that they are about to end is known at once, and told before they have."""

    def __init__(self, tasks: Collection[asyncio.Task[Any]] = ()) -> None:
        self._tasks = tasks

    async def begin(self, registry: kopf.OperatorRegistry, namespace: str) -> None:
        self._tasks = await kopf.spawn_tasks(registry=registry, standalone=True, namespaces=[namespace])

    async def run(self) -> None:
        """Until the first of them ends: a signal has come, or a watch has failed."""
        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    async def end(self) -> None:
        """Gracefully; raises what made a watch fail. Nothing else runs any more.

        Not by `kopf.run_tasks`, which gives five seconds to what its tasks leave behind: a watch that is cancelled
        while it hands on an event leaves a task that waits for ever, and no handler here wants the time.
        """
        if not self._tasks:
            return
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await _cancel_until_done(asyncio.all_tasks() - {asyncio.current_task()})
        for task in self._tasks:
            if not task.cancelled():
                task.result()


async def _cancel_until_done(tasks: set[asyncio.Task[Any]]) -> None:
    """A watch whose request is cancelled together with the task that would pause it takes that for a pause, and begins
    anew after its `reconnect_backoff`: it is cancelled again before that is over."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=CANCEL_SECONDS)


async def _act(settings: Settings, watching: Watching) -> None:
    """Everything but kopf's end. Whatever listens or is connected is closed when this returns."""
    model_root = ModelRoot(settings.model_root)
    cache = Cache(lambda job: refusal(job, settings, model_root))
    watches, metrics = Watches(settings.watch_stuck_seconds), Metrics()
    clock, events = ServerClock(), EventRecorder(metrics)
    async with Cluster(settings.namespace, find_connection, metrics, clock) as cluster:
        leadership = Leadership(cluster, settings, watches, clock.now)
        requests = Requests(cluster, cache, settings, clock.now, metrics, events)
        reconciler = Reconciler(cache, requests, settings, clock.now, leads=leadership.leads, metrics=metrics)
        resync = Resync(cluster, cache, watches, reconciler.wake)
        progress = _progress_reader(settings, cache, reconciler, clock)
        metrics.registry.register(Gauges(lambda: cache.world(clock.now(), settings.slots), leadership.leads))
        async with _served(reconciler, watches, resync, metrics, settings):
            await leadership.announce()
            await _wait_for_kinds(cluster, reconciler)
            await resync.begin(reconciler.live)
            _collect_less()
            await watching.begin(build_registry(cache, watches, reconciler, resync), settings.namespace)
            parts = {
                "kopf": watching.run(),
                "leadership": leadership.run(reconciler.wake),
                "reconcile": reconciler.run(),
                "resync": resync.run(),
                "events": events.run(cluster),
            }
            if progress is not None:
                parts["progress"] = progress.run()
            try:
                await _run_together(parts)
            except Exception as error:
                # At once: the process may be killed before kopf has ended.
                log.error("it ends: %s", error, exc_info=not isinstance(error, OperatorError))
                raise
            finally:
                await leadership.resign()


def _progress_reader(
    settings: Settings, cache: Cache, reconciler: Reconciler, clock: ServerClock
) -> ProgressReader | None:
    if settings.redis_url is None:
        return None
    return ProgressReader(settings.redis_url, cache, reconciler.wake, clock.now)


def _collect_less() -> None:
    """What was listed stays, and a look at ten thousand jobs makes ten thousand places: Python's cyclic collector would
    go through all of it again and again, each time for longer than a hand-over takes."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


async def _wait_for_kinds(cluster: Cluster, reconciler: Reconciler) -> None:
    """kopf looks once, at its start, which kinds there are; and it ends when nobody answers."""
    for kind in Kind:
        while not await _is_served(kind, cluster):
            reconciler.live()
            await asyncio.sleep(KINDS_SECONDS)


async def _is_served(kind: Kind, cluster: Cluster) -> bool:
    try:
        served = await cluster.serves(kind)
    except ApiError as error:
        if not error.may_pass:
            raise
        log.warning("%s", error)
        return False
    if not served:
        log.warning("the cluster does not know %s yet: apply crds/ to it", kind.crd_name)
    return served


async def _run_together(parts: dict[str, Coroutine[Any, Any, None]]) -> None:
    """Until the first ends: kopf's when a signal came or a watch failed, any other only by a failure. The rest is
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


@contextlib.asynccontextmanager
async def _served(
    reconciler: Reconciler, watches: Watches, resync: Resync, metrics: Metrics, settings: Settings
) -> AsyncIterator[None]:
    if settings.health_port is None:
        yield
        return
    alive, ready = [reconciler.complaint, watches.complaint], [resync.not_begun]
    health = Health(alive, ready, metrics.registry, settings.health_host, settings.health_port)
    await health.start()
    try:
        yield
    finally:
        await health.stop()


if __name__ == "__main__":
    main()
