"""The page names the stages of a run as the contract does, and so as the command line does."""

import re
from importlib import resources

from darkroom_contract.names import Kind
from darkroom_contract.progress import Stage

FORMAT = resources.files("darkroom_gateway.page") / "static" / "js" / "format.js"


def test_page_has_the_contract_s_words_for_stages() -> None:
    assert table("STAGES") == {stage.value: stage.in_words(Kind.GENERATE) for stage in Stage}
    assert f'const DRAWING_SAMPLES = "{Stage.DENOISING.in_words(Kind.TRAIN)}";' in FORMAT.read_text(encoding="utf-8")


def test_page_has_the_contract_s_units_of_steps() -> None:
    assert {stage: table("UNITS").get(stage, "step") for stage in Stage} == {stage: stage.unit for stage in Stage}


def table(name: str) -> dict[str, str]:
    """A constant of the module."""
    text = FORMAT.read_text(encoding="utf-8").partition(f"const {name} = {{")[2].partition("}")[0]
    return dict(re.findall(r'(\w+): "([^"]+)"', text))
