"""The page names the stages of a run as the contract does, and so as the command line does."""

import re
from importlib import resources

from darkroom_contract.progress import Stage

FORMAT = resources.files("darkroom_gateway.page") / "static" / "js" / "format.js"


def test_page_has_the_contract_s_words_for_stages() -> None:
    table = FORMAT.read_text(encoding="utf-8").partition("const STAGES = {")[2].partition("}")[0]
    assert dict(re.findall(r'(\w+): "([^"]+)"', table)) == {stage.value: stage.in_words for stage in Stage}
