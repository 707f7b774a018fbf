"""`/jobs`: listing, lookup and deletion of both kinds."""

from typing import Any

import httpx
import pytest

from darkroom_contract.names import Kind

DATASET = {"uri": "s3://darkroom/datasets/default/x/"}
SPECS: dict[Kind, dict[str, Any]] = {
    Kind.TRAIN: {"modelId": "dog", "prompt": "sks dog", "dataset": DATASET},
    Kind.GENERATE: {"prompt": "a dog"},
}


@pytest.fixture
def both(cluster: Any, job_name: str) -> str:
    """The name of both a TrainJob and a GenerateJob."""
    for kind, spec in SPECS.items():
        cluster.create(kind, job_name, spec)
    return job_name


def listed(http: httpx.Client, **query: Any) -> list[tuple[str, str]]:
    return [(job["task_id"], job["kind"]) for job in http.get("/jobs", params=query).json()["jobs"]]


def test_both_kinds_are_listed_newest_first(http: httpx.Client, both: str) -> None:
    jobs = http.get("/jobs", params={"limit": 1000}).json()["jobs"]

    assert {job["kind"] for job in jobs if job["task_id"] == both} == {"TrainJob", "GenerateJob"}
    created = [job["created"] for job in jobs]
    assert created == sorted(created, reverse=True)


def test_list_can_be_filtered(http: httpx.Client, cluster: Any, both: str) -> None:
    cluster.set_status(Kind.TRAIN, both, phase="Suspended")

    assert (both, "GenerateJob") not in listed(http, kind="TrainJob", limit=1000)
    assert (both, "TrainJob") in listed(http, kind="TrainJob", limit=1000)
    assert (both, "TrainJob") in listed(http, phase="Suspended", limit=1000)
    assert (both, "GenerateJob") not in listed(http, phase="Suspended", limit=1000)
    answer = http.get("/jobs", params={"limit": 1}).json()
    assert (len(answer["jobs"]), answer["total"] >= 2) == (1, True)


def test_job_is_found_by_its_name(http: httpx.Client, cluster: Any, job_name: str) -> None:
    cluster.create(Kind.GENERATE, job_name, SPECS[Kind.GENERATE])

    answer = http.get(f"/jobs/{job_name}").json()

    assert (answer["kind"], answer["prompt"], answer["phase"]) == ("GenerateJob", "a dog", "Queued")


def test_ambiguous_name_needs_the_kind(http: httpx.Client, both: str) -> None:
    response = http.get(f"/jobs/{both}")

    assert response.status_code == 409
    assert "kind=TrainJob" in response.json()["detail"]
    assert http.get(f"/jobs/{both}", params={"kind": "TrainJob"}).json()["kind"] == "TrainJob"


def test_deleted_job_is_unknown(http: httpx.Client, both: str) -> None:
    assert http.delete(f"/jobs/{both}", params={"kind": "TrainJob"}).status_code == 204

    assert http.get(f"/jobs/{both}").json()["kind"] == "GenerateJob"
    assert http.delete(f"/jobs/{both}").status_code == 204
    assert http.delete(f"/jobs/{both}").status_code == 404


def test_job_with_a_running_run_is_deleted_later(http: httpx.Client, cluster: Any, job_name: str) -> None:
    cluster.create(Kind.GENERATE, job_name, SPECS[Kind.GENERATE], finalizers=["darkroom.dev/test"])

    response = http.delete(f"/jobs/{job_name}")

    assert (response.status_code, response.json()["deleting"]) == (202, True)
    cluster.set_finalizers(Kind.GENERATE, job_name, [])


def test_unknown_job_is_404(http: httpx.Client) -> None:
    for method in ("GET", "DELETE"):
        assert http.request(method, "/jobs/nobody-sent-this").status_code == 404
    assert http.get("/jobs/nobody-sent-this/events").status_code == 404


def test_run_log_can_be_read(http: httpx.Client, cluster: Any, bucket: Any, job_name: str) -> None:
    uid = cluster.create(Kind.GENERATE, job_name, SPECS[Kind.GENERATE])["metadata"]["uid"]
    cluster.set_status(Kind.GENERATE, job_name, phase="Running", attempts=2)
    for attempt in (1, 2):
        body = f"run {attempt}: caf\u00e9\n".encode()
        bucket.put_object(Bucket="darkroom", Key=f"runs/{uid}/logs/{attempt}.txt", Body=body)

    newest, first = http.get(f"/jobs/{job_name}/log"), http.get(f"/jobs/{job_name}/log", params={"attempt": 1})

    assert (newest.text, first.text) == ("run 2: caf\u00e9\n", "run 1: caf\u00e9\n")
    assert newest.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("attempts", "query", "words"),
    [(0, {}, "not run"), (1, {}, "no log yet"), (1, {"attempt": 2}, "no run 2: it has run once")],
)
def test_missing_log_is_explained(
    http: httpx.Client, cluster: Any, job_name: str, attempts: int, query: dict[str, int], words: str
) -> None:
    cluster.create(Kind.GENERATE, job_name, SPECS[Kind.GENERATE])
    if attempts:
        cluster.set_status(Kind.GENERATE, job_name, phase="Running", attempts=attempts)

    response = http.get(f"/jobs/{job_name}/log", params=query)

    assert response.status_code == 404
    assert words in response.json()["detail"]


def test_next_page_continues_where_the_page_ended(http: httpx.Client, cluster: Any, both: str, job_name: str) -> None:
    first = http.get("/jobs", params={"limit": 1})
    names = [each["task_id"] for each in first.json()["jobs"]]
    cluster.create(Kind.GENERATE, f"{job_name}-later", SPECS[Kind.GENERATE])

    answer = first
    while "next" in answer.links:
        assert answer.json()["next_cursor"] in answer.links["next"]["url"]
        answer = http.get(answer.links["next"]["url"])
        names += [each["task_id"] for each in answer.json()["jobs"]]

    assert names.count(both) == 2
    assert f"{job_name}-later" not in names
    assert "next_cursor" not in answer.json()


def test_next_page_has_the_filters_of_the_first(http: httpx.Client, both: str) -> None:
    query = {"limit": 1, "phase": "Queued", "submitted_by": "nobody"}
    assert http.get("/jobs", params=query).json() == {"jobs": [], "total": 0}

    link = http.get("/jobs", params={"limit": 1, "phase": "Queued"}).links["next"]["url"]

    assert dict(httpx.URL(link).params) | {"cursor": ""} == {"limit": "1", "phase": "Queued", "cursor": ""}


def test_invalid_cursor_is_refused(http: httpx.Client) -> None:
    for cursor in ("abc", "not a cursor", "x" * 500):
        response = http.get("/jobs", params={"cursor": cursor})
        assert response.status_code == 422
        [error] = response.json()["errors"]
        assert error["parameter"] == "cursor"
        assert "next_cursor" in error["message"]
