"""`/v1/jobs`: lists, reading, changes, cancelling, retries and deletion."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from support.gateway_cluster import wait_until

from darkroom_contract.names import Kind

Submit = Callable[..., httpx.Response]
Refused = Callable[..., dict[str, str]]
SPECS: dict[Kind, dict[str, Any]] = {
    Kind.TRAIN: {"modelId": "dog", "prompt": "sks dog", "dataset": {"uri": "s3://darkroom/datasets/default/x/"}},
    Kind.GENERATE: {"prompt": "a dog"},
}


@pytest.fixture
def job(cluster: Any, job_name: str) -> str:
    """A new GenerateJob."""
    cluster.create(Kind.GENERATE, job_name, {"prompt": f"a {job_name} on the beach", "modelId": f"m-{job_name}@200"})
    return job_name


def listed(http: httpx.Client, **query: Any) -> list[str]:
    response = http.get("/v1/jobs", params=query)
    assert response.status_code == 200, response.text
    return [each["id"] for each in response.json()["jobs"]]


def test_job_is_the_same_in_the_list_and_alone(http: httpx.Client, job: str) -> None:
    [found] = [each for each in http.get("/v1/jobs").json()["jobs"] if each["id"] == job]

    assert found == http.get(f"/v1/jobs/{job}").json()
    assert http.get(found["urls"]["get"]).json() == found


def test_list_can_be_filtered(http: httpx.Client, cluster: Any, job: str) -> None:
    cluster.set_status(Kind.GENERATE, job, phase="Suspended")
    model = {"model_id": f"m-{job}"}

    assert listed(http, **model) == [job]
    assert listed(http, **model, kind="generatejob") == [job]
    assert listed(http, **model, kind="TrainJob") == []
    assert listed(http, **model, status=["Queued", "suspended"]) == [job]
    assert listed(http, **model, status="Running") == []
    assert listed(http, **model, submitted_by="nobody") == []
    assert http.get("/v1/jobs", params=model).json()["total"] == 1


def test_prompts_can_be_searched(http: httpx.Client, job: str) -> None:
    word = job.removeprefix("test-").upper()

    assert listed(http, q=f"bea {word}") == [job]
    assert listed(http, q=f"{word} sea") == []
    assert http.get("/v1/jobs", params={"q": word}).json()["total"] is None


def test_pages_continue_with_all_filters(http: httpx.Client, cluster: Any, job_name: str) -> None:
    names = [f"{job_name}-{number}" for number in range(3)]
    for name in names:
        cluster.create(Kind.GENERATE, name, {"prompt": job_name})

    found, page = [], http.get("/v1/jobs", params={"q": job_name, "status": ["Queued", "Running"], "limit": 1})
    while True:
        found += [each["id"] for each in page.json()["jobs"]]
        if "next" not in page.links:
            break
        assert page.json()["next_cursor"] in page.links["next"]["url"]
        page = http.get(page.links["next"]["url"])

    assert found == names[::-1]
    assert page.json()["next_cursor"] is None


@pytest.mark.parametrize("query", [{"q": "?!"}, {"cursor": "x"}, {"status": "Done"}, {"limit": 0}, {"phase": "Failed"}])
def test_unusable_filters_are_refused(http: httpx.Client, refused: Refused, query: dict[str, Any]) -> None:
    assert refused(http.get("/v1/jobs", params=query)).keys() == query.keys()


def test_job_can_be_changed(http: httpx.Client, cluster: Any, job: str) -> None:
    changed = http.patch(f"/v1/jobs/{job}", json={"priority": 7})

    assert (changed.status_code, changed.json()["priority"]) == (200, 7)
    assert cluster.get(Kind.GENERATE, job)["spec"]["priority"] == 7
    for action, suspended in (("suspend", True), ("suspend", True), ("resume", False)):
        response = http.post(f"/v1/jobs/{job}/{action}")
        assert (response.status_code, response.json()["spec"]["suspend"]) == (200, suspended)
    assert http.get(f"/v1/jobs/{job}").json()["priority"] == 7


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "body"), ({"priority": 5000}, "priority"), ({"suspend": "yes"}, "suspend"), ({"prompt": "a"}, "prompt")],
)
def test_unusable_changes_are_refused(
    http: httpx.Client, refused: Refused, job: str, body: dict[str, Any], field: str
) -> None:
    assert field in refused(http.patch(f"/v1/jobs/{job}", json=body))


def test_finished_job_can_be_neither_changed_nor_cancelled(http: httpx.Client, cluster: Any, job: str) -> None:
    cluster.set_status(Kind.GENERATE, job, phase="Succeeded")

    responses = [http.patch(f"/v1/jobs/{job}", json={"priority": 1})]
    responses += [http.post(f"/v1/jobs/{job}/{action}") for action in ("suspend", "resume", "cancel")]

    assert {(each.status_code, each.json()["type"]) for each in responses} == {
        (409, "tag:darkroom.dev,2026:FinishedJob")
    }
    assert cluster.exists(Kind.GENERATE, job)


def test_cancelled_job_is_deleted(http: httpx.Client, cluster: Any, job: str) -> None:
    response = http.post(f"/v1/jobs/{job}/cancel")

    assert (response.status_code, response.json()["id"], response.json()["deleting"]) == (202, job, True)
    assert not cluster.exists(Kind.GENERATE, job)
    assert http.post(f"/v1/jobs/{job}/cancel").status_code == 404


def test_deleted_job_is_gone_or_on_its_way(http: httpx.Client, cluster: Any, job: str, job_name: str) -> None:
    assert http.delete(f"/v1/jobs/{job}").status_code == 204
    held = f"{job_name}-held"
    cluster.create(Kind.GENERATE, held, SPECS[Kind.GENERATE], finalizers=["darkroom.dev/test"])

    response = http.delete(f"/v1/jobs/{held}")

    assert (response.status_code, response.json()["deleting"]) == (202, True)
    cluster.set_finalizers(Kind.GENERATE, held, [])


def test_ambiguous_id_needs_the_kind(http: httpx.Client, cluster: Any, job_name: str) -> None:
    for kind, spec in SPECS.items():
        cluster.create(kind, job_name, spec)

    assert http.get(f"/v1/jobs/{job_name}").status_code == 409
    found = [http.get(f"/v1/jobs/{job_name}", params={"kind": kind.value}).json() for kind in Kind]
    assert [http.get(each["urls"]["get"]).json() for each in found] == found


def test_retry_makes_a_new_job_of_the_same_spec(
    http: httpx.Client, cluster: Any, stored_dataset: dict[str, str], job_name: str
) -> None:
    spec = {**SPECS[Kind.TRAIN], "dataset": stored_dataset, "priority": 3, "suspend": True}
    cluster.create(Kind.TRAIN, job_name, spec)
    cluster.set_status(Kind.TRAIN, job_name, phase="Failed")
    key = {"Idempotency-Key": job_name}

    response = http.post(f"/v1/jobs/{job_name}/retry", headers=key)

    assert response.status_code == 202, response.text
    new = response.json()
    assert response.headers["location"] == new["urls"]["get"]
    assert new["id"] != job_name
    assert new["spec"] == cluster.get(Kind.TRAIN, job_name)["spec"] | {"suspend": False}
    assert http.post(f"/v1/jobs/{job_name}/retry", headers=key).json()["id"] == new["id"]
    assert http.post(f"/v1/jobs/{job_name}/retry").json()["id"] != new["id"]


def test_suspended_job_is_resumed_and_not_retried(http: httpx.Client, cluster: Any, job_name: str) -> None:
    cluster.create(Kind.TRAIN, job_name, {**SPECS[Kind.TRAIN], "suspend": True})
    cluster.set_status(Kind.TRAIN, job_name, phase="Suspended")

    response = http.post(f"/v1/jobs/{job_name}/retry")

    assert (response.status_code, response.json()["type"]) == (409, "tag:darkroom.dev,2026:UnfinishedJob")
    assert response.json()["detail"].startswith(f"Resume {job_name} instead: it is suspended")
    assert http.post(f"/v1/jobs/{job_name}/resume").json()["spec"]["suspend"] is False


def test_job_that_is_being_deleted_can_be_neither_changed_nor_retried(
    http: httpx.Client, cluster: Any, job_name: str
) -> None:
    cluster.create(Kind.GENERATE, job_name, SPECS[Kind.GENERATE], finalizers=["darkroom.dev/test"])
    assert http.delete(f"/v1/jobs/{job_name}").status_code == 202

    responses = [http.patch(f"/v1/jobs/{job_name}", json={"priority": 1})]
    responses += [http.post(f"/v1/jobs/{job_name}/{action}") for action in ("suspend", "resume", "retry")]
    again = http.post(f"/v1/jobs/{job_name}/cancel")

    assert {(each.status_code, each.json()["type"]) for each in responses} == {
        (409, "tag:darkroom.dev,2026:AlreadyDeleting")
    }
    assert (again.status_code, again.json()["deleting"]) == (202, True)
    cluster.set_finalizers(Kind.GENERATE, job_name, [])


def test_unknown_job_is_named_by_the_parameter_of_its_path(http: httpx.Client) -> None:
    actions = [("POST", "/cancel"), ("POST", "/retry"), ("GET", "/files"), ("GET", "/logs")]
    for method, path in (("GET", ""), ("PATCH", ""), *actions):
        body = {"json": {"priority": 1}} if method == "PATCH" else {}
        response = http.request(method, f"/v1/jobs/nobody-sent-this{path}", **body)

        assert [each["parameter"] for each in response.json()["errors"]] == ["id"], (method, path)
    [error] = http.get("/jobs/nobody-sent-this").json()["errors"]
    assert error["parameter"] == "task_id"


def test_key_of_the_submission_is_not_that_of_the_retry(http: httpx.Client, cluster: Any, job_name: str) -> None:
    key = {"Idempotency-Key": job_name}
    first = http.post("/v1/generate-jobs", json={"prompt": "a dog"}, headers=key).json()["id"]
    cluster.set_status(Kind.GENERATE, first, phase="Failed")

    assert http.post(f"/v1/jobs/{first}/retry", headers=key).json()["id"] != first


def test_retry_is_refused_without_what_the_job_needs(
    http: httpx.Client, cluster: Any, refused: Refused, job: str
) -> None:
    assert http.post(f"/v1/jobs/{job}/retry").json()["type"].endswith(":UnfinishedJob")
    cluster.set_status(Kind.GENERATE, job, phase="Failed")
    assert "modelId" in refused(http.post(f"/v1/jobs/{job}/retry"), 404)
    training = f"{job}-training"
    cluster.create(
        Kind.TRAIN, training, SPECS[Kind.TRAIN] | {"dataset": {"uri": f"s3://darkroom/datasets/default/{job}/"}}
    )
    cluster.set_status(Kind.TRAIN, training, phase="Failed")

    assert "no photos" in refused(http.post(f"/v1/jobs/{training}/retry"))["dataset.uri"]


def test_files_have_addresses_of_v1(http: httpx.Client, cluster: Any, bucket: Any, job: str) -> None:
    uid = cluster.get(Kind.GENERATE, job)["metadata"]["uid"]
    key = f"runs/{uid}/{job}-seed-0.png"
    bucket.put_object(Bucket="darkroom", Key=key, Body=b"png")
    artifact = {"key": key, "contentType": "image/png", "bytes": 3, "sha256": "0" * 64}
    cluster.set_status(Kind.GENERATE, job, phase="Succeeded", artifacts=[artifact])

    job_answer = http.get(f"/v1/jobs/{job}").json()
    [file] = http.get(job_answer["urls"]["files"]).json()["files"]

    assert file["url"].startswith(f"/v1/jobs/{job}/files/")
    assert http.get(file["url"]).status_code == 307
    shown = httpx.get(file["link"], trust_env=False)
    assert (shown.content, shown.headers["content-type"]) == (b"png", "image/png")
    assert httpx.get(job_answer["artifacts"][0]["url"], trust_env=False).content == b"png"


@pytest.fixture
def ends_soon(cluster: Any, job: str) -> Iterator[str]:
    """A job that ends a moment after the test has begun to wait."""
    timer = threading.Timer(0.5, cluster.set_status, (Kind.GENERATE, job), {"phase": "Failed"})
    timer.start()
    yield job
    timer.join()


def test_reading_can_wait_for_the_end(http: httpx.Client, ends_soon: str) -> None:
    response = http.get(f"/v1/jobs/{ends_soon}", headers={"Prefer": "wait=60"})

    assert (response.json()["status"], response.headers["preference-applied"]) == ("Failed", "wait=60")
    assert response.elapsed.total_seconds() < 20


def test_submission_answers_when_the_time_is_over(http: httpx.Client) -> None:
    response = http.post("/v1/generate-jobs", json={"prompt": "a dog"}, headers={"Prefer": "wait=1"})

    assert (response.status_code, response.headers["preference-applied"]) == (202, "wait=1")
    assert response.json()["status"] == "Queued"


def test_repeated_submission_of_a_finished_job_answers_200(http: httpx.Client, cluster: Any, job_name: str) -> None:
    headers = {"Prefer": "wait=60", "Idempotency-Key": job_name}
    first = http.post("/v1/generate-jobs", json={"prompt": "a"}, headers={"Idempotency-Key": job_name}).json()["id"]
    cluster.set_status(Kind.GENERATE, first, phase="Failed")

    response = http.post("/v1/generate-jobs", json={"prompt": "a"}, headers=headers)

    assert (response.status_code, response.json()["status"]) == (200, "Failed")


def test_waiting_client_that_disconnects_leaves_the_job(http: httpx.Client, cluster: Any, job_name: str) -> None:
    with pytest.raises(httpx.ReadTimeout):
        http.post(
            "/v1/generate-jobs",
            json={"prompt": job_name},
            headers={"Prefer": "wait=60", "Idempotency-Key": job_name},
            timeout=0.5,
        )

    wait_until(lambda: listed(http, q=job_name) != [], "the job is in the list")
