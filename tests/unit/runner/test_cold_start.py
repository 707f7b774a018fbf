"""What a run costs before it works: torch is loaded only once the input is known to be good."""

import subprocess
import sys

HEAVY = ("torch", "diffusers", "transformers", "peft", "av", "redis")


def test_reading_a_document_and_fetching_photos_loads_no_torch() -> None:
    code = f"import sys, darkroom_runner.lifecycle; print([name for name in {HEAVY!r} if name in sys.modules])"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert loaded.strip() == "[]"
