"""Connection limits as settings of a real gateway, and its HTTP server configuration."""

import json
import resource
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import BaseModel
from support.raw_http import Connection, get, post

from darkroom_contract.specs.job import NOT_BLANK
from darkroom_gateway.errors import SettingsError
from darkroom_gateway.generation.parameters import LoraParameters
from darkroom_gateway.http.connection_bounds import (
    MAX_URL_BYTES,
    RESERVED_CONNECTIONS,
    RESERVED_DESCRIPTORS,
    ConnectionBounds,
    fit_to_descriptors,
)
from darkroom_gateway.http.protocol import BoundedProtocol
from darkroom_gateway.http.server import server_config
from darkroom_gateway.settings import Settings
from darkroom_gateway.training.parameters import TrainParameters

ROOT = Path(__file__).parents[4]
LOW = {
    "DARKROOM_GATEWAY_HEADER_SECONDS": "1",
    "DARKROOM_GATEWAY_BODY_SECONDS": "1",
    "DARKROOM_GATEWAY_MAX_HEADER_BYTES": "2000",
    "DARKROOM_GATEWAY_MAX_CONNECTIONS": "4",
}


@pytest.fixture(scope="module")
def settings_of_nowhere(kubeconfig_of_nowhere: Path, nowhere: str) -> dict[str, str]:
    settings = {"KUBECONFIG": str(kubeconfig_of_nowhere), "DARKROOM_S3_ENDPOINT_URL": nowhere}
    return settings | {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}


@pytest.fixture(scope="module")
def low(start_gateway: Any, settings_of_nowhere: dict[str, str]) -> Iterator[Any]:
    """A gateway with low limits."""
    with start_gateway(settings_of_nowhere | LOW) as started:
        yield started


@pytest.fixture
def connection(low: Any) -> Iterator[Connection]:
    with Connection(low.http.base_url.port) as made:
        yield made


def test_stalled_upload_gets_a_408_problem(connection: Connection) -> None:
    multipart = ("Content-Type: multipart/form-data; boundary=b", "Content-Length: 100000")
    connection.send(post("/train?prompt=a&model_id=dog", *multipart), b"--b\r\nContent-Disposition: form-data;")

    answer = connection.answer()

    assert (answer.status, answer.problem) == (408, "RequestTimeout")
    assert answer.headers["x-request-id"]
    assert connection.is_closed()


def test_stalled_head_gets_a_408(connection: Connection) -> None:
    connection.send(b"GET /healthz HTTP/1.1\r\nHost: local")
    assert connection.answer().problem == "RequestTimeout"


def test_header_beyond_the_limit_is_refused(low: Any, connection: Connection) -> None:
    connection.send(get("/healthz", "Cookie: " + "x" * 2000))
    answer = connection.answer()
    assert answer.problem == "HeadersTooLarge"
    assert answer.headers["x-request-id"] in low.log()


def test_connections_beyond_the_limit_are_refused_but_probes_are_answered(low: Any) -> None:
    port = low.http.base_url.port
    busy = [Connection(port) for _ in range(4)]
    try:
        for each in busy:
            each.send(b"GET /healthz HTTP/1.1\r\n")
        answers = []
        for path in ("/models", "/healthz"):
            with Connection(port) as late:
                late.send(get(path))
                answers.append(late.answer())
    finally:
        for each in busy:
            each.socket.close()
    assert [answer.status for answer in answers] == [503, 200]
    assert answers[0].problem == "TooManyConnections"
    assert answers[0].headers["x-request-id"] in low.log()


MAX_ENUM_CHARACTERS = 32


@pytest.mark.parametrize("parameters", [TrainParameters, LoraParameters])
def test_longest_texts_fit_into_a_url(parameters: type[BaseModel]) -> None:
    """Each text in characters of four bytes; lists of texts in ASCII, see `MAX_URL_BYTES`."""
    lengths, in_lists = [], []
    for field in parameters.model_json_schema()["properties"].values():
        [schema] = [each for each in field.get("anyOf", [field]) if each.get("type") != "null"]
        if schema.get("type") == "array":
            in_lists.append(schema["maxItems"] * schema["items"].get("maxLength", MAX_ENUM_CHARACTERS))
        elif schema.get("type") == "string" and schema.get("pattern") in (None, NOT_BLANK):
            lengths.append(schema["maxLength"])

    assert max(lengths) >= 1000
    assert sum(lengths) * len(quote("🐕")) + 4096 < MAX_URL_BYTES
    assert sum(lengths) + sum(in_lists) + 4096 < MAX_URL_BYTES


