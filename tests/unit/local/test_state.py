"""The state folder: one user at a time, and the same ports and secrets at every start."""

import os
import stat
import subprocess
import sys

import pytest

from darkroom_local.errors import LocalError, StateInUseError
from darkroom_local.state import StateDir, write_private

HOLD = """
import sys, time
from pathlib import Path
from darkroom_local.state import StateDir
with StateDir(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    time.sleep(600)
"""


def test_a_folder_that_another_process_uses_is_refused_and_free_once_that_is_killed(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(StateInUseError, match=f"is used by process {holder.pid}"), StateDir(tmp_path).locked():
            pass
        holder.kill()

    with StateDir(tmp_path).locked():
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_ports_and_credentials_stay_the_same(tmp_path):
    first = StateDir(tmp_path).settings()

    assert StateDir(tmp_path).settings() == first


def test_two_folders_have_nothing_in_common(tmp_path):
    folders = (StateDir(tmp_path / name) for name in ("a", "b"))
    for folder in folders:
        folder.root.mkdir()
    a, b = (StateDir(tmp_path / name).settings() for name in ("a", "b"))

    assert not set(vars(a.ports).values()) & set(vars(b.ports).values())
    assert not set(vars(a.credentials).values()) & set(vars(b.credentials).values())


def test_a_chosen_gateway_port_replaces_the_one_before_and_nothing_else(tmp_path):
    before = StateDir(tmp_path).settings()

    after = StateDir(tmp_path).settings(gateway_port=8123)

    assert after.ports.gateway == 8123
    assert (after.credentials, after.ports.s3) == (before.credentials, before.ports.s3)
    assert StateDir(tmp_path).settings() == after


def test_secrets_are_for_their_owner_only(tmp_path):
    StateDir(tmp_path).settings()

    assert stat.S_IMODE((tmp_path / "cluster.json").stat().st_mode) == 0o600


def test_a_file_that_is_written_anew_is_private_whatever_it_was_before(tmp_path):
    path = tmp_path / "kubeconfig"
    path.write_text("old")
    path.chmod(0o644)

    write_private(path, "new")

    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o600)


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "cluster.json").write_text('{"ports": {}}')

    with pytest.raises(LocalError, match=r"cluster\.json is damaged"):
        StateDir(tmp_path).settings()
