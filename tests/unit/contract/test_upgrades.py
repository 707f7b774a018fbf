"""Jobs outlive an upgrade of the CRDs: made under a released schema, read and updated under later ones.

The examples of the repository are such jobs; newer ones apply under the present CRDs.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from support.kube_api import APPLY, Api, ApiServer, Json, ok, refused, wait_until

from darkroom_contract.crd.definitions import definition
from darkroom_contract.jobs import read_job
from darkroom_contract.names import API_VERSION, Kind
from darkroom_local.apiserver.apiextensions.structural_schema import StructuralSchema

REPOSITORY = Path(__file__).parents[3]
RELEASES = sorted((Path(__file__).parent / "released").iterdir())
EXAMPLES = sorted((REPOSITORY / "examples").glob("*.yaml"))
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    server = ApiServer(tmp_path_factory.mktemp("apiserver"))
    server.start()
    found = Api(server.kubeconfig, "default")
    yield found
    found.http.close()
    server.stop()


def plural(kind: str) -> str:
    return f"{Kind(kind).plural}.{API_VERSION}"


def install(api: Api, crd: Json) -> None:
    """As `helm upgrade` and `kubectl apply --server-side` do."""
    headers, query = {"Content-Type": APPLY}, {"fieldManager": "upgrade", "force": "true"}
    path = f"{CRDS}/{crd['metadata']['name']}"
    answer = api.http.patch(path, content=yaml.safe_dump(crd), headers=headers, params=query)
    assert answer.status_code in (200, 201), answer.text
    served = plural(crd["spec"]["names"]["kind"])
    wait_until(lambda: api.get(served).status_code == 200, f"{served} is served")


def examples() -> dict[tuple[str, str], Json]:
    """By kind and name."""
    documents = [each for path in EXAMPLES for each in yaml.safe_load_all(path.read_text(encoding="utf-8"))]
    return {(each["kind"], each["metadata"]["name"]): each for each in documents}


def examples_of(release: Path) -> dict[tuple[str, str], Json]:
    """Examples without fields that are newer than the release."""
    crds = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(release.glob("*.yaml"))]
    schemas = {crd["spec"]["names"]["kind"]: crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for crd in crds}
    found = {}
    for (kind, name), job in examples().items():
        schema = StructuralSchema(schemas[kind])
        if not schema.validate(job) and not schema.prune(copy.deepcopy(job)):
            found[kind, name] = job
    return found


def applied(api: Api, job: Json) -> httpx.Response:
    """As `kubectl apply`: with unknown fields refused."""
    return api.apply(plural(job["kind"]), job, "test", fieldValidation="Strict")


def a_release_later(crd: Json) -> Json:
    """What a next release may do: a new field with a default, fixed at creation, and a wider bound."""
    later = copy.deepcopy(crd)
    spec: dict[str, Any] = later["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["flavour"] = {"type": "string", "default": "plain", "maxLength": 10}
    spec["properties"]["priority"]["maximum"] = 5000
    spec["x-kubernetes-validations"].append({"rule": "self.flavour == oldSelf.flavour", "fieldPath": ".flavour"})
    return later


def keeps(found: Any, job: Any) -> bool:
    """Whether everything of a job is there as it was; a later schema may add fields, by their defaults."""
    if isinstance(job, dict):
        return isinstance(found, dict) and all(key in found and keeps(found[key], job[key]) for key in job)
    return bool(found == job)


def test_a_job_that_a_later_release_refuses_can_still_get_a_failed_status(api: Api) -> None:
    """Made under 0.1.0, whose CRD has no rule on guidance scales."""
    install(api, yaml.safe_load((RELEASES[0] / f"{Kind.GENERATE.crd_name}.yaml").read_text(encoding="utf-8")))
    video = {"minGuidanceScale": 3, "maxGuidanceScale": 1}
    spec = {"prompt": "a dog", "allowMotion": True, "video": video}
    made = {"apiVersion": API_VERSION, "kind": "GenerateJob", "metadata": {"name": "doomed"}, "spec": spec}
    ok(applied(api, made), 201)
    install(api, definition(Kind.GENERATE))

    told = ok(api.patch(plural("GenerateJob"), "doomed", {"status": {"phase": "Failed"}}, subresource="status"))
    assert read_job(told).status.phase == "Failed"
    ok(api.patch(plural("GenerateJob"), "doomed", {"spec": {"priority": 9}}))
    ok(api.delete(plural("GenerateJob"), "doomed"))
    assert "turns guidance off" in refused(applied(api, made), 422)


def test_no_two_examples_are_one_job() -> None:
    count = sum(path.read_text(encoding="utf-8").count("\nkind: ") for path in EXAMPLES)
    assert len(examples()) == count


def test_every_example_applies(api: Api) -> None:
    for kind in Kind:
        install(api, definition(kind))
    for (kind_name, name), job in examples().items():
        assert read_job(ok(applied(api, job), 201)).spec.contradiction is None
        ok(api.delete(plural(kind_name), name))


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_jobs_of_a_release_live_on_under_later_ones(api: Api, release: Path) -> None:
    for path in sorted(release.iterdir()):
        install(api, yaml.safe_load(path.read_text(encoding="utf-8")))
    made = {key: ok(applied(api, job), 201) for key, job in examples_of(release).items()}
    assert {kind for kind, _ in made} == set(Kind)
    for key, job in made.items():
        status = {"phase": "Queued", "queue": {"position": 1}}
        made[key] = ok(api.patch(plural(job["kind"]), key[1], {"status": status}, subresource="status"))

    for kind in Kind:
        install(api, definition(kind))
    for (kind_name, name), job in made.items():
        found = api.read(plural(kind_name), name)
        assert keeps(found, job)
        job["spec"] = found["spec"]
        assert read_job(found).status.phase == "Queued"
        assert ok(applied(api, examples()[kind_name, name]))["metadata"]["generation"] == 1
        assert ok(api.patch(plural(kind_name), name, {"spec": {"priority": 9}}))["spec"]["priority"] == 9

    for kind in Kind:
        install(api, a_release_later(definition(kind)))
    for (kind_name, name), job in made.items():
        found = api.read(plural(kind_name), name)
        assert found["spec"] == {**job["spec"], "priority": 9, "flavour": "plain"}
        assert read_job(found).spec.priority == 9
        assert ok(api.patch(plural(kind_name), name, {"spec": {"priority": 4000}}))["spec"]["priority"] == 4000
        told = refused(api.patch(plural(kind_name), name, {"spec": {"prompt": "another"}}), 422)
        assert "can't be changed after creation" in told
        ok(api.delete(plural(kind_name), name))
