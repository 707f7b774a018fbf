"""Several operators, crashes and late watches: each transition of a job is recorded as one Event."""

from random import Random
from typing import Any

import pytest
from support.simulated_api import SimulatedApi
from support.simulated_node import SimulatedNode
from support.simulated_operator import SimulatedOperator
from support.simulated_user import SimulatedUser

Json = dict[str, Any]
JOBS = ("a", "b", "c")


class Journal:
    """All Events that any operator has recorded, as the API server would keep them."""

    def __init__(self) -> None:
        self.events: dict[str, Json] = {}
        self.recorded = 0

    def collect(self, operator: SimulatedOperator) -> None:
        for event in operator.executor._events.waiting:
            self.events[event["metadata"]["name"]] = event
            self.recorded += 1

    def story(self, job: str) -> list[str]:
        """Reasons of a job's Events in the order of their names."""
        return [event["reason"] for name, event in sorted(self.events.items()) if event["regarding"]["name"] == job]


@pytest.mark.parametrize("seed", range(8))
def test_two_operators_record_one_story(seed: int) -> None:
    """Both act on views of different age; one crashes now and then."""
    random, api, journal = Random(seed), SimulatedApi(), Journal()
    user, node = SimulatedUser(api), SimulatedNode(api)
    operators = [SimulatedOperator(api), SimulatedOperator(api)]
    for name in JOBS:
        user.create(name)
    for _ in range(150):
        operator = random.choice(operators)
        if random.random() < 0.7:
            operator.see_all()
        operator.step(random.randrange(1, 6))
        if random.random() < 0.03:
            journal.collect(operator)
            operator.crash()
        for pod in node.live():
            if not node.has_ended(pod) and random.random() < 0.2:
                node.start(pod) if random.random() < 0.5 else node.succeed(pod)
    for operator in operators:
        finish(operator, node)
    for operator in operators:
        journal.collect(operator)
    for name in JOBS:
        # An Event may be lost with a crash, and is never posted twice.
        story = journal.story(name)
        assert all(story.count(reason) <= 1 for reason in ("Admitted", "Started", "Succeeded")), story
    assert journal.recorded == len(journal.events)


def finish(operator: SimulatedOperator, node: SimulatedNode) -> None:
    for _ in JOBS:
        operator.rest()
        for pod in node.live():
            node.succeed(pod)
    operator.rest()


def test_without_a_crash_nothing_is_missing() -> None:
    api, journal = SimulatedApi(), Journal()
    user, node, operator = SimulatedUser(api), SimulatedNode(api), SimulatedOperator(api)
    for name in JOBS:
        user.create(name)
    finish(operator, node)
    journal.collect(operator)
    for name in JOBS:
        assert journal.story(name) == ["Queued", "Admitted", "Started", "Succeeded"]
