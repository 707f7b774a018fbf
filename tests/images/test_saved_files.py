"""Files for nodes without a registry: what they name is what the chart's values ask containerd for."""

import os
import subprocess
import sys
from pathlib import Path

import yaml
from support.containers import Engine, Image

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "images"))

from builders import names_in, qualified  # noqa: E402 (scripts, no package)


def test_a_saved_image_is_the_one_that_the_chart_names(engine: Engine, gateway_image: Image, tmp_path: Path) -> None:
    values = yaml.safe_load((REPOSITORY / "charts" / "darkroom" / "values.yaml").read_text(encoding="utf-8"))
    asked = qualified(f"{values['image']['gateway']['repository']}:saved")
    engine("tag", gateway_image.name, asked)
    script = [sys.executable, str(REPOSITORY / "images" / "build.py"), f"--builder={engine.name}", "--tag=saved"]

    subprocess.run([*script, "--save", str(tmp_path), "gateway"], check=True, env=dict(os.environ))

    assert names_in(tmp_path / "darkroom-gateway-saved.tar") == [asked]
