"""One program: exit codes, commands of other packages, completion."""

import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from support.markdown import REPOSITORY
from support.scripted_gateway import ScriptedGateway, document, job, problem

from darkroom_client.cli import plugins
from darkroom_client.cli.main import main

from .conftest import Run


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        (problem(404, "UnknownTask"), 3, "darkroom: Something is wrong."),
        (problem(401, "Unauthorized"), 5, "Set DARKROOM_API_KEY"),
        (problem(409, "AmbiguousTask"), 6, "Something is wrong."),
        (problem(422, "InvalidRequest"), 2, "Something is wrong."),
        (problem(503, "NotReady"), 4, "Something is wrong."),
        (document([]), 4, "not a Job of Darkroom"),
    ],
)
def test_exit_code_says_what_failed(gateway: ScriptedGateway, run: Run, answer, code: int, message: str) -> None:
    gateway.script("GET", "/v1/jobs/train-a", answer)
    done = run("job", "train-a")
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_unreachable_gateway_exits_with_4_and_says_how_to_start_one(run: Run) -> None:
    done = run("jobs", "--gateway", "http://127.0.0.1:9")
    assert done.code == 4
    assert "http://127.0.0.1:9 can't be reached: Connection refused." in done.err
    assert "darkroom up" in done.err


@pytest.mark.parametrize(
    ("words", "message", "advice"),
    [
        (("trian", "photos"), "There is no command trian. Did you mean train?", "See: darkroom --help"),
        (("delete", "train-a"), "There is no command delete. Did you mean rm?", "See: darkroom --help"),
        (("demmo",), "There is no command demmo. Did you mean demo?", "See: darkroom --help"),
        (("xyz",), "There is no command xyz.", "See: darkroom --help"),
        (("models", "shwo", "a"), "models has no command shwo. Did you mean show?", "See: darkroom models --help"),
        (("models", "my-dog"), "models has no command my-dog.", "It has: show, rm, import, download."),
        (("train", "a", "--promt", "b"), "train has no option --promt. Did you mean --prompt?", "--help"),
        (
            ("generate", "a dog", "--guidanc", "2"),
            "generate has no option --guidanc. Did you mean --guidance?",
            "--help",
        ),
        (("jobs", "--statsu=Failed"), "jobs has no option --statsu. Did you mean --status?", "--help"),
        (("--jason", "jobs"), "There is no option --jason. Did you mean --json?", "See: darkroom --help"),
        (("generate", "a", "dog"), "generate takes no further argument dog. Put a text", "generate --help"),
        (("generate",), "generate needs PROMPT.", "See: darkroom generate --help"),
        (("job", "a", "--gateway"), "--gateway needs a value.", "See: darkroom job --help"),
    ],
)
def test_wrong_words_get_a_suggestion(run: Run, words: tuple[str, ...], message: str, advice: str) -> None:
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    first, second = done.err.splitlines()
    assert first.startswith(f"darkroom: {message}")
    assert second.endswith(advice)


def test_wrong_usage_is_json_for_scripts(run: Run) -> None:
    error = json.loads(run("jobs", "--limit", "0", "--json").err)["error"]
    assert (error["reason"], error["exit_code"]) == ("WrongUsage", 2)


def test_help_of_a_command_has_two_forms(run: Run) -> None:
    assert run("help", "train").out == run("train", "--help").out


def test_commands_to_copy_name_the_gateway_of_the_option(gateway: ScriptedGateway, run: Run) -> None:
    gateway.script("POST", "/v1/jobs/train-a/suspend", document(job()))
    done = run("suspend", "train-a", "--gateway", gateway.url)
    assert done.err.endswith(f"darkroom resume train-a --gateway {gateway.url}\n")


