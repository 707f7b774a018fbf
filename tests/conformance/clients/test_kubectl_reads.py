"""kubectl commands that read: api-resources, explain, get, describe, wait, logs, auth."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from support.kube_api import Api, Json, ok, wait_until

GENERATE = "generatejobs.darkroom.dev/v1alpha1"


def test_api_resources_lists_the_jobs(kubectl: Any) -> None:
    listed = kubectl("api-resources", "--api-group=darkroom.dev")
    assert re.search(r"trainjobs +dtj +darkroom.dev/v1alpha1 +true +TrainJob", listed)
    assert re.search(r"generatejobs +dgj +darkroom.dev/v1alpha1 +true +GenerateJob", listed)


def test_version_shows_the_server_version(kubectl: Any) -> None:
    assert "Server Version: v1." in kubectl("version")


def test_explain_describes_a_field(kubectl: Any) -> None:
    output = kubectl("explain", "trainjobs.darkroom.dev.spec.maxSteps")
    assert re.search(r"FIELD: maxSteps <integer>", output)
    assert "Optimizer steps." in output


def test_explain_lists_all_fields_with_their_descriptions(kubectl: Any) -> None:
    output = kubectl("explain", "generatejobs.darkroom.dev.spec")
    assert "-required-" in output
    assert "What the images show." in output
    tree = kubectl("explain", "generatejobs.darkroom.dev", "--recursive")
    assert re.search(r"images\s+<Object>\n(\s+\w+\s+<\w+>\n)*\s+count\s+<integer>", tree)


def test_get_shows_the_columns(kubectl: Any, api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, generate_job(name, modelId="cat"))
    queue = {"position": 3, "estimatedStartTime": "2026-11-25T12:00:00Z"}
    status = {"status": {"phase": "Queued", "queue": queue}}
    ok(api.patch(GENERATE, name, status, subresource="status"))
    header, row = kubectl("get", "dgj", name).splitlines()
    assert header.split() == ["NAME", "PHASE", "POSITION", "STARTS", "PROGRESS", "ETA", "MODEL", "AGE"]
    assert row.split()[:5] == [name, "Queued", "3", "2026-11-25T12:00:00Z", "cat"]


def test_get_supports_category_wide_names_yaml_and_jsonpath(
    kubectl: Any, api: Api, name: str, generate_job: Callable[..., Json], gated_pod: Callable[..., Json]
) -> None:
    api.made(GENERATE, generate_job(name))
    api.made("pods", gated_pod(name))
    assert f"generatejob.darkroom.dev/{name}" in kubectl("get", "darkroom", "-o", "name")
    assert "NODE" in kubectl("get", "pod", name, "-o", "wide").splitlines()[0]
    assert yaml.safe_load(kubectl("get", "dgj", name, "-o", "yaml"))["spec"]["prompt"] == "a red circle"
    assert json.loads(kubectl("get", "dgj", name, "-o", "json"))["metadata"]["name"] == name
    assert kubectl("get", "dgj", name, "-o", "jsonpath={.spec.images.steps}") == "30"


def test_get_selects_by_labels_and_fields(kubectl: Any, api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    api.made("pods", gated_pod(name) | {"metadata": {"name": name, "labels": {"test": name}}})
    assert kubectl("get", "pods", "-l", f"test={name}", "-o", "name") == f"pod/{name}\n"
    assert kubectl("get", "pods", "--field-selector", f"metadata.name={name}", "-o", "name") == f"pod/{name}\n"
    assert kubectl("get", "pods", "-A", "-l", f"test={name}", "--no-headers").split()[:2] == [api.namespace, name]


def test_get_shows_labels_as_columns(kubectl: Any, api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    labels = {"darkroom.dev/job-name": "my-job", "darkroom.dev/runner-state": "idle"}
    api.made("pods", gated_pod(name) | {"metadata": {"name": name, "labels": labels}})
    header, row = kubectl("get", "pod", name, "-L", ",".join(labels)).splitlines()
    assert header.split()[-2:] == ["JOB-NAME", "RUNNER-STATE"]
    assert row.split()[-2:] == ["my-job", "idle"]


def test_get_pages_through_a_long_list(kubectl: Any, api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    for number in range(5):
        document = generate_job(f"{name}-{number}")
        api.made(GENERATE, document | {"metadata": document["metadata"] | {"labels": {"test": name}}})
    listed = kubectl("get", "dgj", "-l", f"test={name}", "--chunk-size=2", "--no-headers").splitlines()
    assert [line.split()[0] for line in listed] == [f"{name}-{number}" for number in range(5)]


def test_get_of_a_missing_object_reports_not_found(kubectl: Any, name: str) -> None:
    output = kubectl.error("get", "dgj", name)
    assert output == f'Error from server (NotFound): generatejobs.darkroom.dev "{name}" not found'


def test_get_watches_changes(
    kubectl: Any, api: Api, name: str, generate_job: Callable[..., Json], tmp_path: Path
) -> None:
    # By label: of a single object kubectl leaves out the first event, which may already be a change.
    api.made(GENERATE, generate_job(name) | {"metadata": {"name": name, "labels": {"test": name}}})
    shown = tmp_path / "shown"

    def rows() -> list[list[str]]:
        return [line.split() for line in shown.read_text().splitlines()]

    with shown.open("w") as output:
        process = kubectl.start("get", "dgj", "-l", f"test={name}", "--watch", "--no-headers", stdout=output)
    try:
        wait_until(lambda: len(rows()) == 1, "the job is shown")
        for count, phase in enumerate(("Queued", "Running"), start=2):
            ok(api.patch(GENERATE, name, {"status": {"phase": phase}}, subresource="status"))
            wait_until(lambda count=count: len(rows()) == count, f"{phase} is shown")
            assert rows()[-1][:2] == [name, phase]
    finally:
        process.kill()
        process.communicate()


def test_describe_shows_the_job_and_its_events(
    kubectl: Any, api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    job = api.made(GENERATE, generate_job(name))
    about = {"kind": "GenerateJob", "apiVersion": job["apiVersion"], "namespace": api.namespace, "name": name}
    event = {
        "metadata": {"generateName": "event-"},
        "involvedObject": about | {"uid": job["metadata"]["uid"]},
        "type": "Normal",
        "reason": "Admitted",
        "message": "the job has a slot",
        "lastTimestamp": "2999-01-01T00:00:00Z",
        "count": 1,
    }
    api.made("events", event)
    output = kubectl("describe", "dgj", name)
    assert re.search(r"Prompt: +a red circle", output)
    assert re.search(r"Normal +Admitted .*the job has a slot", output)


def test_describe_shows_a_pod(kubectl: Any, api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    api.made("pods", gated_pod(name))
    output = kubectl("describe", "pod", name)
    assert re.search(r"Image: +registry.invalid/none:1", output)
    assert re.search(r"Status: +Pending", output)


def test_wait_returns_when_a_condition_holds(
    kubectl: Any, api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    api.made(GENERATE, generate_job(name))
    process = kubectl.start("wait", "--for=condition=Complete", f"dgj/{name}", "--timeout=60s")
    condition = {"type": "Complete", "status": "True", "reason": "Done", "lastTransitionTime": "2026-01-02T03:04:05Z"}
    ok(api.patch(GENERATE, name, {"status": {"conditions": [condition]}}, subresource="status"))
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert output == f"generatejob.darkroom.dev/{name} condition met\n"


def test_wait_times_out(kubectl: Any, api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, generate_job(name))
    output = kubectl.error("wait", "--for=condition=Complete", f"dgj/{name}", "--timeout=1s")
    assert "timed out waiting for the condition" in output


def test_wait_supports_values_and_deletions(
    kubectl: Any, api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    api.made(GENERATE, generate_job(name))
    ok(api.patch(GENERATE, name, {"status": {"phase": "Running"}}, subresource="status"))
    kubectl("wait", "--for=jsonpath={.status.phase}=Running", f"dgj/{name}", "--timeout=60s")
    process = kubectl.start("wait", "--for=delete", f"dgj/{name}", "--timeout=60s")
    ok(api.delete(GENERATE, name))
    process.communicate(timeout=120)
    assert process.returncode == 0


def test_unbound_pod_has_no_logs(kubectl: Any, api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    api.made("pods", gated_pod(name))
    assert kubectl("logs", name) == ""


def test_auth_can_i(kubectl: Any) -> None:
    assert kubectl("auth", "can-i", "create", "trainjobs.darkroom.dev").strip() == "yes"
