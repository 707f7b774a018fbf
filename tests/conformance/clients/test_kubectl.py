"""The real kubectl, as people use it on jobs and pods."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from support.kube_api import Api, Json, ok, wait_until

GENERATE = "generatejobs.darkroom.dev/v1alpha1"
EXAMPLES = Path(__file__).parents[3] / "examples"


def text(document: Json) -> str:
    return yaml.safe_dump(document, sort_keys=False)


def test_api_resources_lists_the_jobs(kubectl: Any) -> None:
    listed = kubectl("api-resources", "--api-group=darkroom.dev")
    assert re.search(r"trainjobs +dtj +darkroom.dev/v1alpha1 +true +TrainJob", listed)
    assert re.search(r"generatejobs +dgj +darkroom.dev/v1alpha1 +true +GenerateJob", listed)


def test_version_shows_the_server_version(kubectl: Any) -> None:
    assert "Server Version: v1." in kubectl("version")


def test_explain_describes_a_field(kubectl: Any) -> None:
    told = kubectl("explain", "trainjobs.darkroom.dev.spec.maxSteps")
    assert re.search(r"FIELD: maxSteps <integer>", told)
    assert "Optimizer steps." in told


def test_explain_lists_all_fields_with_their_descriptions(kubectl: Any) -> None:
    told = kubectl("explain", "generatejobs.darkroom.dev.spec")
    assert "-required-" in told
    assert "What the pictures show." in told
    tree = kubectl("explain", "generatejobs.darkroom.dev", "--recursive")
    assert re.search(r"images\s+<Object>\n\s+count\s+<integer>", tree)


def test_apply_creates_configures_and_reports_unchanged(
    kubectl: Any, api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    assert kubectl("apply", "-f", "-", stdin=text(generate_job(name))).endswith("created\n")
    assert kubectl("apply", "-f", "-", stdin=text(generate_job(name))).endswith("unchanged\n")
    assert kubectl("apply", "-f", "-", stdin=text(generate_job(name, priority=4))).endswith("configured\n")
    assert api.read(GENERATE, name)["spec"]["priority"] == 4


def test_apply_removes_fields_no_longer_in_the_file(
    kubectl: Any, api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    kubectl("apply", "-f", "-", stdin=text(generate_job(name, activeDeadlineSeconds=60)))
    kubectl("apply", "-f", "-", stdin=text(generate_job(name)))
    assert "activeDeadlineSeconds" not in api.read(GENERATE, name)["spec"]


def test_apply_works_on_pods_too(kubectl: Any, api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    kubectl("apply", "-f", "-", stdin=text(gated_pod(name)))
    changed = gated_pod(name, containers=[{"name": "main", "image": "registry.invalid/none:2"}])
    assert kubectl("apply", "-f", "-", stdin=text(changed)).endswith("configured\n")
    assert api.read("pods", name)["spec"]["containers"][0]["image"] == "registry.invalid/none:2"


def test_server_side_apply_follows_client_side_apply(
    kubectl: Any, api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    kubectl("apply", "-f", "-", stdin=text(generate_job(name, priority=1)))
    kubectl("apply", "--server-side", "-f", "-", stdin=text(generate_job(name, priority=2)))
    kubectl("apply", "--server-side", "-f", "-", stdin=text(generate_job(name)))
    assert api.read(GENERATE, name)["spec"]["priority"] == 0


def test_server_side_apply_reports_conflicts(
    kubectl: Any, api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    ok(api.apply(GENERATE, generate_job(name, priority=3), "somebody"), 201)
    document = text(generate_job(name, priority=4))
    told = kubectl.refusal("apply", "--server-side", "-f", "-", stdin=document)
    assert 'conflict with "somebody": .spec.priority' in told
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=document)
    assert api.read(GENERATE, name)["spec"]["priority"] == 4


def test_diff_shows_what_an_apply_would_change(
    kubectl: Any, api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    kubectl("apply", "-f", "-", stdin=text(generate_job(name)))
    assert kubectl("diff", "-f", "-", stdin=text(generate_job(name))) == ""
    shown = kubectl.run("diff", "-f", "-", stdin=text(generate_job(name, priority=7)))
    assert shown.returncode == 1
    assert re.search(r"^\+  priority: 7$", shown.stdout, re.MULTILINE)
    assert api.read(GENERATE, name)["spec"]["priority"] == 0


def test_every_generation_example_is_valid(kubectl: Any) -> None:
    for path in sorted(EXAMPLES.glob("*.yaml")):
        assert "created (server dry run)" in kubectl("apply", "--dry-run=server", "-f", str(path))


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


def test_get_pages_through_a_long_list(kubectl: Any, api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    for number in range(5):
        document = generate_job(f"{name}-{number}")
        api.made(GENERATE, document | {"metadata": document["metadata"] | {"labels": {"test": name}}})
    listed = kubectl("get", "dgj", "-l", f"test={name}", "--chunk-size=2", "--no-headers").splitlines()
    assert [line.split()[0] for line in listed] == [f"{name}-{number}" for number in range(5)]


def test_get_of_a_missing_object_reports_not_found(kubectl: Any, name: str) -> None:
    told = kubectl.refusal("get", "dgj", name)
    assert told == f'Error from server (NotFound): generatejobs.darkroom.dev "{name}" not found'


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
    told = kubectl("describe", "dgj", name)
    assert re.search(r"Prompt: +a red circle", told)
    assert re.search(r"Normal +Admitted .*the job has a slot", told)


def test_describe_shows_a_pod(kubectl: Any, api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    api.made("pods", gated_pod(name))
    told = kubectl("describe", "pod", name)
    assert re.search(r"Image: +registry.invalid/none:1", told)
    assert re.search(r"Status: +Pending", told)


def test_wait_returns_when_a_condition_holds(
    kubectl: Any, api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    api.made(GENERATE, generate_job(name))
    process = kubectl.start("wait", "--for=condition=Complete", f"dgj/{name}", "--timeout=30s")
    condition = {"type": "Complete", "status": "True", "reason": "Done", "lastTransitionTime": "2026-01-02T03:04:05Z"}
    ok(api.patch(GENERATE, name, {"status": {"conditions": [condition]}}, subresource="status"))
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert output == f"generatejob.darkroom.dev/{name} condition met\n"


def test_wait_times_out(kubectl: Any, api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, generate_job(name))
    told = kubectl.refusal("wait", "--for=condition=Complete", f"dgj/{name}", "--timeout=1s")
    assert "timed out waiting for the condition" in told


def test_wait_supports_values_and_deletions(
    kubectl: Any, api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    api.made(GENERATE, generate_job(name))
    ok(api.patch(GENERATE, name, {"status": {"phase": "Running"}}, subresource="status"))
    kubectl("wait", "--for=jsonpath={.status.phase}=Running", f"dgj/{name}", "--timeout=10s")
    process = kubectl.start("wait", "--for=delete", f"dgj/{name}", "--timeout=30s")
    ok(api.delete(GENERATE, name))
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_patch_supports_all_types(
    kubectl: Any, api: Api, name: str, generate_job: Callable[..., Json], gated_pod: Callable[..., Json]
) -> None:
    api.made(GENERATE, generate_job(name))
    api.made("pods", gated_pod(name))
    kubectl("patch", "dgj", name, "--type=merge", "-p", '{"spec":{"priority":1}}')
    kubectl("patch", "dgj", name, "--type=json", "-p", '[{"op":"add","path":"/spec/backoffLimit","value":7}]')
    spec = api.read(GENERATE, name)["spec"]
    assert (spec["priority"], spec["backoffLimit"]) == (1, 7)
    kubectl("patch", "pod", name, "-p", '{"spec":{"containers":[{"name":"main","image":"x:2"}]}}')
    assert api.read("pods", name)["spec"]["containers"][0]["image"] == "x:2"
    kubectl("patch", "dgj", name, "--subresource=status", "--type=merge", "-p", '{"status":{"phase":"Queued"}}')
    assert api.read(GENERATE, name)["status"]["phase"] == "Queued"


def test_label_and_annotate(kubectl: Any, api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, generate_job(name))
    kubectl("label", "dgj", name, "colour=red")
    kubectl("annotate", "dgj", name, "note=two words")
    metadata = api.read(GENERATE, name)["metadata"]
    assert (metadata["labels"], metadata["annotations"]["note"]) == ({"colour": "red"}, "two words")
    kubectl("label", "dgj", name, "colour-")
    assert not api.read(GENERATE, name)["metadata"].get("labels")


def test_replace_writes_an_edited_object(kubectl: Any, api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, generate_job(name))
    edited = yaml.safe_load(kubectl("get", "dgj", name, "-o", "yaml"))
    edited["spec"]["priority"] = 6
    kubectl("replace", "-f", "-", stdin=text(edited))
    assert api.read(GENERATE, name)["spec"]["priority"] == 6
    told = kubectl.refusal("replace", "-f", "-", stdin=text(edited))
    assert "the object has been modified" in told


def test_forced_replace_creates_a_new_object(
    kubectl: Any, api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    made = api.made(GENERATE, generate_job(name))
    kubectl("replace", "--force", "-f", "-", stdin=text(generate_job(name, prompt="a blue square")))
    after = api.read(GENERATE, name)
    assert after["spec"]["prompt"] == "a blue square"
    assert after["metadata"]["uid"] != made["metadata"]["uid"]


def test_delete_waits_until_the_object_is_removed(
    kubectl: Any, api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    document = generate_job(name)
    api.made(GENERATE, document | {"metadata": document["metadata"] | {"finalizers": ["darkroom.dev/hold"]}})
    process = kubectl.start("delete", "dgj", name)
    wait_until(lambda: "deletionTimestamp" in api.read(GENERATE, name)["metadata"], "the job is being deleted")
    assert process.poll() is None
    ok(api.patch(GENERATE, name, {"metadata": {"finalizers": None}}))
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert f'"{name}" deleted' in output


def test_delete_can_orphan_dependents(
    kubectl: Any, api: Api, name: str, generate_job: Callable[..., Json], gated_pod: Callable[..., Json]
) -> None:
    owner = api.made(GENERATE, generate_job(name))
    reference = {"apiVersion": owner["apiVersion"], "kind": "GenerateJob", "name": name}
    metadata = {"name": name, "ownerReferences": [reference | {"uid": owner["metadata"]["uid"]}]}
    api.made("pods", gated_pod(name) | {"metadata": metadata})
    kubectl("delete", "dgj", name, "--cascade=orphan")
    assert not api.read("pods", name)["metadata"].get("ownerReferences")


def test_forced_delete_removes_a_bound_pod(kubectl: Any, api: Api, name: str, bound_pod: Callable[..., Json]) -> None:
    bound_pod(name)
    kubectl("delete", "pod", name, "--force")
    assert not api.exists("pods", name)


def test_delete_by_label_deletes_only_matching_objects(
    kubectl: Any, api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    for number, label in enumerate(("yes", "no")):
        document = generate_job(f"{name}-{number}")
        labels = {"test": name, "chosen": label}
        api.made(GENERATE, document | {"metadata": document["metadata"] | {"labels": labels}})
    kubectl("delete", "dgj", "-l", f"test={name},chosen=yes")
    assert not api.exists(GENERATE, f"{name}-0")
    assert api.exists(GENERATE, f"{name}-1")


def test_unbound_pod_has_no_logs(kubectl: Any, api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    api.made("pods", gated_pod(name))
    assert kubectl("logs", name) == ""


def test_auth_can_i(kubectl: Any) -> None:
    assert kubectl("auth", "can-i", "create", "trainjobs.darkroom.dev").strip() == "yes"


def test_create_namespaces_secrets_and_config_maps(kubectl: Any, api: Api, name: str) -> None:
    kubectl("create", "secret", "generic", name, "--from-literal=key=value")
    kubectl("create", "configmap", name, "--from-literal=key=value")
    kubectl("create", "serviceaccount", name)
    assert api.read("secrets", name)["data"] == {"key": "dmFsdWU="}
    assert api.read("configmaps", name)["data"] == {"key": "value"}
    kubectl("create", "namespace", name)
    kubectl("delete", "namespace", name, "--wait=false")
