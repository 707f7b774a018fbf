"""The Lease of a slot: written and read."""

from dataclasses import replace
from typing import Any

import kubernetes_validate
import pytest
from support.operator_snapshots import NOW, a_job, a_pod

from darkroom_operator.kube.objects import merge_patch
from darkroom_operator.scheduling.slot import SLOTS, Slot, assignment, confirmation, new_lease, read_slot

JOB = a_job("a")


def stored(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "metadata": {**document["metadata"], "uid": "lease", "resourceVersion": "3"}}


@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_kubernetes_accepts_it(version: str) -> None:
    kubernetes_validate.validate(new_lease(Slot(0), JOB, NOW), version, strict=True)


def test_a_written_value_is_read_back() -> None:
    slot = read_slot(stored(new_lease(Slot(4), JOB, NOW)))
    assert slot == Slot(4, "lease", "3", holder=JOB.uid, holder_key="GenerateJob/a", pod_uid=None, acquired=NOW)


def test_an_assignment_has_the_version_it_was_decided_on_and_clears_the_last_pod() -> None:
    patch = assignment(Slot(0, "lease", "3", holder="old", pod_uid="pod"), JOB, NOW)
    assert patch["metadata"]["resourceVersion"] == "3"
    assert patch["metadata"]["annotations"]["darkroom.dev/pod-uid"] is None
    assert patch["metadata"]["labels"] == SLOTS
    assert patch["spec"]["holderIdentity"] == JOB.uid


def test_a_freed_slot_has_no_holder_rather_than_an_empty_one() -> None:
    assert assignment(Slot(0, "lease", "3"), None, NOW)["spec"]["holderIdentity"] is None


def test_a_confirmation_has_the_version_and_the_pod() -> None:
    patch = confirmation(Slot(0, "lease", "3", holder=JOB.uid), a_pod(JOB), NOW)
    assert patch["metadata"] == {"resourceVersion": "3", "annotations": {"darkroom.dev/pod-uid": "pod-a-1"}}


IDLE = replace(a_pod(a_job("earlier")), template="t")
IDLE_UID, POD_NAME = "darkroom.dev/idle-pod-uid", "darkroom.dev/pod"


def test_idle_pod_stays_in_the_slot_until_it_is_confirmed() -> None:
    before = Slot(0, "lease", "3", holder="old", pod_uid=IDLE.uid, pod_name=IDLE.name)
    assert assignment(before, JOB, NOW, IDLE)["metadata"]["annotations"] == {
        "darkroom.dev/job": "GenerateJob/a",
        "darkroom.dev/pod-uid": None,
        IDLE_UID: IDLE.uid,
    }
    slot = Slot(0, "lease", "4", holder=JOB.uid, idle_pod_uid=IDLE.uid, pod_name=IDLE.name)
    confirmed = {"darkroom.dev/pod-uid": IDLE.uid, IDLE_UID: None}
    assert confirmation(slot, IDLE, NOW)["metadata"]["annotations"] == confirmed


def test_pod_that_may_be_taken_over_is_confirmed_with_its_name() -> None:
    patch = confirmation(Slot(0, "lease", "4", holder=JOB.uid), IDLE, NOW)
    assert patch["metadata"]["annotations"] == {"darkroom.dev/pod-uid": IDLE.uid, POD_NAME: IDLE.name}


def test_idle_pod_that_is_gone_is_removed_from_the_slot() -> None:
    slot = Slot(0, "lease", "4", idle_pod_uid=IDLE.uid, pod_name=IDLE.name)
    annotations = assignment(slot, None, NOW)["metadata"]["annotations"]
    assert (annotations[IDLE_UID], annotations[POD_NAME]) == (None, None)


def test_idle_pod_is_read_back() -> None:
    document = stored(new_lease(Slot(0), JOB, NOW))
    document["metadata"]["annotations"] |= {IDLE_UID: IDLE.uid, POD_NAME: IDLE.name}
    assert (read_slot(document).idle_pod_uid, read_slot(document).pod_name) == (IDLE.uid, IDLE.name)


def test_lease_without_idle_pods_never_names_them() -> None:
    """With warmSeconds=0 every request is the same as before."""
    cold = a_pod(JOB)
    patches = (assignment(Slot(0, "lease", "3"), JOB, NOW), confirmation(Slot(0, "lease", "3"), cold, NOW))
    assert all(not {IDLE_UID, POD_NAME} & patch["metadata"]["annotations"].keys() for patch in patches)


@pytest.mark.parametrize(
    "name", ["darkroom-slot-00", "darkroom-slot-x", "darkroom-slot-", "slot-0", "my-darkroom-slot-0"]
)
def test_a_lease_with_another_name_is_not_a_slot(name: str) -> None:
    document = stored(new_lease(Slot(0), JOB, NOW))
    document["metadata"]["name"] = name
    with pytest.raises(ValueError, match="not the name of one"):
        read_slot(document)


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {}, {"a": None}),
        ({}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"c": None}}),
        ({"a": [1]}, {"a": [1, 2]}, {"a": [1, 2]}),
        ({"a": {"b": 1}}, {"a": 2}, {"a": 2}),
    ],
)
def test_a_merge_patch_contains_the_difference(
    before: dict[str, Any], after: dict[str, Any], patch: dict[str, Any]
) -> None:
    assert merge_patch(before, after) == patch
