"""Client input can't forge log lines: every record is one line with the usual prefix."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from support.raw_http import Connection

from darkroom_contract.log_lines import CONTINUATION

FORGED = "2026-11-28 12:00:00,000 INFO darkroom_gateway [-] every key was taken back"
HOSTILE = f"a dog\n{FORGED}\r{FORGED}\u2028{FORGED}\x1b[2K\u202e"

BEGINNING = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+ \[[\w.-]+\] ")


@pytest.fixture(scope="module", params=["open", "with keys"])
def talkative(
    request: pytest.FixtureRequest, start_gateway: Any, environment: dict[str, str], tmp_path_factory: Any
) -> Iterator[Any]:
    settings = {**environment, "DARKROOM_GATEWAY_LOG_LEVEL": "DEBUG"}
    if request.param == "with keys":
        folder: Path = tmp_path_factory.mktemp("keys")
        (folder / "alice").write_text("k" * 20)
        settings["DARKROOM_GATEWAY_API_KEYS_DIR"] = str(folder)
    with start_gateway(settings) as started:
        yield started


def assert_nothing_forged(log: str) -> None:
    lines = log.splitlines()
    assert lines
    for line in lines:
        assert BEGINNING.match(line) or line.startswith(CONTINUATION), line
        assert not line.startswith(FORGED), line
        assert line.isprintable(), line


def test_request_text_can_not_forge_a_log_line(talkative: Any, picture: Any) -> None:
    photo = picture()
    for headers in ({}, {"Authorization": "Bearer " + "k" * 20}):
        http, text = talkative.http, quote(HOSTILE)
        for path in (
            f"/{text}",
            f"/jobs/{text}",
            f"/jobs/{text}/log",
            f"/images?task_id={text}",
            f"/jobs?{text}={text}",
        ):
            http.get(path, headers=headers)
        http.post("/generate/sdxl", params={"prompt": HOSTILE}, headers=headers)
        http.post("/generate/lora", params={"prompt": HOSTILE, "model_id": HOSTILE}, headers=headers)
        files = [("files", (HOSTILE, photo, "image/jpeg")), ("files", (HOSTILE + ".txt", b"no photo", HOSTILE))]
        http.post("/train", params={"prompt": HOSTILE, "model_id": "dog"}, files=files, headers=headers)
        http.get("/jobs", headers={**headers, "Host": b"evil\x1b[2K\x85.example"})

    assert_nothing_forged(talkative.log())
    # Without any of it in the log, the test would prove nothing.
    assert FORGED in talkative.log()


def test_request_id_that_could_forge_a_log_line_is_replaced(talkative: Any) -> None:
    for header in (b"a\x85b", b"a b] x", b"\x1b[2K", "a\u2028b".encode()):
        raw = b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: " + header + b"\r\n\r\n"
        with Connection(talkative.http.base_url.port) as connection:
            connection.send(raw)
            answer = connection.answer()
        assert re.fullmatch(r"[0-9a-f]{16}", answer.headers.get("x-request-id", "0" * 16)), answer

    assert_nothing_forged(talkative.log())
