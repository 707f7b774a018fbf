"""Failures of the node, the API server and the machine: no run is lost, and none is started twice."""

import signal

import pytest

SLEEP = "import time; print('ready', flush=True); time.sleep(600)"
UNTIL_FLAG = """
import os, pathlib, time
print('ready', flush=True)
while not pathlib.Path(os.environ['FLAG']).exists():
    time.sleep(0.01)
pathlib.Path(os.environ['MESSAGE']).write_text('done')
"""
GRACEFUL = """
import os, pathlib, signal, sys, time
def leave(number, frame):
    pathlib.Path(os.environ['MESSAGE']).write_text('saved')
    sys.exit(143)
signal.signal(signal.SIGTERM, leave)
print('ready', flush=True)
time.sleep(600)
"""


@pytest.fixture
def api(own_api):
    return own_api


@pytest.fixture
def node(own_node):
    return own_node


def container(flag):
    environment = {"FLAG": str(flag), "MESSAGE": "/dev/termination-log"}
    return {"command": ["runner"], "env": [{"name": name, "value": value} for name, value in environment.items()]}


def test_runs_end_with_a_killed_node_which_reports_them_after_its_restart(api, node, wait, alive):
    node.program("runner", SLEEP)
    uid = api.run("job-1", "runner")
    node.await_log(uid, "ready")
    pid = node.run_of("job-1").pid

    node.kill()

    wait(lambda: not alive(pid), "the run dies with the node")
    node.start()
    pod = api.await_phase("job-1", "Failed")
    ended = api.state("job-1")["terminated"]
    assert (ended["exitCode"], ended["reason"], pod["status"]["reason"]) == (137, "NodeRestarted", "NodeRestarted")
    run = node.run_of("job-1")
    assert (run.exit_code, run.note) == (137, "lost with the node")


def test_descendants_of_a_run_are_killed_when_the_node_restarts(api, node, alive):
    """The kernel kills only the run's process. The restarted node kills its children before it starts anything."""
    start = f"subprocess.Popen([sys.executable, '-c', {SLEEP!r}], start_new_session=True)"
    node.program("runner", f"import subprocess, sys; print('child', {start}.pid, flush=True)\n{SLEEP}")
    uid = api.run("job-1", "runner")
    node.await_log(uid, "ready")
    log = node.log_of(uid).read_text()
    child = int(log.split("child ")[1].split()[0])

    node.kill()
    assert alive(child)

    node.start()
    api.await_phase("job-1", "Failed")
    assert not alive(child)


def test_a_restarted_node_never_starts_a_pod_again(api, node):
    node.program("runner", SLEEP)
    api.run("job-1", "runner")
    node.await_run("job-1")
    node.kill()

    node.start()
    api.await_phase("job-1", "Failed")
    api.run("job-2", "runner")
    api.await_phase("job-2", "Running")

    assert [run.pod_name for run in node.runs()] == ["job-1", "job-2"]


def test_an_end_during_an_outage_of_the_api_server_is_reported_later(api, api_server, node, tmp_path, wait):
    node.program("runner", UNTIL_FLAG)
    uid = api.run("job-1", container=container(tmp_path / "flag"))
    node.await_log(uid, "ready")

    api_server.kill()
    (tmp_path / "flag").touch()
    wait(lambda: node.run_of("job-1").ended, "the run ends")
    api_server.start()

    api.await_phase("job-1", "Succeeded")
    assert api.state("job-1")["terminated"]["message"] == "done"


def test_a_run_survives_a_restart_of_the_api_server(api, api_server, node, tmp_path):
    node.program("runner", UNTIL_FLAG)
    uid = api.run("job-1", container=container(tmp_path / "flag"))
    node.await_log(uid, "ready")

    api_server.kill()
    api_server.start()
    (tmp_path / "flag").touch()

    api.await_phase("job-1", "Succeeded")
    assert len(node.runs()) == 1


def test_an_end_that_a_killed_node_did_not_report_is_reported_after_its_restart(api, api_server, node, tmp_path, wait):
    node.program("runner", UNTIL_FLAG)
    uid = api.run("job-1", container=container(tmp_path / "flag"))
    node.await_log(uid, "ready")
    api_server.kill()
    (tmp_path / "flag").touch()
    wait(lambda: node.run_of("job-1").ended, "the run ends")
    node.kill()

    api_server.start()
    node.start()

    api.await_phase("job-1", "Succeeded")
    assert api.state("job-1")["terminated"]["message"] == "done"


def test_a_pod_deleted_while_the_node_is_down_is_removed_after_its_restart(api, node):
    node.program("runner", SLEEP)
    api.run("job-1", "runner", terminationGracePeriodSeconds=600)
    api.await_phase("job-1", "Running")
    node.kill()
    api.delete_pod("job-1")
    assert api.pod("job-1") is not None

    node.start()

    api.await_gone("job-1")


def test_a_stopping_node_lets_its_runs_save_their_state(api, node, tmp_path):
    node.program("runner", GRACEFUL)
    uid = api.run("job-1", container=container(tmp_path / "flag"))
    node.await_log(uid, "ready")

    assert node.stop() == 0

    pod = api.await_phase("job-1", "Failed")
    ended = api.state("job-1")["terminated"]
    assert (ended["exitCode"], ended["message"], pod["status"]["reason"]) == (143, "saved", "Terminated")
    assert node.run_of("job-1").note == "stopped with the node"


def test_a_stopping_node_kills_a_run_that_ignores_sigterm(api, node):
    node.program("runner", f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}")
    uid = api.run("job-1", "runner")
    node.await_log(uid, "ready")

    assert node.stop() == 0

    assert node.run_of("job-1").exit_code == 128 + signal.SIGKILL


def test_a_node_can_be_stopped_while_the_api_server_is_down(api, api_server, node):
    node.program("runner", SLEEP)
    uid = api.run("job-1", "runner")
    node.await_log(uid, "ready")
    api_server.kill()

    try:
        assert node.stop() == 0
        assert node.run_of("job-1").note == "stopped with the node"
    finally:
        api_server.start()


def test_a_second_node_with_the_same_data_directory_is_rejected(node):
    message = node.second_start()

    assert f"{node.data_dir} is used by process {node.pid}" in message


def test_an_incomplete_last_line_of_the_journal_is_dropped(api, node):
    node.program("runner", "")
    api.run("job-1", "runner")
    api.await_phase("job-1", "Succeeded")
    node.kill()
    with (node.data_dir / "record.jsonl").open("a") as journal:
        journal.write('{"event": "start", "uid": "0')

    node.start()
    api.run("job-2", "runner")
    api.await_phase("job-2", "Succeeded")

    assert [run.pod_name for run in node.runs()] == ["job-1", "job-2"]
