"""Start-up cost: torch and other heavy libraries are imported only after the input is validated."""

import subprocess
import sys

HEAVY = ("torch", "diffusers", "transformers", "peft", "av", "redis")


def test_importing_the_life_cycle_does_not_import_torch() -> None:
    code = f"import sys, darkroom_runner.lifecycle; print([name for name in {HEAVY!r} if name in sys.modules])"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert loaded.strip() == "[]"
