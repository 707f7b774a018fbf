"""`DARKROOM_BUSY_POLICY=Reject`: submissions are refused while a job is running, with the name of that job."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from support.gateway_cluster import wait_until
from support.operator_snapshots import NOW, a_job

from darkroom_contract.names import Kind, slot_lease_name
from darkroom_gateway.jobs.busy_policy import busy_message
from darkroom_operator.scheduling.slot import Slot, assignment, new_lease

LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
HOLDER = a_job("the-one-that-runs")
Draw = Callable[..., bytes]


@pytest.fixture(scope="module")
def strict(start_gateway: Any, environment: dict[str, str]) -> Iterator[httpx.Client]:
    """A gateway with the policy Reject."""
    with start_gateway({**environment, "DARKROOM_BUSY_POLICY": "Reject"}) as started:
        yield started.http


@pytest.fixture
def lease(cluster: Any) -> Iterator[str]:
    """The path of a slot's Lease that is held by a running job."""
    path = f"{LEASES}/{slot_lease_name(0)}"
    assert cluster.http.post(LEASES, json=new_lease(Slot(0), HOLDER, NOW)).status_code == 201
    yield path
    cluster.http.delete(path)


def train(http: httpx.Client, photo: bytes, **headers: str) -> httpx.Response:
    query = {"prompt": "a photo of sks dog", "model_id": "dog"}
    return http.post("/train", params=query, files={"files": ("a.jpg", photo)}, headers=headers)


def submit_generation(http: httpx.Client, **headers: str) -> httpx.Response:
    return http.post("/generate/sdxl", params={"prompt": "a dog"}, headers=headers)


@pytest.mark.usefixtures("lease")
def test_every_submission_is_refused_with_the_running_jobs_name_and_leaves_nothing(
    strict: httpx.Client, cluster: Any, stored_keys: Any, picture: Draw, job_name: str
) -> None:
    dataset = {"uri": "s3://darkroom/datasets/default/x/"}
    cluster.create(Kind.TRAIN, job_name, {"modelId": job_name, "prompt": "a", "dataset": dataset})
    finished = f"{job_name}-finished"
    cluster.create(Kind.GENERATE, finished, {"prompt": "a dog"})
    cluster.set_status(Kind.GENERATE, finished, phase="Failed")
    path = f"/v1/jobs/{finished}"
    wait_until(lambda: strict.get(path).json()["status"] == "Failed", "the strict gateway shows the finished job")
    before = (cluster.count(Kind.TRAIN), cluster.count(Kind.GENERATE), stored_keys("datasets/"))

    refused = [
        train(strict, picture()),
        submit_generation(strict),
        strict.post("/generate/lora", params={"prompt": "a dog", "model_id": job_name}),
        strict.post("/v1/generate-jobs", json={"prompt": "a dog"}),
        strict.post(
            "/v1/train-jobs",
            files=[("spec", (None, '{"modelId": "dog", "prompt": "a"}')), ("files", ("a.jpg", picture()))],
        ),
        strict.post(f"/v1/jobs/{finished}/retry"),
    ]

    for response in refused:
        assert response.status_code == 409, response.text
        problem = response.json()
        assert problem["type"].endswith(":Busy")
        assert "GenerateJob/the-one-that-runs" in problem["detail"]
    assert (cluster.count(Kind.TRAIN), cluster.count(Kind.GENERATE), stored_keys("datasets/")) == before


def test_submissions_are_accepted_again_when_nothing_runs(
    strict: httpx.Client, cluster: Any, lease: str, picture: Draw
) -> None:
    assert submit_generation(strict).status_code == 409
    version = cluster.http.get(lease).json()["metadata"]["resourceVersion"]
    freed = assignment(Slot(0, version=version), None, NOW)
    headers = {"Content-Type": "application/merge-patch+json"}
    assert cluster.http.patch(lease, json=freed, headers=headers).status_code == 200

    assert submit_generation(strict).status_code == 202
    assert train(strict, picture()).status_code == 202


def test_repeated_request_is_answered_while_its_job_runs(
    strict: httpx.Client, cluster: Any, picture: Draw, job_name: str
) -> None:
    headers, photo = {"Idempotency-Key": job_name}, picture()
    sent = {
        "generation": lambda: submit_generation(strict, **headers),
        "training": lambda: train(strict, photo, **headers),
    }
    first = {name: send() for name, send in sent.items()}
    running = a_job(first["generation"].json()["task_id"])
    assert cluster.http.post(LEASES, json=new_lease(Slot(0), running, NOW)).status_code == 201

    again = {name: send() for name, send in sent.items()}
    another = submit_generation(strict)
    cluster.http.delete(f"{LEASES}/{slot_lease_name(0)}")

    assert {response.status_code for response in [*first.values(), *again.values()]} == {202}
    assert {name: each.json() for name, each in again.items()} == {name: each.json() for name, each in first.items()}
    assert another.status_code == 409


@pytest.mark.usefixtures("lease")
def test_invalid_input_is_reported_before_the_busy_policy(strict: httpx.Client) -> None:
    response = strict.post("/generate/lora", params={"prompt": "a dog", "model_id": "nobody-made-this"})

    assert (response.status_code, response.json()["type"]) == (404, "tag:darkroom.dev,2026:UnknownModel")


def test_second_submission_is_accepted_before_the_slot_is_assigned(strict: httpx.Client) -> None:
    """Its job waits: the policy is not a lock, as documented."""
    assert [submit_generation(strict).status_code for _ in range(2)] == [202, 202]


@pytest.mark.usefixtures("lease")
def test_submissions_are_queued_by_default(http: httpx.Client, picture: Draw) -> None:
    assert submit_generation(http).status_code == 202
    assert train(http, picture()).status_code == 202


def test_leases_that_are_not_slots_are_ignored(cluster: Any, strict: httpx.Client) -> None:
    other = {"metadata": {"name": "an-operator"}, "spec": {"holderIdentity": "somebody"}}
    assert cluster.http.post(LEASES, json=other).status_code == 201
    taken = submit_generation(strict)
    cluster.http.delete(f"{LEASES}/an-operator")

    assert taken.status_code == 202


def test_message_for_an_unnamed_holder_is_complete() -> None:
    assert busy_message("").startswith("Another job is running")
