"""kubectl commands that write: apply, diff, patch, label, replace, delete, create."""

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
    ok(api.apply(GENERATE, generate_job(name, priority=3), "other-manager"), 201)
    document = text(generate_job(name, priority=4))
    output = kubectl.error("apply", "--server-side", "-f", "-", stdin=document)
    assert 'conflict with "other-manager": .spec.priority' in output
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
    output = kubectl.error("replace", "-f", "-", stdin=text(edited))
    assert "the object has been modified" in output


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


def test_create_namespaces_secrets_and_config_maps(kubectl: Any, api: Api, name: str) -> None:
    kubectl("create", "secret", "generic", name, "--from-literal=key=value")
    kubectl("create", "configmap", name, "--from-literal=key=value")
    kubectl("create", "serviceaccount", name)
    assert api.read("secrets", name)["data"] == {"key": "dmFsdWU="}
    assert api.read("configmaps", name)["data"] == {"key": "value"}
    kubectl("create", "namespace", name)
    kubectl("delete", "namespace", name, "--wait=false")
