"""Rendered manifests are valid in every supported Kubernetes version."""

import functools
import gzip
import json
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate.utils
import pytest
import yaml
from support.chart import CASES, CHART, Json, Rendering, chart, render, rendered, values

VERSIONS = tuple(f"1.{minor}" for minor in range(30, 38))
CUSTOM = {"HTTPRoute", "ServiceMonitor", "PrometheusRule"}
"""Kinds of other projects' CRDs, without a schema here."""
CLUSTER_WIDE = {"CustomResourceDefinition", "PriorityClass", "ClusterRole"}
MAX_SECRET_BYTES = 1024**2


@pytest.fixture(autouse=True, scope="module")
def schemas_read_once() -> Any:
    """Caches the definitions of a version: they are 2 MB, and would be parsed for every object."""
    patch = pytest.MonkeyPatch()
    original = kubernetes_validate.utils.schema_contents
    patch.setattr(kubernetes_validate.utils, "schema_contents", functools.cache(original))
    yield
    patch.undo()


# Deprecations depend only on the version, and rendered values only on the case.
@pytest.mark.parametrize(
    ("case", "version"), [(case, VERSIONS[0]) for case in CASES[:-1]] + [(CASES[-1], version) for version in VERSIONS]
)
def test_helm_lint_passes(case: str, version: str) -> None:
    report = helm_python.lint(CHART, values(case), strict=True, kube_version=f"v{version}.0")
    problems = [each for each in report["messages"] if each["severity"] > 1]
    assert (report["errors"], problems) == ([], [])


@pytest.fixture(scope="module")
def every_object() -> list[Json]:
    """The objects of all cases, without duplicates."""
    found = (each for case in CASES for each in rendered(case).objects if each["kind"] not in CUSTOM)
    return list({json.dumps(each): each for each in found}.values())


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(version: str, every_object: list[Json]) -> None:
    for each in every_object:
        kubernetes_validate.validate(each, version, strict=True)


def test_invalid_object_is_detected() -> None:
    service = rendered("default").one("Service", "darkroom-gateway")
    with pytest.raises(kubernetes_validate.ValidationError, match="typ"):
        kubernetes_validate.validate({**service, "spec": {**service["spec"], "typ": "ClusterIP"}}, "1.30", strict=True)


def test_helm_rejects_older_clusters() -> None:
    """Scheduling gates, which hold a run's pod until it has its slot, are stable since 1.30."""
    assert chart().metadata["kubeVersion"] == ">=1.30.0-0"


@pytest.mark.parametrize("case", CASES)
def test_objects_are_namespaced_labelled_and_unique(case: str) -> None:
    seen = set()
    for each in rendered(case).objects:
        metadata, kind = each["metadata"], each["kind"]
        assert metadata.get("namespace") == (None if kind in CLUSTER_WIDE else "studio"), kind
        assert metadata["labels"]["app.kubernetes.io/part-of"] == "darkroom", kind
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "Helm", kind
        assert metadata["labels"]["app.kubernetes.io/instance"] == "darkroom", kind
        seen.add((kind, metadata["name"]))
    assert len(seen) == len(rendered(case).objects)


@pytest.mark.parametrize("case", CASES)
def test_selectors_match_only_their_own_pods(case: str) -> None:
    rendering = rendered(case)
    labels = {name: pod["metadata"]["labels"] for name, pod in rendering.pods()}
    for deployment in rendering.of_kind("Deployment"):
        selector = deployment["spec"]["selector"]["matchLabels"]
        assert _selected(selector, labels) == [f"Deployment/{deployment['metadata']['name']}"]
    for service in rendering.of_kind("Service"):
        owner = service["metadata"]["name"].removesuffix("-metrics")
        assert _selected(service["spec"]["selector"], labels) == [f"Deployment/{owner}"]
        container = rendering.one("Deployment", owner)["spec"]["template"]["spec"]["containers"][0]
        assert service["spec"]["ports"][0]["targetPort"] in {port["name"] for port in container["ports"]}


def _selected(selector: Json, labels: Json) -> list[str]:
    return [name for name, own in labels.items() if selector.items() <= own.items()]


@pytest.mark.parametrize("case", CASES)
def test_references_of_pods_exist_or_are_set_by_the_user(case: str) -> None:
    rendering, given = rendered(case), str(values(case))
    for owner, pod in rendering.pods():
        for kind, name in _references(pod):
            assert rendering.has(kind, name) or f"'{name}'" in given, (
                f"{owner} refers to {kind}/{name}, which does not exist"
            )


def _references(pod: Json) -> list[tuple[str, str]]:
    spec = pod["spec"]
    found = [("ServiceAccount", spec["serviceAccountName"])] if "serviceAccountName" in spec else []
    for volume in spec.get("volumes", []):
        if "secret" in volume:
            found.append(("Secret", volume["secret"]["secretName"]))
        if "configMap" in volume:
            found.append(("ConfigMap", volume["configMap"]["name"]))
        if "persistentVolumeClaim" in volume:
            found.append(("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]))
    for container in spec["containers"]:
        for variable in container.get("env", []):
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            found += [("Secret", reference["name"])] if reference else []
    return found


def test_long_release_name_fits_all_names() -> None:
    rendering = render({"tryout": {"s3": {"enabled": True}, "valkey": {"enabled": True}}}, name="r" * 53)
    for each in rendering.objects:
        longest = 63 if each["kind"] == "Service" else 253
        assert len(each["metadata"]["name"]) <= longest
        assert all(len(value) <= 63 for value in each["metadata"]["labels"].values())
        assert not each["metadata"]["name"].endswith("-")


def test_names_that_look_like_numbers_stay_strings() -> None:
    for each in render(values("everything"), name="7", namespace="42").objects:
        if each["kind"] not in CUSTOM:
            kubernetes_validate.validate(each, "1.33", strict=True)
        assert each["metadata"]["labels"]["app.kubernetes.io/instance"] == "7"


def test_chart_image_and_code_have_the_same_version() -> None:
    metadata = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    project = tomllib.loads((CHART.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (metadata["version"], metadata["appVersion"]) == (project["version"], project["version"])


def test_release_fits_into_helm_s_secret(tmp_path: Path) -> None:
    """Compressed chart and manifest, encoded twice in base64: by Helm and by Kubernetes."""
    archive = Path(helm_python.package(CHART, destination=tmp_path))
    manifest = len(_compressed(rendered("everything")))
    assert (archive.stat().st_size + manifest) * 16 / 9 < MAX_SECRET_BYTES / 4


def _compressed(rendering: Rendering) -> bytes:
    return gzip.compress("\n".join(rendering.texts.values()).encode())


def test_package_contains_required_files_and_no_test_values(tmp_path: Path) -> None:
    with tarfile.open(helm_python.package(CHART, destination=tmp_path)) as archive:
        names = {name.removeprefix("darkroom/") for name in archive.getnames()}
    assert {"values.schema.json", "files/crds/trainjobs.darkroom.dev.yaml", "templates/NOTES.txt"} <= names
    assert not [name for name in names if name.startswith("ci/")]


def test_packaged_and_unpacked_render_the_same(tmp_path: Path) -> None:
    archive = Path(helm_python.package(CHART, destination=tmp_path)).read_bytes()
    packaged = helm_python.Chart.load_archive(archive).render({}, name="darkroom", namespace="studio")
    random = {f"darkroom/templates/gateway/{name}.yaml" for name in ("api-keys", "webhooks")}
    ours = rendered("default").texts
    assert {path: text for path, text in packaged.items() if path not in random} == {
        path: text for path, text in ours.items() if path not in random
    }
