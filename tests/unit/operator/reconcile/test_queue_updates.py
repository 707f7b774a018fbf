"""Status updates of waiting jobs while the queue moves, and their cost, on a simulated API."""

from datetime import datetime
from typing import Any

from support.simulated_api import SimulatedApi
from support.simulated_node import SimulatedNode
from support.simulated_operator import SimulatedOperator
from support.simulated_user import GENERATE, SimulatedUser

from darkroom_operator.reconcile.controller import LOW_PRIORITY_SECONDS, LOW_PRIORITY_UPDATES
from darkroom_operator.scheduling.queue_position import EXACT_POSITIONS
from darkroom_operator.status.stale_positions import TOLERANCE


class Studio:
    """An operator with jobs of a given duration."""

    def __init__(self, jobs: int) -> None:
        self.api = SimulatedApi()
        self.user, self.node = SimulatedUser(self.api), SimulatedNode(self.api)
        self.names = [f"job-{number:03}" for number in range(jobs)]
        for name in self.names:
            self.user.create(name)
            self.api.pass_time(1)
        self.operator = SimulatedOperator(self.api)
        self.operator.rest()

    def queue(self, name: str) -> dict[str, Any]:
        queue: dict[str, Any] = self.api.get(GENERATE, name)["status"]["queue"]
        return queue

    def hand_over(self, seconds: float = 60.0) -> int:
        """The running job takes this long and ends. Returns the number of requests until the operator rests again."""
        self.api.pass_time(seconds)
        [pod] = self.node.live()
        before = self.operator.kube.sent
        self.node.succeed(pod)
        self.operator.rest()
        self.node.remove_deleted()
        return self.operator.kube.sent - before

    def starts_in(self, name: str) -> float:
        start = datetime.fromisoformat(self.queue(name)["estimatedStartTime"])
        return (start - self.api.now).total_seconds()


def test_no_start_is_estimated_before_any_job_has_ended() -> None:
    studio = Studio(jobs=3)
    assert studio.queue("job-001") == {"position": 0, "waitingFor": "GenerateJob/job-000"}
    assert studio.queue("job-002") == {"position": 1, "waitingFor": "GenerateJob/job-000"}


def test_the_duration_of_the_first_job_estimates_the_starts_of_the_others() -> None:
    studio = Studio(jobs=5)
    studio.hand_over(seconds=60)
    assert studio.queue("job-002").items() >= {"position": 0, "waitingFor": "GenerateJob/job-001"}.items()
    assert [studio.starts_in(name) for name in studio.names[2:]] == [60, 120, 180]


def test_a_start_that_comes_closer_as_estimated_is_not_updated() -> None:
    studio = Studio(jobs=5)
    studio.hand_over(seconds=60)
    before = studio.operator.kube.sent
    studio.api.pass_time(20)
    studio.operator.rest()
    assert studio.operator.kube.sent == before
    assert studio.starts_in("job-002") == 40


def test_a_run_that_takes_longer_than_expected_delays_the_others() -> None:
    studio = Studio(jobs=4)
    studio.hand_over(seconds=60)
    studio.api.pass_time(90)
    studio.operator.rest()
    assert [studio.starts_in(name) for name in studio.names[2:]] == [0, 60]


def test_a_new_operator_gets_durations_from_existing_jobs() -> None:
    studio = Studio(jobs=4)
    studio.hand_over(seconds=60)
    studio.operator.crash()
    studio.user.create("another")
    studio.operator.rest()
    assert studio.starts_in("another") == 180


def test_a_hand_over_costs_as_many_requests_with_many_jobs_waiting_as_with_few() -> None:
    few, many = Studio(jobs=EXACT_POSITIONS + 30), Studio(jobs=EXACT_POSITIONS + 90)
    for studio in (few, many):
        studio.hand_over()  # After the first there are estimates: those take a while to reach everybody.
        for _ in range(10):
            studio.api.pass_time(LOW_PRIORITY_SECONDS)
            studio.operator.rest()
        studio.hand_over(seconds=10)
    costs = [[studio.hand_over() for _ in range(5)] for studio in (few, many)]
    assert max(map(max, costs)) <= LOW_PRIORITY_UPDATES + 10
    assert sum(costs[1]) / 5 <= sum(costs[0]) / 5 + 8


def test_updates_beyond_the_rate_limit_follow_later() -> None:
    studio = Studio(jobs=60)
    studio.hand_over()
    assert sum("estimatedStartTime" in studio.queue(name) for name in studio.names[2:]) == LOW_PRIORITY_UPDATES
    for _ in range(2):
        assert 0 < studio.operator.seconds_until_the_next_look() <= LOW_PRIORITY_SECONDS
        studio.api.pass_time(LOW_PRIORITY_SECONDS)
        studio.operator.rest()
    assert all("estimatedStartTime" in studio.queue(name) for name in studio.names[2:])
    assert studio.operator.seconds_until_the_next_look() > LOW_PRIORITY_SECONDS


def test_a_slot_that_becomes_free_during_position_updates_is_handed_over_first() -> None:
    studio = Studio(jobs=60)
    studio.hand_over()
    studio.api.pass_time(LOW_PRIORITY_SECONDS)
    studio.operator.see_all()
    while studio.operator.kube.answered != "patch status":
        studio.operator.step(1)
    [pod] = studio.node.live()
    studio.node.succeed(pod)
    studio.operator.see_all()
    before = studio.operator.kube.sent
    while studio.node.live() in ([], [pod]):
        studio.operator.step(1)
    assert studio.operator.kube.sent - before <= 8


def test_positions_are_exact_at_the_head_of_a_long_queue_and_approximate_behind() -> None:
    studio = Studio(jobs=100)
    for _ in range(8):
        studio.hand_over()
    waiting = studio.names[9:]
    shown = [studio.queue(name)["position"] for name in waiting]
    assert shown[:EXACT_POSITIONS] == list(range(EXACT_POSITIONS))
    behind = list(enumerate(shown))[EXACT_POSITIONS:]
    assert [position for position, each in behind if abs(each - position) >= TOLERANCE * position] == []
    assert not any("waitingFor" in studio.queue(name) for name in waiting[EXACT_POSITIONS:])
