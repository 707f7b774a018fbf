"""Leader election: candidates with clocks of their own on a simulated API."""

from typing import Any

import pytest
from support.simulated_api import SimulatedApi
from support.simulated_candidate import TERM_SECONDS, Candidate
from support.simulated_node import SimulatedNode
from support.simulated_operator import SimulatedOperator
from support.simulated_user import SimulatedUser

from darkroom_operator.errors import UnreachableError
from darkroom_operator.leader_election import LABELS, LEASE, Term, claim, may_claim, new_identity, read_term
from darkroom_operator.scheduling.slot import SLOTS


@pytest.fixture
def api() -> SimulatedApi:
    return SimulatedApi()


@pytest.fixture
def first(api: SimulatedApi) -> Candidate:
    return Candidate(api, "first", began=1000.0)


@pytest.fixture
def second(api: SimulatedApi) -> Candidate:
    return Candidate(api, "second")


def lease(api: SimulatedApi) -> dict[str, Any]:
    spec: dict[str, Any] = api.get("leases", LEASE)["spec"]
    return spec


class TestMayClaim:
    @pytest.mark.parametrize(
        ("term", "unchanged_seconds", "allowed"),
        [
            (None, 0.0, True),
            (Term("1", None, 5, 0), 0.0, True),
            (Term("1", "me", 5, 0), 0.0, True),
            (Term("1", "you", 5, 0), 4.9, False),
            (Term("1", "you", 5, 0), 5.0, True),
            (Term("1", "you", 60, 0), 59.0, False),
            (Term("1", "you", None, 0), 6.9, False),
            (Term("1", "you", None, 0), 7.0, True),
        ],
    )
    def test_a_term_can_be_claimed_if_it_has_no_holder_is_the_own_or_was_not_renewed_for_its_duration(
        self, term: Term | None, unchanged_seconds: float, allowed: bool
    ) -> None:
        assert may_claim(term, unchanged_seconds, "me", default_seconds=7) is allowed


class TestLease:
    async def test_it_has_the_holder_its_start_and_the_number_of_transitions(
        self, api: SimulatedApi, first: Candidate, second: Candidate
    ) -> None:
        await first.attempt()
        began = lease(api)
        await first.attempt(2)
        renewed = lease(api)
        assert (began["holderIdentity"], began["leaseDurationSeconds"], began["leaseTransitions"]) == ("first", 5, 0)
        assert renewed["acquireTime"] == began["acquireTime"] < renewed["renewTime"]
        await second.attempt()
        await second.attempt(TERM_SECONDS)
        assert (lease(api)["holderIdentity"], lease(api)["leaseTransitions"]) == ("second", 1)

    async def test_it_is_not_a_slot_but_in_the_same_watch(self, api: SimulatedApi, first: Candidate) -> None:
        await first.attempt()
        labels = api.get("leases", LEASE)["metadata"]["labels"]
        assert labels == LABELS
        assert not SLOTS.items() <= labels.items()

    async def test_a_lease_that_lost_its_labels_gets_them_back(self, api: SimulatedApi, first: Candidate) -> None:
        await first.attempt()
        api.patch("leases", LEASE, {"metadata": {"labels": None}})
        await first.attempt(1)
        assert await first.attempt(1)
        assert api.get("leases", LEASE)["metadata"]["labels"] == LABELS

    def test_a_claim_has_the_version_that_it_was_decided_on(self, api: SimulatedApi) -> None:
        assert claim(Term("7", None, None, 3), "me", 5, api.now)["metadata"]["resourceVersion"] == "7"

    def test_a_lease_that_was_created_by_hand_can_be_read(self) -> None:
        document = {"metadata": {"resourceVersion": "3"}, "spec": {"holderIdentity": ""}}
        assert read_term(document) == Term("3", None, None, 0)


class TestSingleLeader:
    async def test_the_first_is_the_leader_and_the_second_a_candidate(
        self, first: Candidate, second: Candidate
    ) -> None:
        assert await first.attempt()
        for _ in range(10):
            assert not await second.attempt(1)
            assert await first.attempt(1)

    async def test_another_becomes_the_leader_once_the_first_has_not_renewed_for_a_whole_term(
        self, first: Candidate, second: Candidate
    ) -> None:
        await first.attempt()
        assert not await second.attempt()
        assert not await second.attempt(TERM_SECONDS - 0.1)
        assert await second.attempt(0.1)

    async def test_a_term_counts_from_its_last_observed_renewal(self, first: Candidate, second: Candidate) -> None:
        await first.attempt()
        await second.attempt()
        await first.attempt(2)
        assert not await second.attempt(TERM_SECONDS - 1)
        assert not await second.attempt(TERM_SECONDS - 1)
        assert await second.attempt(1)

    async def test_a_new_candidate_waits_for_a_whole_term_however_old_the_lease_claims_to_be(
        self, api: SimulatedApi, first: Candidate, second: Candidate
    ) -> None:
        await first.attempt()
        api.pass_time(3600)
        assert not await second.attempt()

    async def test_of_two_claims_at_once_one_wins(self, api: SimulatedApi, first: Candidate, second: Candidate) -> None:
        third = Candidate(api, "third")
        await first.attempt()
        await second.attempt()
        await third.attempt()
        second.clock = third.clock = TERM_SECONDS
        attempts = [each.elector.attempt() for each in (second, third)]
        while attempts:
            attempts = [attempt for attempt in attempts if continues(attempt)]
        assert [second.is_leader(), third.is_leader()] == [True, False]
        assert lease(api)["holderIdentity"] == "second"

    async def test_an_identity_that_outlives_its_process_lets_the_successor_lead_at_once(
        self, api: SimulatedApi, first: Candidate
    ) -> None:
        await first.attempt()
        began = lease(api)["acquireTime"]
        assert await Candidate(api, "first").attempt(1)
        assert (lease(api)["acquireTime"], lease(api)["leaseTransitions"]) == (began, 0)

    async def test_a_deleted_lease_is_created_again(self, api: SimulatedApi, first: Candidate) -> None:
        await first.attempt()
        api.delete("leases", LEASE)
        await first.attempt(1)
        assert await first.attempt(1)
        assert lease(api)["holderIdentity"] == "first"

    def test_identities_are_unique_per_process(self) -> None:
        assert new_identity() != new_identity()


