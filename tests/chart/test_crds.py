"""The chart's CRDs are the contract's, and a release neither takes them away nor leaves them behind the code."""

import pytest
from support.chart import CHART, chart, render, rendered

from darkroom_contract.crd import definition
from darkroom_contract.crd import render as render_definition
from darkroom_contract.names import Kind


@pytest.mark.parametrize("kind", list(Kind))
def test_the_charts_files_are_what_the_models_make(kind: Kind) -> None:
    committed = (CHART / "files" / "crds" / f"{kind.crd_name}.yaml").read_text(encoding="utf-8")
    assert committed == render_definition(kind), "run `make generate` and commit charts/darkroom/files/crds"


def test_there_are_no_others() -> None:
    assert {path.stem for path in (CHART / "files" / "crds").iterdir()} == {kind.crd_name for kind in Kind}


@pytest.mark.parametrize("kind", list(Kind))
def test_what_is_rendered_is_the_definition_with_helms_marks(kind: Kind) -> None:
    """For every reader of YAML: 1e-08, as Go writes it, is a string in YAML 1.1."""
    found = rendered("default").one("CustomResourceDefinition", kind.crd_name)
    assert found["spec"] == definition(kind)["spec"]
    assert found["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_an_upgrade_renews_them() -> None:
    """Helm never upgrades what is in a crds folder."""
    assert chart().crds == []


def test_they_may_be_somebody_elses_or_go_with_the_release() -> None:
    assert render({"crds": {"enabled": False}}).of_kind("CustomResourceDefinition") == []
    for found in render({"crds": {"keep": False}}).of_kind("CustomResourceDefinition"):
        assert "annotations" not in found["metadata"]
