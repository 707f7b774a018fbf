"""Chart.yaml, as Artifact Hub shows it: its icon, CRDs, examples and images are those of the repository."""

import base64
from typing import Any

import helm_python
import jsonschema_rs
import pytest
import yaml
from support.chart import CHART, values
from support.markdown import REPOSITORY, read

CHART_YAML: dict[str, Any] = yaml.safe_load(read(CHART / "Chart.yaml"))
CRDS = [yaml.safe_load(read(path)) for path in sorted((REPOSITORY / "crds").glob("*.yaml"))]


def annotation(name: str) -> Any:
    return yaml.safe_load(CHART_YAML["annotations"][f"artifacthub.io/{name}"])


def test_helm_lint_reports_no_problem() -> None:
    report = helm_python.lint(CHART, values("minimal"), strict=True)
    assert report["messages"] == []


def test_icon_is_the_one_of_the_docs() -> None:
    kind, _, content = CHART_YAML["icon"].partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(content) == (REPOSITORY / "docs" / "pictures" / "icon.svg").read_bytes()


def test_crds_are_those_of_the_chart() -> None:
    listed = {(each["name"], each["kind"], each["version"]) for each in annotation("crds")}
    assert listed == {
        (crd["metadata"]["name"], crd["spec"]["names"]["kind"], version["name"])
        for crd in CRDS
        for version in crd["spec"]["versions"]
    }


@pytest.mark.parametrize("example", annotation("crdsExamples"), ids=lambda example: example["kind"])
def test_example_is_valid(example: dict[str, Any]) -> None:
    [crd] = [each for each in CRDS if each["spec"]["names"]["kind"] == example["kind"]]
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    jsonschema_rs.validate(schema, example)
    assert set(example["spec"]) <= set(schema["properties"]["spec"]["properties"])


def test_images_are_the_default_ones() -> None:
    images = yaml.safe_load(read(CHART / "values.yaml"))["image"]
    expected = {name: f"{image['repository']}:{CHART_YAML['appVersion']}" for name, image in images.items()}
    assert {each["name"]: each["image"] for each in annotation("images")} == expected


def test_license_is_that_of_the_repository() -> None:
    assert CHART_YAML["annotations"]["artifacthub.io/license"] == "Apache-2.0"
    assert "Apache License" in read(REPOSITORY / "LICENSE")
