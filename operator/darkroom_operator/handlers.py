"""What kopf calls: stateless handlers that put what they see into the cache and wake the reconcile. Built by `main.py`.

Index functions run first and for every object there is, so the cache is whole before the first wake. Nothing is written
from here, no finalizer is set, no state is kept on objects.
"""

from collections.abc import Callable
from typing import Any

import kopf

from darkroom_contract import names
from darkroom_contract.names import GROUP, VERSION, Kind
from darkroom_operator.cache import Cache
from darkroom_operator.cluster import RUNNER_PODS
from darkroom_operator.connection import find_connection
from darkroom_operator.errors import LoginError
from darkroom_operator.leadership import LEASE
from darkroom_operator.reconcile import Reconciler
from darkroom_operator.resync import Resync
from darkroom_operator.slot import SLOTS
from darkroom_operator.watches import Watches

Selector = tuple[str, str, str]

PODS: Selector = ("", "v1", "pods")
LEASES: Selector = ("coordination.k8s.io", "v1", "leases")
OURS = {names.LABEL_PART_OF: names.PART_OF}
"""Selects the slots, and the Lease of the leader: its renewals are what the watch is never long without."""
JOBS: dict[Kind, Selector] = {kind: (GROUP, VERSION, kind.plural) for kind in Kind}

EXIT_SECONDS = 5.0
"""After kopf has failed or was told to stop, the process is killed: whatever runs it starts it again."""


def build_registry(cache: Cache, watches: Watches, reconciler: Reconciler, resync: Resync) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    _register_login(registry)
    _register_settings(registry)
    for kind, selector in JOBS.items():
        _register_jobs(registry, selector, kind, cache)
    _register_pods(registry, cache)
    _register_leases(registry, cache)
    gone: dict[Selector, Callable[[str], None]] = dict.fromkeys(JOBS.values(), cache.drop_job)
    # A pod also leaves its watch when somebody takes its labels away: whether it is gone, `LookForPods` will tell.
    gone |= {PODS: cache.pods.forget, LEASES: cache.leases.forget}
    for selector, forget in gone.items():
        _register_wake(registry, selector, forget, watches, reconciler, resync)
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
        # kopf's own end can hang for ever, as when a watch fails while another one waits for its connection.
        settings.process.ultimate_exiting_timeout = EXIT_SECONDS
        settings.watching.label_selectors[PODS] = _selector(RUNNER_PODS)
        settings.watching.label_selectors[LEASES] = _selector(OURS)


def _register_jobs(registry: kopf.OperatorRegistry, selector: Selector, kind: Kind, cache: Cache) -> None:
    @kopf.index(*selector, registry=registry, id=f"see-{kind.plural}")
    def see(body: kopf.Body, **_: Any) -> None:
        cache.put_job(kind, dict(body))


def _register_pods(registry: kopf.OperatorRegistry, cache: Cache) -> None:
    @kopf.index(*PODS, labels=RUNNER_PODS, registry=registry, id="see-pods")
    def see(body: kopf.Body, **_: Any) -> None:
        cache.put_pod(dict(body))


def _register_leases(registry: kopf.OperatorRegistry, cache: Cache) -> None:
    @kopf.index(*LEASES, labels=SLOTS, registry=registry, id="see-leases")
    def see(body: kopf.Body, **_: Any) -> None:
        cache.put_slot(dict(body))


def _register_wake(
    registry: kopf.OperatorRegistry,
    selector: Selector,
    forget: Callable[[str], None],
    watches: Watches,
    reconciler: Reconciler,
    resync: Resync,
) -> None:
    @kopf.on.event(*selector, registry=registry, id=f"wake-{selector[2]}")
    async def wake(type: str | None, uid: str, name: str, meta: kopf.Meta, **_: Any) -> None:  # noqa: A002 (kopf's name)
        is_first = not watches.have_begun
        watches.show(selector[2], int(meta["resourceVersion"]))
        if type == "DELETED":
            forget(uid)
        if type is None:
            resync.request()
        # A renewed leadership is no news; but the first event of all tells that the cache is complete.
        if is_first or (selector, name) != (LEASES, LEASE):
            reconciler.wake()


def _selector(labels: dict[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in labels.items())
