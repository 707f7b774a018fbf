"""The cache keeps the newest state of every object, and tombstones of deleted ones."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from support.operator_snapshots import NOW, a_job

from darkroom_contract.jobs import SPEC_MODELS, Job
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


def test_versions_are_compared_as_numbers() -> None:
    cache = Cache()
    for version in (9, 10):
        cache.put_pod(pod(version))
    assert cache.pods.view["pod-uid"].version == "10"


def test_a_late_event_does_not_bring_back_a_deleted_object() -> None:
    cache = Cache()
    cache.put_job(Kind.GENERATE, job(5))
    cache.drop_job("uid-a")
    cache.put_job(Kind.GENERATE, job(6))
    snapshot = cache.snapshot(NOW, 1)
    assert snapshot.jobs == {}
    assert "uid-a" in snapshot.deleted


def test_a_removed_object_can_return() -> None:
    cache = Cache()
    cache.put_pod(pod(5))
    cache.pods.forget("pod-uid")
    assert "pod-uid" not in cache.snapshot(NOW, 1).deleted
    cache.put_pod(pod(6))
    assert "pod-uid" in cache.pods.view


def test_an_object_that_the_api_server_itself_returns_is_not_deleted() -> None:
    cache = Cache()
    cache.pods.drop("pod-uid")
    found = cache.put_pod(pod(6))
    assert found is not None
    assert "pod-uid" not in cache.pods.view
    cache.pods.revive("pod-uid", found)
    assert "pod-uid" in cache.pods.view


def test_a_list_removes_missing_objects_but_keeps_newer_ones_and_other_kinds() -> None:
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


def test_a_list_removes_the_rejections_of_missing_jobs() -> None:
    cache = Cache(lambda _job: Failure(Reason.DATASET_NOT_ALLOWED, "no"))
    cache.put_job(Kind.GENERATE, job(5, uid="old"))
    cache.put_job(Kind.GENERATE, job(6, uid="listed"))
    cache.keep_only_jobs(Kind.GENERATE, {"listed"}, 10)
    assert set(cache.snapshot(NOW, 1).rejected) == {"listed"}


def test_a_list_of_pods_forgets_missing_pods_without_tombstones() -> None:
    cache = Cache()
    cache.put_pod(pod(5))
    cache.pods.forget_others(set(), 10)
    assert "pod-uid" not in cache.pods.view
    assert "pod-uid" not in cache.snapshot(NOW, 1).deleted


def test_an_unreadable_job_is_stored_with_its_faults() -> None:
    cache = Cache()
    cache.put_job(Kind.GENERATE, job(5))
    unreadable = cache.put_job(Kind.GENERATE, job(6, prompt=""))
    assert isinstance(unreadable, UnreadableJob)
    assert unreadable.fault.startswith("prompt")
    assert not cache.jobs.view
    cache.put_job(Kind.GENERATE, job(7))
    assert not cache.unreadable.view
    assert "uid-a" in cache.jobs.view


def test_an_older_unreadable_state_does_not_hide_a_newer_readable_one() -> None:
    cache = Cache()
    cache.put_job(Kind.GENERATE, job(6))
    cache.put_job(Kind.GENERATE, job(5, prompt=""))
    assert "uid-a" in cache.jobs.view


def test_a_time_without_a_zone_can_be_compared_with_now() -> None:
    cache = Cache()
    cache.put_job(Kind.GENERATE, job(5, nextAttemptTime="2026-01-01T00:00:00", completionTime="2026-01-01T00:00:00"))
    status = cache.jobs.view["uid-a"].status
    assert status.next_attempt_time is not None
    assert status.next_attempt_time < NOW
    assert status.completion_time is not None
    assert status.completion_time < NOW


@pytest.mark.parametrize("label", ["darkroom.dev/slot", "darkroom.dev/job-uid"])
def test_a_pod_with_edited_labels_keeps_its_known_state(label: str) -> None:
    cache = Cache()
    cache.put_pod(pod(5))
    edited = pod(6)
    del edited["metadata"]["labels"][label]
    assert cache.put_pod(edited) is None
    assert cache.pods.view["pod-uid"].version == "5"


def test_a_lease_with_another_name_is_not_a_slot() -> None:
    cache = Cache()
    stranger = lease(5)
    stranger["metadata"]["name"] = "darkroom-slot-00"
    assert cache.put_slot(stranger) is None
    assert not cache.leases.view


def test_slots_exist_before_their_leases_and_after_their_number_was_lowered() -> None:
    cache = Cache()
    cache.put_slot(lease(5, number=3))
    slots = cache.slots(2)
    assert list(slots) == [0, 1, 3]
    assert slots[0] == Slot(0)
    assert slots[3].holder == JOB.uid
    assert cache.slot(10**12) == Slot(10**12)


def test_a_recreated_lease_counts_before_the_old_one_is_known_to_be_deleted() -> None:
    cache = Cache()
    cache.put_slot(lease(9, uid="new"))
    cache.put_slot(lease(5, uid="old"))
    assert cache.slots(1)[0].uid == "new"


def test_the_oldest_tombstones_are_dropped() -> None:
    tombstones = Tombstones()
    for number in range(MAX_TOMBSTONES + 1):
        tombstones.add(str(number))
    assert "0" not in tombstones
    assert str(MAX_TOMBSTONES) in tombstones


EXAMPLES = sorted(Path(__file__).parents[4].glob("examples/*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_job_of_each_example_is_cached_whole(path: Path) -> None:
    for number, document in enumerate(yaml.safe_load_all(path.read_text(encoding="utf-8"))):
        metadata = {"name": "a", "namespace": "default", "uid": f"{number}", "resourceVersion": "1"}
        cached = Cache().put_job(
            Kind(document["kind"]), {**document, "metadata": {**metadata, "creationTimestamp": CREATED}}
        )
        assert isinstance(cached, Job)
        assert cached.spec == SPEC_MODELS[cached.kind].from_dict(document["spec"])


def test_captions_in_any_dataset_of_a_job_are_cached() -> None:
    """Dictionaries have no hash, by which equal parts of specs are shared."""
    dataset = {"uri": "s3://darkroom/datasets/default/dog/", "captions": {"a.jpg": "a dog"}}
    prior = {"classPrompt": "a dog", "dataset": dataset}
    spec = {
        "modelId": "dog",
        "prompt": "sks dog",
        "dataset": dataset,
        "training": {"priorPreservation": prior},
        "concepts": [{"prompt": "xyz cat", "dataset": dataset, "priorPreservation": prior}],
    }
    cached = Cache().put_job(Kind.TRAIN, {**job(1), "spec": spec})
    assert isinstance(cached, Job)
    assert [each.captions for each in cached.spec.datasets.values()] == [{"a.jpg": "a dog"}] * 4
