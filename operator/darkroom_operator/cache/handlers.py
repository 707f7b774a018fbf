"""kopf's handlers: stateless functions that put what the watches deliver into the cache and wake the reconcile.

`resync.py` completes the cache before kopf starts, so no kopf index is needed: kopf fills one in time that is quadratic
in the number of objects (docs/decisions/0002). Handlers write nothing, set no finalizers and keep no state on objects.
"""

from collections.abc import Callable
from typing import Any

import kopf

from darkroom_contract import names
from darkroom_contract.names import GROUP, VERSION, Kind
from darkroom_operator.cache.cache import Cache
from darkroom_operator.cache.kopf_storage import NoDiffBase, NoProgress
from darkroom_operator.cache.resync import Resync
from darkroom_operator.errors import LoginError
from darkroom_operator.kube.client import RUNNER_PODS
from darkroom_operator.kube.connection import find_connection
from darkroom_operator.kube.objects import LEASES, PODS
from darkroom_operator.kube.watch_monitor import WatchMonitor

Selector = tuple[str, str, str]

JOBS: list[Selector] = [(GROUP, VERSION, kind.plural) for kind in Kind]
POD: Selector = ("", "v1", PODS)
LEASE: Selector = ("coordination.k8s.io", "v1", LEASES)
OURS = {names.LABEL_PART_OF: names.PART_OF}
"""Selects the slots and the leader election Lease, whose renewals show that the watch works."""

EXIT_SECONDS = 5.0
"""If kopf has not stopped this long after it was asked to, the process is killed; its container restarts it."""


def build_registry(
    cache: Cache, watch_monitor: WatchMonitor, resync: Resync, changed: Callable[[], None]
) -> kopf.OperatorRegistry:
    """`changed` wakes the reconcile."""
    registry = kopf.OperatorRegistry()
    _register_login(registry)
    _register_settings(registry)
    for selector in (*JOBS, POD, LEASE):
        _register_watch(registry, selector, cache, watch_monitor, resync, changed)
    return registry


def _register_login(registry: kopf.OperatorRegistry) -> None:
    @kopf.on.login(registry=registry, id="login")
    def login(settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo:
        try:
            return find_connection(settings)
        except LoginError as error:
            raise kopf.LoginError(str(error)) from error


def _register_settings(registry: kopf.OperatorRegistry) -> None:
    @kopf.on.startup(registry=registry, id="settings")
    def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        # kopf's Events report on handlers. Ours say nothing that conditions don't.
        settings.posting.enabled = False
        settings.scanning.disabled = True
        settings.networking.connect_timeout = 5
        settings.networking.request_timeout = 30
        # A silent watch may be dead. A server that ends one at its timeout does so before the client gives up.
        settings.watching.server_timeout = 60
        settings.watching.inactivity_timeout = 70
        settings.watching.chunk_size = 500
        # kopf starts a worker for each object that changes; an idle one occupies memory until this timeout.
        settings.queueing.idle_timeout = 0.5
        # `main.py` cancels kopf's tasks within a tenth of a second. This is the limit if one does not stop.
        settings.process.ultimate_exiting_timeout = EXIT_SECONDS
        settings.persistence.diffbase_storage = NoDiffBase()
        settings.persistence.progress_storage = NoProgress()
        settings.watching.label_selectors[POD] = _selector(RUNNER_PODS)
        settings.watching.label_selectors[LEASE] = _selector(OURS)


def _register_watch(
    registry: kopf.OperatorRegistry,
    selector: Selector,
    cache: Cache,
    watch_monitor: WatchMonitor,
    resync: Resync,
    changed: Callable[[], None],
) -> None:
    plural = selector[2]

    # A coroutine: kopf runs plain functions in threads, and the cache is not thread-safe.
    @kopf.on.event(*selector, registry=registry, id=f"see-{plural}")
    async def see(type: str | None, body: kopf.Body, meta: kopf.Meta, **_: Any) -> None:  # noqa: A002 (kopf's)
        watch_monitor.record_delivered(plural, int(meta["resourceVersion"]))
        if type is None:
            resync.request()
        if type == "DELETED":
            cache.delete(plural, dict(body))
        elif not cache.see(plural, dict(body)):
            return
        changed()


def _selector(labels: dict[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in labels.items())
