"""The chart's CRDs are generated from the contract; a release upgrades them and does not delete them."""

import pytest
from support.chart import CHART, chart, render, rendered

from darkroom_contract.crd.definitions import definition
from darkroom_contract.crd.definitions import render as render_definition
from darkroom_contract.names import Kind


@pytest.mark.parametrize("kind", list(Kind))
def test_crd_files_are_generated_from_the_models(kind: Kind) -> None:
    committed = (CHART / "files" / "crds" / f"{kind.crd_name}.yaml").read_text(encoding="utf-8")
    assert committed == render_definition(kind), "run `make generate` and commit charts/darkroom/files/crds"


def test_there_are_no_other_crd_files() -> None:
    assert {path.stem for path in (CHART / "files" / "crds").iterdir()} == {kind.crd_name for kind in Kind}


@pytest.mark.parametrize("kind", list(Kind))
def test_rendered_crds_are_the_definitions_with_helm_metadata(kind: Kind) -> None:
    """For all YAML parsers: 1e-08, as Go formats it, is a string in YAML 1.1."""
    found = rendered("default").one("CustomResourceDefinition", kind.crd_name)
    assert found["spec"] == definition(kind)["spec"]
    assert found["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_upgrade_updates_crds() -> None:
    """Helm never upgrades the contents of a crds folder."""
    assert chart().crds == []


def test_crds_can_be_disabled_or_deleted_with_the_release() -> None:
    assert render({"crds": {"enabled": False}}).of_kind("CustomResourceDefinition") == []
    for found in render({"crds": {"keep": False}}).of_kind("CustomResourceDefinition"):
        assert "annotations" not in found["metadata"]
