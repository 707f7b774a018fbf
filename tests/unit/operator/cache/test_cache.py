"""What is remembered: the newest of everything, and what is gone."""

from typing import Any

import pytest
from support.operator_snapshots import NOW, a_job

from darkroom_contract.names import Kind
from darkroom_contract.outcome import Reason
from darkroom_operator.cache.cache import Cache
from darkroom_operator.cache.object_store import MAX_TOMBSTONES, Tombstones
from darkroom_operator.pods.builder import runner_pod
from darkroom_operator.pods.pod_outcome import Failure
from darkroom_operator.scheduling.slot import Slot, new_lease
from darkroom_operator.scheduling.snapshot import UnreadableJob
from darkroom_operator.settings import Settings

CREATED = "2026-11-25T12:00:00Z"
JOB = a_job("a")


def job(version: int, *, prompt: str = "a red circle", uid: str = "uid-a", **status: Any) -> dict[str, Any]:
    metadata = {"name": "a", "namespace": "default", "uid": uid, "resourceVersion": str(version)}
    return {
        "metadata": {**metadata, "creationTimestamp": CREATED},
        "spec": {"prompt": prompt},
        "status": status,
    }


def pod(version: int, uid: str = "pod-uid") -> dict[str, Any]:
    document = runner_pod(JOB, 1, 0, Settings(runner_image="x"))
    document["metadata"] |= {"uid": uid, "resourceVersion": str(version), "creationTimestamp": CREATED}
    return document


def lease(version: int, number: int = 0, uid: str = "lease") -> dict[str, Any]:
    document = new_lease(Slot(number), JOB, NOW)
    document["metadata"] |= {"uid": uid, "resourceVersion": str(version)}
    return document


def test_an_older_state_never_replaces_a_newer_one() -> None:
    cache = Cache()
    for version in (5, 9, 7):
        cache.put_job(Kind.GENERATE, job(version))
    assert cache.jobs.view["uid-a"].resource_version == "9"


def test_versions_are_numbers_not_words() -> None:
    cache = Cache()
    for version in (9, 10):
        cache.put_pod(pod(version))
    assert cache.pods.view["pod-uid"].version == "10"


def test_what_is_gone_stays_gone_whatever_a_late_event_says() -> None:
    cache = Cache()
    cache.put_job(Kind.GENERATE, job(5))
    cache.drop_job("uid-a")
    cache.put_job(Kind.GENERATE, job(6))
    snapshot = cache.snapshot(NOW, 1)
    assert snapshot.jobs == {}
    assert "uid-a" in snapshot.deleted


def test_what_was_only_forgotten_comes_back() -> None:
    cache = Cache()
    cache.put_pod(pod(5))
    cache.pods.forget("pod-uid")
    assert "pod-uid" not in cache.snapshot(NOW, 1).deleted
    cache.put_pod(pod(6))
    assert "pod-uid" in cache.pods.view


def test_what_the_api_server_itself_has_shown_is_not_gone() -> None:
    cache = Cache()
    cache.pods.drop("pod-uid")
    found = cache.put_pod(pod(6))
    assert found is not None
    assert "pod-uid" not in cache.pods.view
    cache.pods.revive("pod-uid", found)
    assert "pod-uid" in cache.pods.view


def test_a_list_drops_what_it_does_not_have_but_nothing_newer_and_nothing_of_another_kind() -> None:
    cache = Cache()
    cache.put_job(Kind.GENERATE, job(5, uid="old"))
    cache.put_job(Kind.GENERATE, job(6, uid="listed"))
    cache.put_job(Kind.GENERATE, job(11, uid="newer"))
    cache.put_job(Kind.GENERATE, job(4, uid="unreadable", prompt=""))
    cache.keep_only_jobs(Kind.TRAIN, set(), 10)
    assert set(cache.jobs.view) == {"old", "listed", "newer"}
    cache.keep_only_jobs(Kind.GENERATE, {"listed"}, 10)
    assert set(cache.jobs.view) == {"listed", "newer"}
    assert not cache.unreadable.view


