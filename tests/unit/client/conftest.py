"""Fixtures: a scripted gateway, clients that retry without waiting, and an environment without settings."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.scripted_gateway import ScriptedGateway, scripted_gateway

from darkroom_client import Darkroom, Retries

QUICK = Retries(attempts=4, first_seconds=0.001, longest_seconds=0.002, longest_retry_after_seconds=2.0)


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DARKROOM_GATEWAY_URL", "DARKROOM_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    with scripted_gateway() as scripted:
        yield scripted


@pytest.fixture
def darkroom(gateway: ScriptedGateway) -> Iterator[Darkroom]:
    with Darkroom(gateway.url, api_key="secret-key", retries=QUICK) as client:
        yield client


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with two photos, a caption and a mask. Their content is for the gateway to check."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("1.jpg", "1.mask.png", "2.PNG"):
        (folder / name).write_bytes(b"\x89PNG" * 300)
    (folder / "1.txt").write_text("sks dog on grass")
    return folder
