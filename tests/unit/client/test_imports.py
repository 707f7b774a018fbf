"""The client is small: what it imports, and when. Each test starts an interpreter."""

import json
import subprocess
import sys

import pytest

FORBIDDEN = {"torch", "kopf", "fastapi", "starlette", "boto3", "kubernetes", "PIL", "numpy", "redis", "uvicorn"}
ALLOWED = {
    "annotated_types",
    "anyio",
    "argcomplete",
    "certifi",
    "darkroom_client",
    "darkroom_contract",
    "h11",
    "httpcore",
    "httpx",
    "httpx_sse",
    "idna",
    "markdown_it",
    "mdurl",
    "pydantic",
    "pydantic_core",
    "pydantic_settings",
    "pygments",
    "rich",
    "sniffio",
    "typing_extensions",
    "typing_inspection",
    "yaml",
    "_yaml",
}
"""The client, its extra, and what these bring along."""

PROBE = """
import json, sys
before = set(sys.modules)
{statements}
print(json.dumps(sorted({{name.partition(".")[0] for name in set(sys.modules) - before}})))
"""

EVERYTHING = """
import importlib, pkgutil, sys
sys.modules["httpx._main"] = None
import darkroom_client
for found in pkgutil.walk_packages(darkroom_client.__path__, "darkroom_client."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
"""


def imported(statements: str) -> set[str]:
    command = [sys.executable, "-c", PROBE.format(statements=statements)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    names = set(json.loads(done.stdout))
    return {
        name
        for name in names
        if name not in sys.stdlib_module_names and not name.startswith(("__editable__", "_sysconfigdata"))
    }


def test_whole_client_imports_its_extra_and_nothing_heavy() -> None:
    names = imported(EVERYTHING)
    assert names & FORBIDDEN == set()
    assert names - ALLOWED == set()
    assert "darkroom_client" in names


def test_list_of_jobs_needs_no_tables_no_yaml_and_no_completion() -> None:
    statements = 'import sys; sys.modules["httpx._main"] = None; import darkroom_client.cli.jobs'
    assert imported(statements) & {"rich", "yaml", "argcomplete", "click"} == set()


@pytest.mark.parametrize("words", [["--version"], ["--help"]])
def test_version_and_help_import_no_http_client(words: list[str]) -> None:
    statements = f"""
from darkroom_client.cli.main import main
import contextlib, io
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main({words!r})
"""
    assert imported(statements) & {"httpx", "rich", "pydantic", "yaml", "argcomplete"} == set()
