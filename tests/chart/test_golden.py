"""Golden files of the default render: a change of the chart shows in their diff.

`make golden` writes them. Random values are masked.
"""

import os
import re
from pathlib import Path

import pytest
from support.chart import rendered

GOLDEN = Path(__file__).parent / "golden"
WRITE = bool(os.environ.get("DARKROOM_WRITE_GOLDEN"))
CHANCE = re.compile(r"(?m)^(  (?:default|secrets): ).*$")
"""The API key and the secret of webhooks that are generated at install."""


def _snapshots() -> dict[str, str]:
    texts = rendered("default").texts
    named = {path.removeprefix("darkroom/templates/").replace("/", "-"): text for path, text in texts.items()}
    # The CRDs have their own files and tests.
    wanted = {name: text for name, text in named.items() if text.strip() and name != "crds.yaml"}
    return {name: CHANCE.sub(r"\1(made at install)", text).strip("\n") + "\n" for name, text in wanted.items()}


SNAPSHOTS = _snapshots()


@pytest.mark.parametrize("name", sorted(SNAPSHOTS))
def test_default_render_is_unchanged(name: str) -> None:
    path = GOLDEN / name
    if WRITE:
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(SNAPSHOTS[name], encoding="utf-8")
    kept = path.read_text(encoding="utf-8") if path.exists() else ""
    assert SNAPSHOTS[name] == kept, "if the change is intended, run `make golden` and review its diff"


def test_there_are_no_stale_golden_files() -> None:
    stale = {path.name for path in GOLDEN.iterdir()} - SNAPSHOTS.keys()
    if WRITE:
        for name in stale:
            (GOLDEN / name).unlink()
    assert not stale or WRITE
