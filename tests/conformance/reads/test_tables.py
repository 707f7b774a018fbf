"""Printer tables: the server-side columns of `kubectl get`."""

from collections.abc import Callable
from typing import Any

from support.kube_api import TABLE, Api, Json, ok

GENERATE = "generatejobs.darkroom.dev/v1alpha1"
COLUMNS = ["Name", "Phase", "Position", "Starts", "Progress", "ETA", "Model", "Age"]


def table(api: Api, plural: str, name: str = "", **query: Any) -> Json:
    return ok(api.http.get(api.path(plural, name), params=query, headers={"Accept": f"{TABLE},application/json"}))


def cells(shown: Json, row: int = 0) -> dict[str, Any]:
    names = [each["name"] for each in shown["columnDefinitions"]]
    return dict(zip(names, shown["rows"][row]["cells"], strict=True))


def test_job_table_has_the_columns_of_its_definition(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, generate_job(name, modelId="cat"))
    progress = {"stage": "Denoising", "step": 3, "total": 30, "progressPercentage": 12.5, "lastUpdatedTime": INSTANT}
    status = {"phase": "Running", "queue": {"position": 2}, "progress": progress}
    ok(api.patch(GENERATE, name, {"status": status}, subresource="status"))

    shown = table(api, GENERATE, name)

    assert (shown["kind"], shown["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [each["name"] for each in shown["columnDefinitions"]] == COLUMNS
    row = cells(shown)
    assert (row["Name"], row["Phase"], row["Position"], row["Model"]) == (name, "Running", 2, "cat")
    assert float(row["Progress"]) == 12.5
    assert row["Age"].endswith("s")


INSTANT = "2026-01-02T03:04:05Z"


def test_column_of_a_missing_field_is_empty(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, generate_job(name))
    row = cells(table(api, GENERATE, name))
    assert row["Phase"] is None
    assert row["Model"] is None


def test_rows_contain_the_metadata_of_their_objects(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    made = api.made(GENERATE, generate_job(name))
    row = table(api, GENERATE, name)["rows"][0]["object"]
    assert row["kind"] == "PartialObjectMetadata"
    assert row["metadata"]["uid"] == made["metadata"]["uid"]


def test_rows_contain_the_object_or_nothing_on_request(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, generate_job(name))
    assert table(api, GENERATE, name, includeObject="Object")["rows"][0]["object"]["spec"]["prompt"] == "a red circle"
    assert table(api, GENERATE, name, includeObject="None")["rows"][0].get("object") is None


def test_tables_are_paged(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    for number in range(3):
        document = generate_job(f"{name}-{number}")
        api.made(GENERATE, document | {"metadata": document["metadata"] | {"labels": {"test": name}}})
    first = table(api, GENERATE, labelSelector=f"test={name}", limit=2)
    rest = table(api, GENERATE, labelSelector=f"test={name}", limit=2, **{"continue": first["metadata"]["continue"]})
    shown = [cells(each, row)["Name"] for each in (first, rest) for row in range(len(each["rows"]))]
    assert shown == [f"{name}-0", f"{name}-1", f"{name}-2"]


def test_watch_sends_tables(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    since = ok(api.get(GENERATE))["metadata"]["resourceVersion"]
    api.made(GENERATE, generate_job(name))
    api.http.headers["Accept"] = TABLE
    try:
        with api.watching(GENERATE, resourceVersion=since, fieldSelector=f"metadata.name={name}") as events:
            event = next(events)
    finally:
        api.http.headers["Accept"] = "*/*"
    assert event["object"]["kind"] == "Table"
    assert event["object"]["rows"][0]["cells"][0] == name


def test_pod_table_shows_readiness_status_and_restarts(api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    api.made("pods", gated_pod(name))
    row = cells(table(api, "pods", name))
    assert (row["Ready"], row["Status"], str(row["Restarts"])) == ("0/1", "SchedulingGated", "0")


def test_failed_pod_is_shown_with_its_reason(api: Api, name: str, bound_pod: Callable[..., Json]) -> None:
    bound_pod(name)
    state = {"terminated": {"exitCode": 1, "reason": "Error"}}
    container = {"name": "main", "image": "x", "imageID": "", "restartCount": 0, "ready": False, "state": state}
    status = {"phase": "Failed", "containerStatuses": [container]}
    ok(api.patch("pods", name, {"status": status}, subresource="status"))
    shown = table(api, "pods", name)
    assert cells(shown)["Status"] == "Error"
    priorities = {each["name"]: each["priority"] for each in shown["columnDefinitions"]}
    assert priorities["Status"] == 0
    assert priorities["Node"] > 0
    api.delete("pods", name, gracePeriodSeconds=0)
