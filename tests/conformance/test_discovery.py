"""What clients ask before anything else: which kinds are there, and how they look."""

from pathlib import Path

import pytest
import yaml
from support.kube_api import Api, http_client, ok, refused

from darkroom_local.kube.kubeconfig import read_kubeconfig

NEEDED = {
    "/api/v1": [
        "pods",
        "pods/status",
        "pods/log",
        "pods/binding",
        "pods/eviction",
        "events",
        "nodes",
        "namespaces",
        "secrets",
    ],
    "/apis/coordination.k8s.io/v1": ["leases"],
    "/apis/apiextensions.k8s.io/v1": ["customresourcedefinitions"],
    "/apis/darkroom.dev/v1alpha1": ["trainjobs", "trainjobs/status", "generatejobs", "generatejobs/status"],
}


def test_the_server_says_that_it_is_ready_and_which_version_it_is(api: Api) -> None:
    assert api.http.get("/readyz").text == "ok"
    assert int(ok(api.http.get("/version"))["minor"].rstrip("+")) >= 30


def test_the_group_of_the_jobs_is_listed_with_its_version(api: Api) -> None:
    groups = {each["name"]: each for each in ok(api.http.get("/apis"))["groups"]}
    assert groups["darkroom.dev"]["preferredVersion"]["groupVersion"] == "darkroom.dev/v1alpha1"
    assert "v1" in ok(api.http.get("/api"))["versions"]


@pytest.mark.parametrize("path", NEEDED)
def test_every_kind_that_the_project_uses_is_listed(api: Api, path: str) -> None:
    listed = {each["name"] for each in ok(api.http.get(path))["resources"]}
    assert set(NEEDED[path]) <= listed


def test_a_custom_kind_is_listed_with_its_short_name_and_category(api: Api) -> None:
    listed = {each["name"]: each for each in ok(api.http.get("/apis/darkroom.dev/v1alpha1"))["resources"]}
    entry = listed["trainjobs"]
    assert entry["shortNames"] == ["dtj"]
    assert entry["categories"] == ["darkroom"]
    assert entry["namespaced"]
    assert {"get", "list", "watch", "create", "update", "patch", "delete"} <= set(entry["verbs"])


def test_the_openapi_document_describes_every_field_of_a_job(api: Api) -> None:
    index = ok(api.http.get("/openapi/v3"))["paths"]
    url = index["apis/darkroom.dev/v1alpha1"]["serverRelativeURL"]
    schemas = ok(api.http.get(url))["components"]["schemas"]
    schema = schemas["dev.darkroom.v1alpha1.TrainJob"]
    spec = schema["properties"]["spec"]
    assert spec["properties"]["maxSteps"]["description"].startswith("Optimizer steps.")
    assert all("description" in each for each in spec["properties"].values())
    assert schema["x-kubernetes-group-version-kind"][0]["kind"] == "TrainJob"


def test_a_path_that_does_not_exist_is_not_found(api: Api) -> None:
    assert api.http.get("/apis/nobody.example/v1/things").status_code == 404
    assert api.http.get("/apis/darkroom.dev/v9").status_code == 404


def test_an_object_that_does_not_exist_is_told_by_kind_and_name(api: Api, name: str) -> None:
    message = refused(api.get("trainjobs.darkroom.dev/v1alpha1", name), 404, "NotFound")
    assert message == f'trainjobs.darkroom.dev "{name}" not found'


def test_a_wrong_token_is_refused(api: Api, tmp_path: Path) -> None:
    document = yaml.safe_load(api.kubeconfig.read_text())
    for user in document["users"]:
        user["user"] = {"token": "unknown"}
    stranger = tmp_path / "stranger.yaml"
    stranger.write_text(yaml.safe_dump(document))
    with http_client(read_kubeconfig(stranger)) as http:
        refused(http.get("/api/v1/namespaces/default/pods"), 401, "Unauthorized")
