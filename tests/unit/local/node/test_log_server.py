"""`kubectl logs`, through the API server to the node."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

KUBECTL = Path(sys.executable).parent / "kubectl"
LINES = "import time\nfor number in range(1, 6): print('line', number, flush=True)\n"
UNTIL_FLAG = """
import os, pathlib, time
print('ready', flush=True)
while not pathlib.Path(os.environ['FLAG']).exists():
    time.sleep(0.01)
print('the end', flush=True)
"""


@pytest.fixture
def kubectl(api):
    def run(*arguments):
        command = [str(KUBECTL), "--kubeconfig", str(api.kubeconfig), "-n", api.namespace, *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    return run


def test_the_log_is_readable_after_the_run(api, node, kubectl):
    node.program("runner", LINES)
    api.run("job-1", "runner")
    api.await_phase("job-1", "Succeeded")

    output, _ = kubectl("logs", "job-1").communicate(timeout=30)

    assert output == "".join(f"line {number}\n" for number in range(1, 6))


@pytest.mark.parametrize(
    ("option", "expected"),
    [("--tail=2", "line 4\nline 5\n"), ("--tail=0", ""), ("--tail=99", None), ("--limit-bytes=8", "line 1\nl")],
)
def test_tail_and_limit_bytes_select_a_part_of_the_log(api, node, kubectl, option, expected):
    node.program("runner", LINES)
    api.run("job-1", "runner")
    api.await_phase("job-1", "Succeeded")

    output, _ = kubectl("logs", option, "job-1").communicate(timeout=30)

    assert output == (expected if expected is not None else "".join(f"line {number}\n" for number in range(1, 6)))


def test_a_followed_log_ends_with_the_run(api, node, kubectl, tmp_path):
    node.program("runner", UNTIL_FLAG)
    flag = tmp_path / "flag"
    api.run("job-1", container={"command": ["runner"], "env": [{"name": "FLAG", "value": str(flag)}]})
    api.await_phase("job-1", "Running")

    following = kubectl("logs", "--follow", "job-1")
    assert following.stdout.readline() == "ready\n"
    flag.touch()
    rest, _ = following.communicate(timeout=30)

    assert rest == "the end\n"
    assert following.returncode == 0


def test_each_container_has_its_own_log(api, node, kubectl, tmp_path):
    """A followed log ends with its container, while another container of the pod still runs."""
    node.program("runner", UNTIL_FLAG)
    node.program("mesh", "import time; print('on guard', flush=True); time.sleep(600)")
    flag = tmp_path / "flag"
    main = {"name": "runner", "image": "x", "command": ["runner"], "env": [{"name": "FLAG", "value": str(flag)}]}
    api.run("job-1", containers=[main, {"name": "mesh", "image": "x", "command": ["mesh"]}])
    api.await_phase("job-1", "Running")

    following = kubectl("logs", "--follow", "job-1", "-c", "runner")
    assert following.stdout.readline() == "ready\n"
    flag.touch()
    rest, _ = following.communicate(timeout=30)

    assert rest == "the end\n"
    assert api.phase("job-1") == "Running"
    other, _ = kubectl("logs", "job-1", "-c", "mesh").communicate(timeout=30)
    assert other == "on guard\n"
    api.delete_pod("job-1", gracePeriodSeconds=0)


def test_a_pod_that_has_not_started_has_no_log_yet(api, node, kubectl):
    api.run("job-1", "runner")
    api.await_waiting("job-1", "ErrImagePull")

    output, _ = kubectl("logs", "job-1").communicate(timeout=30)

    assert "waiting to start" in output


def test_unsupported_options_are_rejected(api, node, kubectl):
    node.program("runner", LINES)
    api.run("job-1", "runner")
    api.await_phase("job-1", "Succeeded")

    output, _ = kubectl("logs", "--timestamps", "job-1").communicate(timeout=30)

    assert "the local node does not support timestamps for logs" in output


def test_logs_of_another_namespace_are_not_found(api, node):
    node.program("runner", LINES)
    api.run("job-1", "runner")
    api.await_phase("job-1", "Succeeded")

    answer = httpx.get(f"http://127.0.0.1:{node.port}/containerLogs/elsewhere/job-1/runner", trust_env=False)

    assert answer.status_code == 404


def test_a_foreign_host_header_is_rejected_against_dns_rebinding(api, node):
    node.program("runner", LINES)
    api.run("job-1", "runner")
    api.await_phase("job-1", "Succeeded")
    url = f"http://127.0.0.1:{node.port}/containerLogs/{api.namespace}/job-1/runner"

    own = httpx.get(url, trust_env=False)
    foreign = httpx.get(url, headers={"Host": f"evil.example:{node.port}"}, trust_env=False)

    assert (own.status_code, "line 1" in own.text) == (200, True)
    assert (foreign.status_code, "line 1" in foreign.text) == (400, False)
