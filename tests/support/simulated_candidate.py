"""One operator's leadership on a simulated API, driven turn by turn."""

from typing import cast

from darkroom_operator.kube.client import Cluster
from darkroom_operator.kube.watch_monitor import Watches
from darkroom_operator.leader_election import Leadership
from darkroom_operator.settings import Settings
from support.simulated_api import SimulatedApi, SimulatedDoor

TERM_SECONDS = 5
"""It is renewed for three seconds at a time."""


class Candidate:
    """With a monotonic clock of its own, that may have begun at any moment."""

    def __init__(self, api: SimulatedApi, name: str, began: float = 0.0) -> None:
        self.door, self.clock = SimulatedDoor(api), began
        settings = Settings(runner_image="x", identity=name, lease_seconds=TERM_SECONDS)
        self.watches = Watches(120.0, lambda: self.clock)
        cluster = cast(Cluster, self.door)
        self.leadership = Leadership(cluster, settings, self.watches, lambda: api.now, lambda: self.clock)

    def leads(self) -> bool:
        return self.leadership.leads()

    async def turn(self, after_seconds: float = 0.0) -> bool:
        """Whether it leads after a turn."""
        self.clock += after_seconds
        self.door.api.pass_time(after_seconds)
        await self.leadership.turn()
        return self.leads()
