"""The client and the command `darkroom` against a real gateway."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.running_gateway import Gateway

from darkroom_client import Darkroom, Retries
from darkroom_client.cli.main import main

QUICK = Retries(attempts=4, first_seconds=0.05, longest_seconds=0.2)


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DARKROOM_API_KEY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def darkroom(gateway: Gateway) -> Iterator[Darkroom]:
    with Darkroom(str(gateway.http.base_url), retries=QUICK) as client:
        yield client


@pytest.fixture
def photos(tmp_path: Path, picture: Callable[..., bytes]) -> Path:
    """A folder with two photos, a caption and a mask."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("1.jpg", "2.jpg"):
        (folder / name).write_bytes(picture())
    (folder / "1.txt").write_text("sks dog on grass")
    (folder / "1.mask.png").write_bytes(picture(format_="PNG"))
    return folder


@pytest.fixture
def command(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Runs `darkroom` with these words: exit code, stdout and stderr."""
    monkeypatch.setenv("DARKROOM_GATEWAY_URL", str(gateway.http.base_url))
    monkeypatch.setattr("sys.stdin", io.StringIO())

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main(words)
        written = capsys.readouterr()
        return int(exit_.value.code or 0), written.out, written.err

    return run