BOUNDS = {
    "max_connections": ("DARKROOM_GATEWAY_MAX_CONNECTIONS", 1, 65_536),
    "header_seconds": ("DARKROOM_GATEWAY_HEADER_SECONDS", 1, 600),
    "max_header_bytes": ("DARKROOM_GATEWAY_MAX_HEADER_BYTES", 1024, 256 * 1024),
    "max_headers": ("DARKROOM_GATEWAY_MAX_HEADERS", 10, 1000),
    "body_seconds": ("DARKROOM_GATEWAY_BODY_SECONDS", 1, 3600),
    "min_body_bytes_per_second": ("DARKROOM_GATEWAY_MIN_BODY_BYTES_PER_SECOND", 1, 1024**3),
    "keep_alive_seconds": ("DARKROOM_GATEWAY_KEEP_ALIVE_SECONDS", 1, 3600),
    "write_seconds": ("DARKROOM_GATEWAY_WRITE_SECONDS", 1, 3600),
}
"""Field, variable, least and most."""


@pytest.mark.parametrize(("field", "variable", "least", "most"), [(name, *rest) for name, rest in BOUNDS.items()])
def test_each_bound_has_an_environment_variable(field: str, variable: str, least: int, most: int) -> None:
    assert getattr(Settings.from_environment({variable: str(least)}).bounds, field) == least
    assert getattr(Settings.from_environment({variable: str(most)}).bounds, field) == most
    for value in (least - 1, most + 1, "x"):
        with pytest.raises(SettingsError, match=variable):
            Settings.from_environment({variable: str(value)})


def test_an_empty_environment_gives_the_default_bounds() -> None:
    assert Settings.from_environment({}).bounds == ConnectionBounds()
    assert set(BOUNDS) == set(ConnectionBounds.model_fields)


LIMITED = """
import json, logging, resource, sys
from darkroom_gateway.http.connection_bounds import ConnectionBounds, fit_to_descriptors
logging.basicConfig(stream=sys.stderr)
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
bounds = fit_to_descriptors(ConnectionBounds(max_connections=int(sys.argv[3])), int(sys.argv[4]))
print(json.dumps([bounds.max_connections, *resource.getrlimit(resource.RLIMIT_NOFILE)]))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "uploads", "connections", "soft_then"),
    [
        (700, 1024, 400, 0, 400, 400 + RESERVED_CONNECTIONS + RESERVED_DESCRIPTORS),
        (700, 2048, 400, 800, 400, 400 + RESERVED_CONNECTIONS + RESERVED_DESCRIPTORS + 800),
        (1024, 1024, 400, 0, 400, 1024),
        (700, 1024, 400, 800, 400, 1024),
        (700, 1024, 4096, 0, 1024 - RESERVED_CONNECTIONS - RESERVED_DESCRIPTORS, 1024),
        (64, 64, 100, 0, 1, 64),
    ],
)
def test_connections_are_limited_by_the_limit_of_open_files(
    soft: int, hard: int, wanted: int, uploads: int, connections: int, soft_then: int
) -> None:
    command = [sys.executable, "-c", LIMITED, str(soft), str(hard), str(wanted), str(uploads)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)

    assert json.loads(ran.stdout) == [connections, soft_then, hard]
    assert ("DARKROOM_GATEWAY_MAX_CONNECTIONS" in ran.stderr) == (connections < wanted)


def test_sufficient_limit_of_open_files_changes_nothing() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert fit_to_descriptors(ConnectionBounds(max_connections=1), 1).max_connections == 1
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


# ---- The same protocol and loop in tests, in the image and by `darkroom up` ----


def test_gateway_logs_its_parser_loop_and_limit(low: Any) -> None:
    assert "HTTP/1.1 by httptools on uvloop, at most 4 connections" in low.log()


def test_protocol_and_loop_do_not_depend_on_installed_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")

    async def application(scope: object, receive: object, send: object) -> None:
        """Never called."""

    config = server_config(application, "127.0.0.1", 0, ConnectionBounds(), 1)
    config.load()

    assert issubclass(config.http_protocol_class, BoundedProtocol)
    assert (config.loop, config.ws_protocol_class, config.workers) == ("uvloop", None, 1)
    # No proxy is trusted: X-Forwarded-For and X-Forwarded-Proto change nothing.
    assert config.loaded_app is application


def test_gateway_extra_requires_and_constraints_pin_protocol_and_loop() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    of_image = (ROOT / "images/locks/gateway.txt").read_text(encoding="utf-8")
    for name in ("httptools", "uvloop", "uvicorn"):
        [asked] = [line for line in extras["gateway"] if line.startswith(name)]
        assert ">=" in asked
        assert "<" in asked
        assert f"\n{name}==" in pins
        assert f"\n{name}==" in of_image
    assert "COPY images/locks/gateway.txt " in (ROOT / "Dockerfile.gateway").read_text("utf-8")


def test_image_starts_the_same_program_as_tests() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert scripts["darkroom-gateway"] == "darkroom_gateway.main:main"
    assert 'CMD ["darkroom-gateway"]' in (ROOT / "Dockerfile.gateway").read_text("utf-8")
