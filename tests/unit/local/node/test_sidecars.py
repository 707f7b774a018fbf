"""Pods with sidecars, as service meshes and log collectors inject them: started and stopped in a kubelet's order."""

import pytest

from darkroom_contract.names import RUNNER_CONTAINER

SLEEP = "import time; print('ready', flush=True); time.sleep(600)"
UNTIL_FLAG = """
import os, pathlib, sys, time
print('ready', flush=True)
flag = pathlib.Path(os.environ['FLAG'])
while not (flag.exists() and flag.read_text()):
    time.sleep(0.01)
sys.exit(int(flag.read_text()))
"""
GRACEFUL = """
import signal, sys, time
def leave(number, frame):
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print('ready', flush=True)
time.sleep(600)
"""
PRINTS_ITS_TIMES = """
import os, pathlib, signal, sys, time
def leave(number, frame):
    print('ends', time.monotonic_ns(), flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print('starts', time.monotonic_ns(), flush=True)
time.sleep(float(os.environ.get('SECONDS', '600')))
leave(0, None)
"""


def a_container(name, command, **environment):
    variables = [{"name": key, "value": str(value)} for key, value in environment.items()]
    return {"name": name, "image": "sidecar:1", "command": [command], "env": variables}


def the_runner(command, **environment):
    return a_container(RUNNER_CONTAINER, command, **environment)


def states(pod):
    shown = [*pod["status"].get("initContainerStatuses", []), *pod["status"]["containerStatuses"]]
    return {each["name"]: next(iter(each["state"])) for each in shown}


def condition(pod, kind):
    return next((each for each in pod["status"]["conditions"] if each["type"] == kind), None)


def times(node, uid, container):
    """The times that a container printed at its start and end."""
    lines = node.log_of(uid, container).read_text().splitlines()
    return {word: int(time) for word, time in (line.split() for line in lines)}


def test_each_container_has_its_own_process_log_and_status(api, node):
    node.program("main", "print('main')")
    node.program("other", "print('other'); raise SystemExit(0)")

    uid = api.run("job-1", containers=[the_runner("main"), a_container("mesh", "other")])
    pod = api.await_phase("job-1", "Succeeded")

    assert [each["name"] for each in pod["status"]["containerStatuses"]] == [RUNNER_CONTAINER, "mesh"]
    assert states(pod) == {RUNNER_CONTAINER: "terminated", "mesh": "terminated"}
    assert node.log_of(uid).read_text() == "main\n"
    assert node.log_of(uid, "mesh").read_text() == "other\n"


