"""What kopf calls: stateless handlers that put what they see into the cache and wake the reconcile. Built by `main.py`.

The cache is whole before kopf begins (`resync.py`), so handlers are all that is needed of it, and no index: kopf fills
one in a time that grows with the square of the objects (docs/decisions/0002). Nothing is written from here, no
finalizer is set, no state is kept on objects.
"""

from typing import Any

import kopf

from darkroom_contract import names
from darkroom_contract.names import GROUP, VERSION, Kind
from darkroom_operator.cache.cache import Cache
from darkroom_operator.cache.resync import Resync
from darkroom_operator.errors import LoginError
from darkroom_operator.kube.client import RUNNER_PODS
from darkroom_operator.kube.connection import find_connection
from darkroom_operator.kube.objects import LEASES, PODS
from darkroom_operator.kube.watch_monitor import WatchMonitor
from darkroom_operator.reconcile.controller import Reconciler

Selector = tuple[str, str, str]

JOBS: list[Selector] = [(GROUP, VERSION, kind.plural) for kind in Kind]
POD: Selector = ("", "v1", PODS)
LEASE: Selector = ("coordination.k8s.io", "v1", LEASES)
OURS = {names.LABEL_PART_OF: names.PART_OF}
"""Selects the slots, and the Lease of the leader: its renewals are what the watch is never long without."""

EXIT_SECONDS = 5.0
"""After kopf was told to stop and has not: the process is killed, and whatever runs it starts it again."""


def build_registry(
    cache: Cache, watches: WatchMonitor, reconciler: Reconciler, resync: Resync
) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    _register_login(registry)
    _register_settings(registry)
    for selector in (*JOBS, POD, LEASE):
        _register_watch(registry, selector, cache, watches, reconciler, resync)
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
        # Events about our own handlers would say nothing that conditions don't.
        settings.posting.enabled = False
        settings.scanning.disabled = True
        settings.networking.connect_timeout = 5
        settings.networking.request_timeout = 30
        # A watch that is silent for long may be dead; a server that ends it says so before.
        settings.watching.server_timeout = 60
        settings.watching.inactivity_timeout = 70
        settings.watching.chunk_size = 500
        # A worker for each object that changes costs memory for as long as it waits for the next change.
        settings.queueing.idle_timeout = 0.5
        # `main.py` ends kopf's tasks in a tenth of a second. Should one of them not let itself be ended:
        settings.process.ultimate_exiting_timeout = EXIT_SECONDS
        settings.watching.label_selectors[POD] = _selector(RUNNER_PODS)
        settings.watching.label_selectors[LEASE] = _selector(OURS)


def _register_watch(
    registry: kopf.OperatorRegistry,
    selector: Selector,
    cache: Cache,
    watches: WatchMonitor,
    reconciler: Reconciler,
    resync: Resync,
) -> None:
    plural = selector[2]

    # A coroutine: kopf runs plain functions in threads, and nothing here is made for two of them.
    @kopf.on.event(*selector, registry=registry, id=f"see-{plural}")
    async def see(type: str | None, body: kopf.Body, meta: kopf.Meta, **_: Any) -> None:  # noqa: A002 (kopf's)
        watches.show(plural, int(meta["resourceVersion"]))
        if type is None:
            resync.request()
        if type == "DELETED":
            cache.lose(plural, dict(body))
        elif not cache.see(plural, dict(body)):
            return
        reconciler.wake()


def _selector(labels: dict[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in labels.items())