class TestLeaderThatCannotRenew:
    async def test_it_stops_before_another_can_start(self, first: Candidate) -> None:
        await first.attempt()
        first.kube.breaks = "lost"
        with pytest.raises(UnreachableError):
            await first.attempt(2)
        assert first.is_leader()
        first.clock += 1
        assert not first.is_leader()

    async def test_it_leads_again_if_no_other_took_over(self, first: Candidate) -> None:
        await first.attempt()
        first.clock += 100
        assert not first.is_leader()
        assert await first.attempt()

    async def test_a_lost_response_is_detected(self, first: Candidate) -> None:
        await first.attempt()
        first.kube.breaks = "unanswered"
        with pytest.raises(UnreachableError):
            await first.attempt(1)
        await first.attempt(1)
        assert await first.attempt(1)

    async def test_a_response_after_the_end_of_the_term_renews_nothing(
        self, first: Candidate, second: Candidate
    ) -> None:
        await first.attempt()
        attempt = first.elector.attempt()
        assert continues(attempt)
        assert continues(attempt)
        assert first.kube.answered == "patch lease"
        await second.attempt()
        first.clock += TERM_SECONDS
        assert await second.attempt(TERM_SECONDS)
        assert not continues(attempt)
        assert not first.is_leader()

    async def test_a_leader_that_resumes_after_another_took_over_does_not_act(
        self, first: Candidate, second: Candidate
    ) -> None:
        await first.attempt()
        await second.attempt()
        first.clock += TERM_SECONDS
        await second.attempt(TERM_SECONDS)
        assert not first.is_leader()
        assert not await first.attempt()

    async def test_a_leader_whose_identity_was_overwritten_by_hand_stops_when_it_sees_that(
        self, api: SimulatedApi, first: Candidate
    ) -> None:
        await first.attempt()
        api.patch("leases", LEASE, {"spec": {"holderIdentity": "another"}})
        assert not await first.attempt(1)


class TestShutdown:
    async def test_the_next_becomes_the_leader_at_once(self, first: Candidate, second: Candidate) -> None:
        await first.attempt()
        await second.attempt()
        await first.elector.resign()
        assert not first.is_leader()
        assert await second.attempt(0.1)

    async def test_a_candidate_takes_nothing_from_the_leader(
        self, api: SimulatedApi, first: Candidate, second: Candidate
    ) -> None:
        await first.attempt()
        await second.attempt()
        await second.elector.resign()
        assert lease(api)["holderIdentity"] == "first"

    async def test_an_api_server_that_does_not_answer_delays_no_shutdown(self, first: Candidate) -> None:
        await first.attempt()
        first.kube.breaks = "lost"
        await first.elector.resign()
        assert not first.is_leader()


class TestReconcile:
    def test_a_candidate_sends_nothing_until_it_is_the_leader(self, api: SimulatedApi) -> None:
        operator = SimulatedOperator(api)
        operator.is_leader = False
        SimulatedUser(api).create("a")
        operator.rest()
        assert operator.kube.sent == 0
        operator.is_leader = True
        operator.rest()
        assert len(SimulatedNode(api).live()) == 1

    def test_a_leader_whose_term_ends_during_a_pass_finishes_its_request_and_sends_nothing_more(
        self, api: SimulatedApi
    ) -> None:
        operator = SimulatedOperator(api)
        SimulatedUser(api).create("a")
        operator.see_all()
        operator.step(1)
        assert operator.kube.sending == "list pods"
        operator.is_leader = False
        operator.rest()
        assert api.all("leases")
        assert not api.all("pods")


def continues(attempt: Any) -> bool:
    """Whether there is more to do, after one more pause."""
    try:
        attempt.send(None)
    except StopIteration:
        return False
    return True


class TestLogging:
    async def test_a_starting_candidate_logs_at_once_whom_it_waits_for(
        self, first: Candidate, second: Candidate, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO", logger="darkroom_operator.leader_election")
        await first.elector.announce()
        await first.attempt()
        await second.elector.announce()
        assert [record.message for record in caplog.records] == [
            "first is a candidate: the Lease darkroom-operator has no other holder and is claimed in a moment",
            "second is a candidate: first holds the Lease darkroom-operator until it fails to renew it for 5 s",
        ]
        assert not second.elector.is_leader()

    async def test_it_logs_when_the_api_server_does_not_answer(
        self, second: Candidate, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO", logger="darkroom_operator.leader_election")
        second.kube.breaks = "lost"
        await second.elector.announce()
        assert "second has started and can't read the Lease darkroom-operator yet" in caplog.text
