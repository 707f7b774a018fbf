"""Who acts, of several operators. Candidates with clocks of their own on a simulated API."""

from typing import Any

import pytest
from support.simulated_api import SimulatedApi
from support.simulated_candidate import TERM_SECONDS, Candidate
from support.simulated_operator import SimulatedNode, SimulatedOperator, SimulatedUser

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
    def test_a_term_is_free_when_it_is_nobody_s_or_one_s_own_or_was_silent_for_as_long_as_it_says(
        self, term: Term | None, unchanged_seconds: float, allowed: bool
    ) -> None:
        assert may_claim(term, unchanged_seconds, "me", default_seconds=7) is allowed


class TestTheLease:
    async def test_it_says_who_leads_since_when_and_how_often_that_changed(
        self, api: SimulatedApi, first: Candidate, second: Candidate
    ) -> None:
        await first.turn()
        began = lease(api)
        await first.turn(2)
        renewed = lease(api)
        assert (began["holderIdentity"], began["leaseDurationSeconds"], began["leaseTransitions"]) == ("first", 5, 0)
        assert renewed["acquireTime"] == began["acquireTime"] < renewed["renewTime"]
        await second.turn()
        await second.turn(TERM_SECONDS)
        assert (lease(api)["holderIdentity"], lease(api)["leaseTransitions"]) == ("second", 1)

    async def test_it_is_none_of_the_slots_but_in_the_same_watch(self, api: SimulatedApi, first: Candidate) -> None:
        await first.turn()
        labels = api.get("leases", LEASE)["metadata"]["labels"]
        assert labels == LABELS
        assert not SLOTS.items() <= labels.items()

    async def test_one_that_lost_its_labels_gets_them_back(self, api: SimulatedApi, first: Candidate) -> None:
        await first.turn()
        api.patch("leases", LEASE, {"metadata": {"labels": None}})
        await first.turn(1)
        assert await first.turn(1)
        assert api.get("leases", LEASE)["metadata"]["labels"] == LABELS

    def test_a_claim_names_the_version_that_it_was_decided_on(self, api: SimulatedApi) -> None:
        assert claim(Term("7", None, None, 3), "me", 5, api.now)["metadata"]["resourceVersion"] == "7"

    def test_one_that_was_made_by_hand_can_be_read(self) -> None:
        document = {"metadata": {"resourceVersion": "3"}, "spec": {"holderIdentity": ""}}
        assert read_term(document) == Term("3", None, None, 0)


class TestOneLeads:
    async def test_the_first_leads_and_the_second_follows(self, first: Candidate, second: Candidate) -> None:
        assert await first.turn()
        for _ in range(10):
            assert not await second.turn(1)
            assert await first.turn(1)

    async def test_another_leads_once_the_first_was_silent_for_a_whole_term(
        self, first: Candidate, second: Candidate
    ) -> None:
        await first.turn()
        assert not await second.turn()
        assert not await second.turn(TERM_SECONDS - 0.1)
        assert await second.turn(0.1)

    async def test_a_term_is_counted_from_its_last_renewal_that_was_seen(
        self, first: Candidate, second: Candidate
    ) -> None:
        await first.turn()
        await second.turn()
        await first.turn(2)
        assert not await second.turn(TERM_SECONDS - 1)
        assert not await second.turn(TERM_SECONDS - 1)
        assert await second.turn(1)

    async def test_a_candidate_that_has_just_begun_waits_for_a_whole_term_however_old_the_lease_says_it_is(
        self, api: SimulatedApi, first: Candidate, second: Candidate
    ) -> None:
        await first.turn()
        api.pass_time(3600)
        assert not await second.turn()

    async def test_of_two_that_claim_at_once_one_leads(
        self, api: SimulatedApi, first: Candidate, second: Candidate
    ) -> None:
        third = Candidate(api, "third")
        await first.turn()
        await second.turn()
        await third.turn()
        second.clock = third.clock = TERM_SECONDS
        turns = [each.elector.attempt() for each in (second, third)]
        while turns:
            turns = [turn for turn in turns if goes_on(turn)]
        assert [second.is_leader(), third.is_leader()] == [True, False]
        assert lease(api)["holderIdentity"] == "second"

    async def test_the_name_of_a_process_that_is_gone_lets_its_successor_lead_at_once(
        self, api: SimulatedApi, first: Candidate
    ) -> None:
        await first.turn()
        began = lease(api)["acquireTime"]
        assert await Candidate(api, "first").turn(1)
        assert (lease(api)["acquireTime"], lease(api)["leaseTransitions"]) == (began, 0)

    async def test_a_lease_that_was_deleted_is_made_again(self, api: SimulatedApi, first: Candidate) -> None:
        await first.turn()
        api.delete("leases", LEASE)
        await first.turn(1)
        assert await first.turn(1)
        assert lease(api)["holderIdentity"] == "first"

    def test_names_are_of_one_process_each(self) -> None:
        assert new_identity() != new_identity()


