"""The state directory: locking, permissions, and persistent ports and credentials."""

import contextlib
import itertools
import json
import os
import socket
import stat
import subprocess
import sys
from dataclasses import replace

import pytest

from darkroom_local.errors import LocalError, StateInUseError
from darkroom_local.processes import ports
from darkroom_local.state.private_files import write_private
from darkroom_local.state.settings import VERSION
from darkroom_local.state.state_dir import StateDir

HOLD = """
import sys, time
from pathlib import Path
from darkroom_local.state.state_dir import StateDir
with StateDir(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    time.sleep(600)
"""


def test_a_locked_directory_is_rejected_until_its_holder_is_killed(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(StateInUseError, match=f"is used by process {holder.pid}"), StateDir(tmp_path).locked():
            pass
        holder.kill()

    with StateDir(tmp_path).locked():
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    assert (tmp_path / "lock").read_text() == ""  # `kill $(cat lock)` must not signal another process later.


def test_ports_and_credentials_persist(tmp_path):
    first = StateDir(tmp_path).settings()

    assert StateDir(tmp_path).settings() == first


def test_new_directory_avoids_the_ports_of_a_running_cluster(tmp_path, monkeypatch):
    """Even if its random numbers are those of the running cluster."""

    def settings(name):
        numbers = itertools.count(1000)
        monkeypatch.setattr(ports.secrets, "randbelow", lambda limit: next(numbers) % limit)
        (tmp_path / name).mkdir()
        return StateDir(tmp_path / name).settings()

    running = set(vars(settings("a").ports).values())
    with contextlib.ExitStack() as servers:
        for port in running:
            servers.enter_context(listening(port))
        chosen = set(vars(settings("b").ports).values())

    assert len(running) == len(chosen) == 6
    assert not running & chosen


@contextlib.contextmanager
def listening(port):
    """Listen on the port, unless another program has taken it in the meantime."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            server.bind(("127.0.0.1", port))
            server.listen()
        yield


def test_two_directories_share_no_credential(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    a, b = (StateDir(tmp_path / name).settings() for name in ("a", "b"))

    assert not set(vars(a.credentials).values()) & set(vars(b.credentials).values())


def test_a_chosen_gateway_port_replaces_only_the_stored_one(tmp_path):
    before = StateDir(tmp_path).settings()

    after = StateDir(tmp_path).settings(gateway_port=8123)

    assert after.ports.gateway == 8123
    assert (after.credentials, after.ports.s3) == (before.credentials, before.ports.s3)
    assert StateDir(tmp_path).settings() == after


def test_only_the_owner_can_read_secrets(tmp_path):
    StateDir(tmp_path).settings()

    assert stat.S_IMODE((tmp_path / "cluster.json").stat().st_mode) == 0o600


def test_a_rewritten_file_is_private_whatever_its_mode_was(tmp_path):
    path = tmp_path / "kubeconfig"
    path.write_text("old")
    path.chmod(0o644)

    write_private(path, "new")

    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o600)


def test_own_files_become_private_and_other_files_stay_unchanged(tmp_path):
    ours, shared = tmp_path / "ours", tmp_path / "shared"
    for folder in (ours, shared):
        (folder / "s3").mkdir(parents=True)
        (folder / "runner-template.yaml").touch()
        for path in (folder, folder / "s3", folder / "runner-template.yaml"):
            path.chmod(0o755)
    (shared / "notes.txt").touch()
    (shared / "notes.txt").chmod(0o644)

    for folder in (ours, shared):
        with StateDir(folder).locked():
            names = ("s3", "runner-template.yaml", "lock")
            assert [_mode(folder / name) for name in names] == [0o700, 0o600, 0o600]

    assert (_mode(ours), _mode(shared), _mode(shared / "notes.txt")) == (0o700, 0o755, 0o644)


def _mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def _rewrite(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_a_directory_of_the_first_release_is_upgraded(tmp_path):
    first = StateDir(tmp_path).settings()
    _rewrite(tmp_path / "cluster.json", lambda document: document.pop("version"))

    assert StateDir(tmp_path).settings() == first
    assert json.loads((tmp_path / "cluster.json").read_text())["version"] == VERSION


def test_a_directory_of_a_newer_release_is_rejected_unchanged(tmp_path):
    StateDir(tmp_path).settings()
    _rewrite(tmp_path / "cluster.json", lambda document: document.update(version=VERSION + 1, ports="elsewhere"))
    before = (tmp_path / "cluster.json").read_bytes()

    with pytest.raises(LocalError, match=r"was written by a newer release .*its version is 2"):
        StateDir(tmp_path).settings()

    assert (tmp_path / "cluster.json").read_bytes() == before


def test_a_new_port_is_chosen_and_an_unknown_one_ignored(tmp_path):
    first = StateDir(tmp_path).settings()

    def change(document):
        del document["ports"]["operator"]
        document["ports"]["of_another_release"] = 20_001

    _rewrite(tmp_path / "cluster.json", change)

    second = StateDir(tmp_path).settings()

    assert replace(second.ports, operator=first.ports.operator) == first.ports
    assert second.credentials == first.credentials
    assert StateDir(tmp_path).settings() == second


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"ports": {}}', '{"version": "one"}', '{"ports": {"s3": "20001"}, "credentials": {}}'],
)
def test_a_damaged_settings_file_is_named(tmp_path, text):
    (tmp_path / "cluster.json").write_text(text)

    with pytest.raises(LocalError, match=r"cluster\.json is damaged"):
        StateDir(tmp_path).settings()
