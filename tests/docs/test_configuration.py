"""docs/configuration.md is generated from the settings of the three programs, and describes every variable."""

import importlib.util
from typing import Any

import pytest
from support.markdown import REPOSITORY, read

from darkroom_gateway.settings import Settings as GatewaySettings
from darkroom_operator.settings import Settings as OperatorSettings
from darkroom_runner.settings import Settings as RunnerSettings

DOCS = REPOSITORY / "docs"


@pytest.fixture(scope="module")
def generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate_configuration", DOCS / "generate_configuration.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_page_is_the_generated_one(generator: Any) -> None:
    assert read(DOCS / "configuration.md") == generator.page(), "run `make generate` and commit docs/configuration.md"


@pytest.mark.parametrize("settings", [GatewaySettings, OperatorSettings, RunnerSettings])
def test_every_variable_is_described_in_whole_sentences(settings: Any) -> None:
    for name, field in settings.variables().items():
        assert (field.description or "").endswith("."), name
        assert f"| `{name}` |" in read(DOCS / "configuration.md")
