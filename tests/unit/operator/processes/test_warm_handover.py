"""Warm hand-over by a real operator, API server and Redis; the test plays the runner."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.operator_processes import Namespace, success, wait_until
from support.server_process import Process
from support.valkey import Valkey

from darkroom_contract import environment, names
from darkroom_contract.handover import (
    ANNOTATION_ACKNOWLEDGED,
    ANNOTATION_RUN,
    IDLE,
    LABEL_RUNNER_STATE,
    STREAM_FIELD,
    SignedOutcome,
    outcome_stream,
    run_key,
)
from darkroom_contract.runs import RunDocument

Json = dict[str, Any]


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    with Valkey(tmp_path) as server:
        yield server


def key_of(pod: Json) -> str:
    [container] = pod["spec"]["containers"]
    return next(each["value"] for each in container["env"] if each["name"] == environment.OUTCOME_KEY)


def publish(valkey: Valkey, job: Json, key: str) -> None:
    uid = job["metadata"]["uid"]
    text = SignedOutcome.sign(uid, 1, success(), key).to_json()
    valkey.client.xadd(outcome_stream(uid), {STREAM_FIELD: text})


def annotation(namespace: Namespace, pod: Json, name: str) -> str:
    [found] = [each for each in namespace.pods() if each["metadata"]["uid"] == pod["metadata"]["uid"]]
    return found["metadata"].get("annotations", {}).get(name, "")


def wait_for_run(namespace: Namespace, pod: Json, job: Json) -> RunDocument:
    """The run document of the job in the pod's annotation."""

    def given() -> RunDocument | None:
        text = annotation(namespace, pod, ANNOTATION_RUN)
        found = RunDocument.from_json(text) if text else None
        return found if found is not None and found.uid == job["metadata"]["uid"] else None

    document: RunDocument = wait_until(given, f"the pod has the run of {job['metadata']['name']}")
    return document


def test_two_jobs_share_a_pod(namespace: Namespace, start_operator: Callable[..., Process], valkey: Valkey) -> None:
    operator = start_operator(DARKROOM_REDIS_URL=valkey.url)
    first, second = namespace.create_job("first"), namespace.create_job("second")
    pod = namespace.wait_for_pod("first")
    namespace.run_pod(pod)
    namespace.wait_for_phase("first", "Running")
    assert namespace.status("first")["runStart"] == "Cold"

    publish(valkey, first, "00" * 32)  # A forgery.
    wait_until(lambda: "has not signed" in operator.log(), "the operator has ignored it")
    publish(valkey, first, key_of(pod))

    document = wait_for_run(namespace, pod, second)
    assert (document.name, document.attempt) == ("second", 1)
    assert annotation(namespace, pod, ANNOTATION_ACKNOWLEDGED) == run_key(first["metadata"]["uid"], 1)
    namespace.wait_for_phase("first", "Succeeded")
    namespace.wait_for_phase("second", "Running")
    assert namespace.status("second")["runStart"] == "Warm"
    assert namespace.status("second")["podName"] == pod["metadata"]["name"]

    publish(valkey, second, key_of(pod))
    namespace.wait_for_phase("second", "Succeeded")
    wait_until(namespace.slot_is_free, "the slot is free")
    [idle] = namespace.active_pods()
    assert idle["metadata"]["labels"][LABEL_RUNNER_STATE] == IDLE
    assert idle["metadata"]["labels"][names.LABEL_JOB_NAME] == "second"


def test_another_operator_finds_the_idle_pod_and_replaces_an_unfit_one(
    namespace: Namespace, start_operator: Callable[..., Process], valkey: Valkey
) -> None:
    operator = start_operator(DARKROOM_REDIS_URL=valkey.url)
    first = namespace.create_job("first")
    pod = namespace.wait_for_pod("first")
    namespace.run_pod(pod)
    publish(valkey, first, key_of(pod))
    namespace.wait_for_phase("first", "Succeeded")
    wait_until(namespace.slot_is_free, "the slot is free")
    operator.kill()

    successor = start_operator(DARKROOM_REDIS_URL=valkey.url)
    second = namespace.create_job("second")
    wait_for_run(namespace, pod, second)
    publish(valkey, second, key_of(pod))
    namespace.wait_for_phase("second", "Succeeded")
    wait_until(namespace.slot_is_free, "the slot is free")
    successor.kill()

    start_operator(DARKROOM_REDIS_URL=valkey.url, DARKROOM_RUNNER_IMAGE="darkroom/runner:next")
    wait_until(lambda: is_being_deleted(namespace, pod), "the idle pod of the old image is deleted")


def test_without_warm_seconds_pods_have_no_trace_of_it(
    namespace: Namespace, start_operator: Callable[..., Process], valkey: Valkey
) -> None:
    start_operator(DARKROOM_REDIS_URL=valkey.url, DARKROOM_WARM_SECONDS="0")
    namespace.create_job("first")
    pod = namespace.wait_for_pod("first")
    text = json.dumps(pod["spec"]) + json.dumps(pod["metadata"].get("annotations", {}))
    assert all(word not in text for word in ("handover", "WARM", "OUTCOME_KEY", "darkroom.dev/template"))
    assert "runStart" not in namespace.status("first")


def is_being_deleted(namespace: Namespace, pod: Json) -> bool:
    found = [each for each in namespace.pods() if each["metadata"]["uid"] == pod["metadata"]["uid"]]
    return all("deletionTimestamp" in each["metadata"] for each in found)
