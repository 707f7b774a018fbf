"""Never two leaders, and never none for long: candidates that are paused between any two requests, disconnected or
killed."""

from collections.abc import Coroutine
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.simulated_api import SimulatedApi
from support.simulated_candidate import TERM_SECONDS, Candidate

from darkroom_operator.errors import UnreachableError

NUMBERS = (0, 1)
CANDIDATES = st.sampled_from(NUMBERS)


class OneLeader(RuleBasedStateMachine):
    """Two candidates. Time passes for both, during attempts and in between."""

    @initialize()
    def begin(self) -> None:
        self.api, self.started = SimulatedApi(), 0
        self.candidates: dict[int, Candidate] = {}
        self.attempts: dict[int, Coroutine[Any, Any, None]] = {}
        for number in NUMBERS:
            self.start(number)

    def start(self, number: int) -> None:
        """With a new identity; the old process is killed."""
        self.stop(number)
        self.candidates[number] = Candidate(self.api, f"candidate-{self.started}", began=1000.0 * self.started)
        self.started += 1

    @rule(number=CANDIDATES, seconds=st.sampled_from([0.0, 1.0, 2.9, 5.0]))
    def look(self, number: int, seconds: float) -> None:
        """An attempt from its start, or from where it was paused, to its end."""
        self.pass_time(seconds)
        self.go_on(number)
        while number in self.attempts:
            self.go_on(number)

    @rule(number=CANDIDATES, pauses=st.integers(1, 4))
    def begin_to_look(self, number: int, pauses: int) -> None:
        """Start an attempt and be paused, before or after a request is processed."""
        for _ in range(pauses):
            self.go_on(number)

    @rule(number=CANDIDATES, how=st.sampled_from(["lost", "unanswered", "killed"]))
    def bad_luck(self, number: int, how: str) -> None:
        if how == "killed":
            self.start(number)
        else:
            self.candidates[number].kube.breaks = how

    def go_on(self, number: int) -> None:
        if number not in self.attempts:
            self.attempts[number] = self.candidates[number].elector.attempt()
        try:
            self.attempts[number].send(None)
        except (StopIteration, UnreachableError):
            del self.attempts[number]

    def pass_time(self, seconds: float) -> None:
        self.api.pass_time(seconds)
        for candidate in self.candidates.values():
            candidate.clock += seconds

    @invariant()
    def never_two_lead(self) -> None:
        assert sum(candidate.is_leader() for candidate in self.candidates.values()) <= 1

    def stop(self, number: int) -> None:
        if number in self.attempts:
            self.attempts.pop(number).close()

    def teardown(self) -> None:
        """Once nothing goes wrong, a candidate becomes the leader within a term and an attempt before and after it."""
        for number in self.candidates:
            self.stop(number)
            self.candidates[number].kube.breaks = None
        for _ in range(TERM_SECONDS + 2):
            for number in self.candidates:
                self.look(number, 0.5)
            self.never_two_lead()
        assert sum(candidate.is_leader() for candidate in self.candidates.values()) == 1


TestOneLeader = OneLeader.TestCase
TestOneLeader.settings = settings(
    max_examples=100,
    stateful_step_count=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
