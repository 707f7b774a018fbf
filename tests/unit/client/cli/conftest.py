"""The command, run in this process."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from support.scripted_gateway import ScriptedGateway

from darkroom_client.cli import connection
from darkroom_client.cli.main import main
from darkroom_client.retries import Retries


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def records(self) -> list[Any]:
        """Of NDJSON."""
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Done]


@pytest.fixture
def run(gateway: ScriptedGateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`darkroom` with these words, against the scripted gateway."""
    monkeypatch.setenv("DARKROOM_GATEWAY_URL", gateway.url)
    # A command does not wait long; here it does not wait at all.
    monkeypatch.setattr(
        connection.connect,
        "__defaults__",
        (
            None,
            Retries(attempts=3, first_seconds=0.001),
        ),
    )

    def run_(*words: str, stdin: str = "") -> Done:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main(words)
        written = capsys.readouterr()
        return Done(int(exit_.value.code or 0), written.out, written.err)

    return run_