class TestALeaderThatCannotRenew:
    async def test_it_stops_before_anybody_else_may_begin(self, first: Candidate) -> None:
        await first.turn()
        first.kube.breaks = "lost"
        with pytest.raises(UnreachableError):
            await first.turn(2)
        assert first.is_leader()
        first.clock += 1
        assert not first.is_leader()

    async def test_it_leads_again_when_nobody_took_over(self, first: Candidate) -> None:
        await first.turn()
        first.clock += 100
        assert not first.is_leader()
        assert await first.turn()

    async def test_an_answer_that_was_lost_is_found_out(self, first: Candidate) -> None:
        await first.turn()
        first.kube.breaks = "unanswered"
        with pytest.raises(UnreachableError):
            await first.turn(1)
        await first.turn(1)
        assert await first.turn(1)

    async def test_an_answer_that_comes_when_the_term_is_over_renews_nothing(
        self, first: Candidate, second: Candidate
    ) -> None:
        await first.turn()
        turn = first.elector.attempt()
        assert goes_on(turn)
        assert goes_on(turn)
        assert first.kube.answered == "patch lease"
        await second.turn()
        first.clock += TERM_SECONDS
        assert await second.turn(TERM_SECONDS)
        assert not goes_on(turn)
        assert not first.is_leader()

    async def test_one_that_wakes_up_after_another_took_over_does_not_act(
        self, first: Candidate, second: Candidate
    ) -> None:
        await first.turn()
        await second.turn()
        first.clock += TERM_SECONDS
        await second.turn(TERM_SECONDS)
        assert not first.is_leader()
        assert not await first.turn()

    async def test_one_whose_name_was_overwritten_by_hand_stops_when_it_sees_that(
        self, api: SimulatedApi, first: Candidate
    ) -> None:
        await first.turn()
        api.patch("leases", LEASE, {"spec": {"holderIdentity": "somebody"}})
        assert not await first.turn(1)


class TestTheEnd:
    async def test_the_next_leads_at_once(self, first: Candidate, second: Candidate) -> None:
        await first.turn()
        await second.turn()
        await first.elector.resign()
        assert not first.is_leader()
        assert await second.turn(0.1)

    async def test_a_follower_takes_nothing_from_the_leader(
        self, api: SimulatedApi, first: Candidate, second: Candidate
    ) -> None:
        await first.turn()
        await second.turn()
        await second.elector.resign()
        assert lease(api)["holderIdentity"] == "first"

    async def test_an_api_server_that_does_not_answer_holds_up_nobody(self, first: Candidate) -> None:
        await first.turn()
        first.kube.breaks = "lost"
        await first.elector.resign()
        assert not first.is_leader()


class TestTheReconcile:
    def test_a_follower_sends_nothing_until_it_leads(self, api: SimulatedApi) -> None:
        operator = SimulatedOperator(api)
        operator.is_leader = False
        SimulatedUser(api).create("a")
        operator.rest()
        assert operator.kube.sent == 0
        operator.is_leader = True
        operator.rest()
        assert len(SimulatedNode(api).live()) == 1

    def test_a_leader_whose_term_ends_in_a_pass_ends_what_it_does_and_does_nothing_more(
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


def goes_on(turn: Any) -> bool:
    """Whether there is more to do, after one more pause."""
    try:
        turn.send(None)
    except StopIteration:
        return False
    return True


class TestWhatIsLogged:
    async def test_a_candidate_that_starts_says_at_once_for_whom_it_waits(
        self, first: Candidate, second: Candidate, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO", logger="darkroom_operator.leader_election")
        await first.elector.announce()
        await first.turn()
        await second.elector.announce()
        assert [record.message for record in caplog.records] == [
            "first is a candidate: the Lease darkroom-operator has no other holder and is claimed in a moment",
            "second is a candidate: first holds the Lease darkroom-operator until it fails to renew it for 5 s",
        ]
        assert not second.elector.is_leader()

    async def test_it_says_so_when_nobody_answers(self, second: Candidate, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO", logger="darkroom_operator.leader_election")
        second.kube.breaks = "lost"
        await second.elector.announce()
        assert "second has started and can't read the Lease darkroom-operator yet" in caplog.text
