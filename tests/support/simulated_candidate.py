"""A candidate of the leader election on a simulated API, driven attempt by attempt."""

from typing import cast

from darkroom_operator.kube.client import KubeClient
from darkroom_operator.kube.watch_monitor import WatchMonitor
from darkroom_operator.leader_election import LeaderElector
from darkroom_operator.settings import Settings
from support.simulated_api import SimulatedApi, SimulatedKubeClient

TERM_SECONDS = 5
"""It is renewed for three seconds at a time."""


class Candidate:
    """With its own monotonic clock, whose zero is arbitrary."""

    def __init__(self, api: SimulatedApi, name: str, began: float = 0.0) -> None:
        self.kube, self.clock = SimulatedKubeClient(api), began
        settings = Settings(runner_image="x", identity=name, lease_seconds=TERM_SECONDS)
        self.watch_monitor = WatchMonitor(120.0, lambda: self.clock)
        kube = cast(KubeClient, self.kube)
        self.elector = LeaderElector(kube, settings, self.watch_monitor, lambda: api.now, lambda: self.clock)

    def is_leader(self) -> bool:
        return self.elector.is_leader()

    async def attempt(self, after_seconds: float = 0.0) -> bool:
        """Whether it is the leader after an attempt."""
        self.clock += after_seconds
        self.kube.api.pass_time(after_seconds)
        await self.elector.attempt()
        return self.is_leader()