def test_a_pod_keeps_running_while_another_container_runs(api, node, wait, tmp_path):
    """Its phase is Running, the runner is terminated, and it is not ready: as on a kubelet with an injected sidecar."""
    node.program("main", UNTIL_FLAG)
    node.program("other", SLEEP)
    flag = tmp_path / "flag"
    api.run("job-1", containers=[the_runner("main", FLAG=flag), a_container("mesh", "other")])
    assert condition(api.await_phase("job-1", "Running"), "Initialized")["status"] == "True"
    wait(lambda: condition(api.pod("job-1"), "Ready")["status"] == "True", "all containers are ready")

    flag.write_text("0")
    wait(lambda: states(api.pod("job-1"))[RUNNER_CONTAINER] == "terminated", "the runner is terminated")

    pod = api.pod("job-1")
    assert pod["status"]["phase"] == "Running"
    assert states(pod)["mesh"] == "running"
    ready = condition(pod, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ContainersNotReady")
    assert ready["message"] == f"containers with unready status: [{RUNNER_CONTAINER}]"
    assert node.run_of("job-1").ended is None

    api.delete_pod("job-1", gracePeriodSeconds=1)
    api.await_gone("job-1")
    assert node.run_of("job-1").exit_code == 0
    assert node.run_of("job-1").ended is not None


def test_a_pod_fails_when_one_of_its_containers_fails(api, node):
    node.program("main", "")
    node.program("other", "raise SystemExit(3)")

    api.run("job-1", containers=[the_runner("main"), a_container("mesh", "other")])
    pod = api.await_phase("job-1", "Failed")

    codes = {each["name"]: each["state"]["terminated"]["exitCode"] for each in pod["status"]["containerStatuses"]}
    assert codes == {RUNNER_CONTAINER: 0, "mesh": 3}
    assert condition(pod, "Ready")["reason"] == "PodFailed"


def test_a_deletion_stops_all_containers(api, node, alive):
    node.program("main", f"import os; print('pid', os.getpid(), flush=True)\n{GRACEFUL}")
    node.program("other", f"import os; print('pid', os.getpid(), flush=True)\n{SLEEP}")
    uid = api.run("job-1", containers=[the_runner("main"), a_container("mesh", "other")])
    node.await_log(uid, "ready")
    api.await_phase("job-1", "Running")
    [pid] = [int(line.split()[1]) for line in node.log_of(uid).read_text().splitlines() if "pid" in line]

    api.delete_pod("job-1", gracePeriodSeconds=1)
    api.await_gone("job-1")

    assert not alive(pid)
    assert (node.run_of("job-1").exit_code, node.run_of("job-1").containers["mesh"].exit_code) == (0, 143)


def test_init_containers_run_in_order_before_the_main_containers(api, node):
    node.program("clock", PRINTS_ITS_TIMES)
    init = [a_container(name, "clock", SECONDS=0.05) for name in ("first", "second")]

    uid = api.run("job-1", containers=[the_runner("clock", SECONDS=0)], initContainers=init)
    pod = api.await_phase("job-1", "Succeeded")

    first, second, main = (times(node, uid, name) for name in ("first", "second", RUNNER_CONTAINER))
    assert first["ends"] < second["starts"] < second["ends"] < main["starts"]
    assert set(states(pod).values()) == {"terminated"}


def test_a_failed_init_container_fails_the_pod_before_anything_else_starts(api, node):
    node.program("main", SLEEP)
    node.program("init", "raise SystemExit(4)")

    uid = api.run("job-1", containers=[the_runner("main")], initContainers=[a_container("init", "init")])
    pod = api.await_phase("job-1", "Failed")

    assert states(pod) == {"init": "terminated", RUNNER_CONTAINER: "waiting"}
    assert condition(pod, "Initialized")["reason"] == "ContainersNotInitialized"
    assert not node.log_of(uid).exists()
    assert node.run_of("job-1").exit_code == 4


def test_a_native_sidecar_starts_before_and_ends_after_the_main_container(api, node):
    """An init container with `restartPolicy: Always` (KEP-753) does not keep the pod from ending."""
    node.program("clock", PRINTS_ITS_TIMES)
    sidecars = [a_container(name, "clock") | {"restartPolicy": "Always"} for name in ("mesh", "logs")]

    uid = api.run("job-1", containers=[the_runner("clock", SECONDS=0.2)], initContainers=sidecars)
    pod = api.await_phase("job-1", "Succeeded")

    main, mesh, logs = (times(node, uid, name) for name in (RUNNER_CONTAINER, "mesh", "logs"))
    assert main["ends"] < logs["ends"] < mesh["ends"]
    assert condition(pod, "Ready")["reason"] == "PodCompleted"
    assert node.run_of("job-1").exit_code == 0


def test_a_native_sidecar_is_restarted_when_it_exits(api, node, wait, tmp_path):
    node.program("main", UNTIL_FLAG)
    node.program("mesh", "raise SystemExit(1)")
    flag = tmp_path / "flag"
    sidecar = a_container("mesh", "mesh") | {"restartPolicy": "Always"}
    api.run("job-1", containers=[the_runner("main", FLAG=flag)], initContainers=[sidecar])

    def restarts():
        shown = (api.pod("job-1")["status"].get("initContainerStatuses") or [{}])[0]
        return shown.get("restartCount")

    wait(restarts, "the sidecar is restarted")
    flag.write_text("0")

    api.await_phase("job-1", "Succeeded")


def test_a_restarted_node_reports_how_a_container_had_ended(own_api, own_node, wait, tmp_path):
    node, api = own_node, own_api
    node.program("main", UNTIL_FLAG)
    node.program("other", SLEEP)
    flag = tmp_path / "flag"
    api.run("job-1", containers=[the_runner("main", FLAG=flag), a_container("mesh", "other")])
    api.await_phase("job-1", "Running")
    flag.write_text("7")
    wait(lambda: node.run_of("job-1").containers, "the end of the runner is in the journal")

    node.kill()
    node.start()
    pod = api.await_phase("job-1", "Failed")

    ends = {each["name"]: each["state"]["terminated"] for each in pod["status"]["containerStatuses"]}
    assert (ends[RUNNER_CONTAINER]["exitCode"], ends[RUNNER_CONTAINER]["reason"]) == (7, "Error")
    assert (ends["mesh"]["exitCode"], ends["mesh"]["reason"]) == (137, "NodeRestarted")


@pytest.mark.parametrize("missing", [RUNNER_CONTAINER, "mesh"])
def test_the_other_containers_wait_for_one_that_cannot_be_started(api, node, wait, missing):
    node.program("there", SLEEP)
    commands = {RUNNER_CONTAINER: "there", "mesh": "there"} | {missing: "missing"}
    api.run("job-1", containers=[a_container(name, command) for name, command in commands.items()])

    def reason(name):
        shown = api.pod("job-1")["status"].get("containerStatuses") or []
        return next((each["state"].get("waiting", {}).get("reason") for each in shown if each["name"] == name), None)

    wait(lambda: reason(missing) == "ErrImagePull", "its state has the reason")
    [other] = set(commands) - {missing}
    assert reason(other) == "ContainerCreating"
    assert node.run_of("job-1") is None
