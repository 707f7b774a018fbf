"""The `darkroom` command: errors of its options."""

import subprocess
import sys

import pytest

from darkroom_gateway.settings import BusyPolicy
from darkroom_local.cli import _parser, main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["up", "--models", "/nowhere"], "no folder of base models at /nowhere"),
        (["up", "--kubeconfig", "/nowhere"], "/nowhere can't be used as a kubeconfig"),
        (["up", "--state-dir", __file__], f"{__file__} can't be used as the state directory: File exists"),
        (["up", "--state-dir", "/proc/darkroom"], "/proc/darkroom can't be used as the state directory: No such file"),
        (["demo", "--output", __file__], f"{__file__} can't be used as the output folder: File exists"),
    ],
)
def test_invalid_options_fail_with_one_line_before_the_start(tmp_path, arguments, message):
    command = [sys.executable, "-m", "darkroom_local.cli", *arguments]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"darkroom: {message}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["up", "--port", "80000"], "darkroom: --port: '80000' is not a port from 0 to 65535"),
        (["up", "--port", "-1"], "darkroom: --port: '-1' is not a port from 0 to 65535"),
        (["up", "--port", "http"], "darkroom: --port: 'http' is not a port from 0 to 65535"),
        (["up", "--warm-seconds", "-1"], "--warm-seconds: '-1' is not a number of seconds from 0 to 2592000"),
        (["up", "--warm-seconds", "nan"], "--warm-seconds: 'nan' is not a number of seconds from 0 to 2592000"),
        (["up", "--warm-seconds", "1m"], "--warm-seconds: '1m' is not a number of seconds from 0 to 2592000"),
        (["demo", "--max-steps", "20001"], "--max-steps: '20001' is not a whole number from 1 to 20000."),
        (["demo", "--output", ""], "--output: the path is empty."),
        (["up", "--state-dir", ""], "--state-dir: the path is empty. For this folder write a dot: ."),
        (["up", "--kubeconfig", ""], "--kubeconfig: the path is empty. Give a file."),
        (["up", "--busy-policy", "wait"], "--busy-policy: 'wait' is neither Queue nor Reject."),
        (["up", "--namespace", "A B"], "--namespace: 'A B' is not a namespace: use up to 63 lower-case letters"),
        (["up", "--port"], "darkroom: --port needs a value.\n  See: darkroom up --help\n"),
        (["up", "--stat-dir", "x"], "darkroom: up has no option --stat-dir. Did you mean --state-dir?\n"),
        (["up", "here"], "darkroom: up takes no argument here.\n"),
        (["node"], "darkroom: node needs --kubeconfig, --data-dir, --bin-dir, --port.\n"),
        (["demo", "--max-steps", "0"], "darkroom: --max-steps: '0' is not a whole number from 1"),
        (
            ["node", "--kubeconfig=k", "--data-dir=d", "--bin-dir=b", "--port=0"],
            "darkroom: --port: '0' is not a port from 1 to 65535",
        ),
    ],
)
def test_unusable_options_are_named(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)

    written = capsys.readouterr().err
    assert message in written
    assert "usage:" not in written


def test_busy_policy_is_read_in_any_case() -> None:
    assert _parser().parse_args(["up", "--busy-policy", "reject"]).busy_policy is BusyPolicy.REJECT