def test_a_list_forgets_the_refusals_of_the_jobs_that_it_does_not_have() -> None:
    cache = Cache(lambda _job: Failure(Reason.DATASET_NOT_ALLOWED, "no"))
    cache.put_job(Kind.GENERATE, job(5, uid="old"))
    cache.put_job(Kind.GENERATE, job(6, uid="listed"))
    cache.keep_only_jobs(Kind.GENERATE, {"listed"}, 10)
    assert set(cache.snapshot(NOW, 1).rejected) == {"listed"}


def test_a_list_of_pods_forgets_what_it_does_not_have_without_taking_it_for_gone() -> None:
    cache = Cache()
    cache.put_pod(pod(5))
    cache.pods.forget_others(set(), 10)
    assert "pod-uid" not in cache.pods.view
    assert "pod-uid" not in cache.snapshot(NOW, 1).deleted


def test_a_job_that_can_t_be_read_is_known_as_such_with_what_is_wrong() -> None:
    cache = Cache()
    cache.put_job(Kind.GENERATE, job(5))
    broken = cache.put_job(Kind.GENERATE, job(6, prompt=""))
    assert isinstance(broken, UnreadableJob)
    assert broken.fault.startswith("prompt")
    assert not cache.jobs.view
    cache.put_job(Kind.GENERATE, job(7))
    assert not cache.unreadable.view
    assert "uid-a" in cache.jobs.view


def test_an_older_state_that_can_t_be_read_does_not_hide_a_newer_one_that_can() -> None:
    cache = Cache()
    cache.put_job(Kind.GENERATE, job(6))
    cache.put_job(Kind.GENERATE, job(5, prompt=""))
    assert "uid-a" in cache.jobs.view


def test_a_time_without_a_zone_can_be_compared_with_the_present() -> None:
    cache = Cache()
    cache.put_job(Kind.GENERATE, job(5, nextAttemptTime="2026-01-01T00:00:00", completionTime="2026-01-01T00:00:00"))
    status = cache.jobs.view["uid-a"].status
    assert status.next_attempt_time is not None
    assert status.next_attempt_time < NOW
    assert status.completion_time is not None
    assert status.completion_time < NOW


@pytest.mark.parametrize("label", ["darkroom.dev/slot", "darkroom.dev/job-uid"])
def test_a_pod_whose_labels_were_meddled_with_stays_as_it_was_known(label: str) -> None:
    cache = Cache()
    cache.put_pod(pod(5))
    meddled = pod(6)
    del meddled["metadata"]["labels"][label]
    assert cache.put_pod(meddled) is None
    assert cache.pods.view["pod-uid"].version == "5"


def test_a_lease_of_another_name_is_no_slot() -> None:
    cache = Cache()
    stranger = lease(5)
    stranger["metadata"]["name"] = "darkroom-slot-00"
    assert cache.put_slot(stranger) is None
    assert not cache.leases.view


def test_slots_are_there_before_their_leases_and_after_their_number_was_lowered() -> None:
    cache = Cache()
    cache.put_slot(lease(5, number=3))
    slots = cache.slots(2)
    assert list(slots) == [0, 1, 3]
    assert slots[0] == Slot(0)
    assert slots[3].holder == JOB.uid
    assert cache.slot(10**12) == Slot(10**12)


def test_a_lease_that_was_made_again_counts_before_the_old_one_is_known_to_be_gone() -> None:
    cache = Cache()
    cache.put_slot(lease(9, uid="new"))
    cache.put_slot(lease(5, uid="old"))
    assert cache.slots(1)[0].uid == "new"


def test_the_oldest_of_what_is_gone_is_forgotten_in_the_end() -> None:
    gone = Tombstones()
    for number in range(MAX_TOMBSTONES + 1):
        gone.add(str(number))
    assert "0" not in gone
    assert str(MAX_TOMBSTONES) in gone