def test_long_pause_before_another_attempt_is_announced(
    gateway: ScriptedGateway, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    full = problem(429, "QueueFull", Retry_After="30")
    gateway.script("GET", "/v1/jobs/train-a", full, document(job()))
    done = run("job", "train-a")
    announced = "Something is wrong.\nTrying again in 30 s. Ctrl-C ends it."
    assert (done.code, done.err) == (0, f"{announced}\n")
    gateway.script("GET", "/v1/jobs/train-a", full, document(job()))
    assert json.loads(run("job", "train-a", "--json").err) == {"note": announced}


def test_file_that_can_not_be_written_exits_with_7(gateway: ScriptedGateway, run: Run, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    artifact = {"name": "a.png", "role": "image", "url": "/a.png"}
    gateway.script("GET", "/v1/jobs/train-a", document(job(status="Succeeded", artifacts=[artifact])))
    gateway.script("GET", "/a.png", document("picture"))
    done = run("download", "train-a", "-o", str(tmp_path / "out"))
    assert (done.code, f"{tmp_path}/out" in done.err) == (7, True)


class ScriptedEntryPoints:
    """The group of entry points, with one command."""

    def __init__(self, name: str, value: str) -> None:
        self._found = [EntryPoint(name, value, plugins.GROUP)]

    def __call__(self) -> list[EntryPoint]:
        return self._found


seen: list[list[str]] = []


def command_of_a_plugin(words: list[str]) -> None:
    seen.append(words)


def test_command_of_another_package_gets_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_entry_points", ScriptedEntryPoints("up", "plugged_in:command"))
    monkeypatch.setitem(sys.modules, "plugged_in", sys.modules[__name__])
    monkeypatch.setattr(sys.modules[__name__], "command", command_of_a_plugin, raising=False)
    with pytest.raises(SystemExit) as exit_:
        main(["up", "--port", "0"])
    assert exit_.value.code == 0
    assert seen == [["up", "--port", "0"]]


@pytest.mark.parametrize("name", ["up", "demo", "node"])
def test_command_whose_extra_is_missing_names_it(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plugins, "_entry_points", ScriptedEntryPoints(name, "not_installed.cli:main"))
    with pytest.raises(SystemExit, match="2"):
        main([name])
    assert capsys.readouterr().err == (
        f"darkroom: `darkroom {name}` needs the extra local, which is not installed.\n"
        "  Install it in a checkout of Darkroom: pip install '.[local]'\n"
    )


def test_message_before_the_options_are_parsed_is_json_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plugins, "_entry_points", ScriptedEntryPoints("up", "not_installed.cli:main"))
    with pytest.raises(SystemExit, match="2"):
        main(["up", "--json"])
    error = json.loads(capsys.readouterr().err)["error"]
    assert (error["reason"], error["exit_code"]) == ("NotInstalled", 2)
    assert error["advice"].endswith("pip install '.[local]'")

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("darkroom_client.cli.main.find_plugin", interrupt)
    with pytest.raises(SystemExit, match="130"):
        main(["up", "--json"])
    assert json.loads(capsys.readouterr().err) == {"note": "darkroom: interrupted"}


def test_library_that_is_missing_names_its_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darkroom_client.cli.main._run_command", _without_httpx)
    done = run("jobs")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("darkroom: The command line needs the extra client, which is not installed.\n")
    assert json.loads(run("jobs", "--json").err)["error"]["reason"] == "NotInstalled"


def _without_httpx(*_: object) -> int:
    raise ModuleNotFoundError("No module named 'httpx'", name="httpx")


def test_help_lists_the_commands_of_other_packages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plugins, "_entry_points", ScriptedEntryPoints("resize", "a.b:c"))
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    written = capsys.readouterr().out
    for word in ("train ", "generate ", "up ", "demo ", "resize", "0  done"):
        assert f"  {word}" in written or word in written


def test_installation_has_the_program_and_its_known_commands() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"]["darkroom"] == f"{main.__module__}:main"
    assert project["entry-points"][plugins.GROUP] == dict.fromkeys(plugins.KNOWN, "darkroom_local.cli:main")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_printed(run: Run, shell: str) -> None:
    done = run("completion", shell)
    assert done.code == 0
    assert "darkroom" in done.out
    assert "_ARGCOMPLETE" in done.out


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("darkroom can", {"cancel"}),
        ("darkroom cancel tr", {"train-a"}),
        ("darkroom train --ra", {"--rank"}),
        ("darkroom de", {"demo"}),
    ],
)
def test_shell_completes_commands_options_and_ids(gateway: ScriptedGateway, line: str, expected: set[str]) -> None:
    gateway.script("GET", "/v1/jobs", document({"jobs": [job(), job("generate-b")], "total": 2, "next_cursor": None}))
    read, write = os.pipe()
    environment = {
        **os.environ,
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE_STDOUT_FILENAME": f"/dev/fd/{write}",
        "DARKROOM_GATEWAY_URL": gateway.url,
    }
    command = [sys.executable, "-m", "darkroom_client"]
    subprocess.run(command, env=environment, pass_fds=[write], check=True, timeout=60)
    os.close(write)
    with os.fdopen(read) as proposals:
        assert {each.strip() for each in proposals.read().splitlines()} == expected


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_output_is_readable_in_every_locale(gateway: ScriptedGateway, encoding: str) -> None:
    gateway.script("GET", "/v1/jobs", document({"jobs": [job(prompt="a dog \N{DOG FACE} \x9b1m")], "total": 1}))
    environment = {**os.environ, "DARKROOM_GATEWAY_URL": gateway.url, "PYTHONIOENCODING": encoding}
    table, as_json = (
        subprocess.run([sys.executable, "-m", "darkroom_client", *words], capture_output=True, env=environment)
        for words in (["jobs"], ["jobs", "--json"])
    )
    assert (table.returncode, as_json.returncode) == (0, 0)
    assert table.stdout.endswith(b"a dog ? ?1m\n")
    assert b"a dog \\ud83d\\udc36 \\u009b1m" in as_json.stdout
