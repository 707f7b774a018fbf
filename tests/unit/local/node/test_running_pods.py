"""From a pending pod to the end of its process, as the operator observes it."""

import json
import signal

from darkroom_local.node.journal import overlapping_runs

SLEEP = "import time; print('ready', flush=True); time.sleep(600)"
GRACEFUL = """
import signal, sys, time
def leave(number, frame):
    open(TERMINATION, 'w').write('saved')
    sys.exit(143)
import os; TERMINATION = os.environ['MESSAGE']
signal.signal(signal.SIGTERM, leave)
print('ready', flush=True)
time.sleep(600)
"""
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
)
MESSAGE = {"env": [{"name": "MESSAGE", "value": "/dev/termination-log"}]}


def test_a_successful_run_reports_its_termination_message(api, node):
    node.program("runner", "import os; open(os.environ['MESSAGE'], 'w').write('all good')")

    api.run("job-1", "runner", container={"command": ["runner"], **MESSAGE})
    pod = api.await_phase("job-1", "Succeeded")

    (status,) = pod["status"]["containerStatuses"]
    ended = status["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (0, "Completed", "all good")
    assert ended["startedAt"] <= ended["finishedAt"]
    assert pod["spec"]["nodeName"] == node.name
    assert not status["ready"]


def test_a_running_pod_is_ready_and_has_a_start_time(api, node):
    node.program("runner", SLEEP)

    api.run("job-1", "runner")
    status = api.await_phase("job-1", "Running")["status"]

    assert status["containerStatuses"][0]["state"]["running"]["startedAt"]
    conditions = {each["type"]: each["status"] for each in status["conditions"]}
    assert conditions == {"PodScheduled": "True", "Initialized": "True", "ContainersReady": "True", "Ready": "True"}


def test_a_failed_run_reports_its_exit_code_and_the_end_of_a_long_termination_message(api, node):
    node.program("runner", "import os, sys; open(os.environ['MESSAGE'], 'w').write('x' * 5000 + 'end'); sys.exit(75)")

    api.run("job-1", "runner", container={"command": ["runner"], **MESSAGE})
    api.await_phase("job-1", "Failed")

    ended = api.state("job-1")["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (75, "Error")
    assert len(ended["message"]) == 4096
    assert ended["message"].endswith("xend")


def test_a_gated_pod_is_not_started_until_its_gate_is_removed(api, node):
    node.program("runner", SLEEP)
    api.run("gated", "runner", schedulingGates=[{"name": "darkroom.dev/slot"}])
    api.run("free", "runner")
    api.await_phase("free", "Running")

    assert api.phase("gated") == "Pending"
    assert node.run_of("gated") is None

    api.patch_pod("gated", {"spec": {"schedulingGates": None}})
    api.await_phase("gated", "Running")


def test_pods_bound_together_overlap_in_the_journal(api, node):
    """Running one job at a time is the operator's task. The node must not hide a violation."""
    node.program("runner", SLEEP)
    for name in ("job-1", "job-2"):
        api.run(name, "runner")
    for name in ("job-1", "job-2"):
        api.await_phase(name, "Running")

    assert len(overlapping_runs(node.runs())) == 1


def test_a_pod_that_requests_a_missing_resource_is_unschedulable(api, node, wait):
    resources = {"limits": {"nvidia.com/gpu": "1"}, "requests": {"nvidia.com/gpu": "1"}}
    node.program("runner", SLEEP)

    api.run("job-1", "runner", container={"command": ["runner"], "resources": resources})

    def unschedulable():
        conditions = api.pod("job-1")["status"].get("conditions") or []
        return next((each for each in conditions if each.get("reason") == "Unschedulable"), None)

    assert "nvidia.com/gpu" in wait(unschedulable, "the pod is unschedulable")["message"]
    assert node.run_of("job-1") is None


def test_a_deleted_pod_gets_sigterm_and_is_removed_when_its_process_ended(api, node):
    node.program("runner", GRACEFUL)
    uid = api.run("job-1", "runner", container={"command": ["runner"], **MESSAGE}, terminationGracePeriodSeconds=60)
    node.await_log(uid, "ready")

    api.delete_pod("job-1")
    api.await_gone("job-1")

    run = node.run_of("job-1")
    assert (run.exit_code, run.note) == (143, "")


def test_the_end_of_a_deleted_pod_is_reported_before_its_removal(api, node):
    node.program("runner", GRACEFUL)
    uid = api.run("job-1", "runner", container={"command": ["runner"], **MESSAGE}, terminationGracePeriodSeconds=60)
    node.await_log(uid, "ready")
    with api.watch() as events:
        api.delete_pod("job-1")

        last = next(event["object"] for event in events if event["type"] == "DELETED")

    ended = last["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["message"]) == (143, "saved")
    assert last["status"]["phase"] == "Failed"


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace_period(api, node):
    node.program("runner", STUBBORN)
    uid = api.run("job-1", "runner", terminationGracePeriodSeconds=60)
    node.await_log(uid, "ready")

    api.delete_pod("job-1", gracePeriodSeconds=1)
    api.await_gone("job-1")

    run = node.run_of("job-1")
    assert run.exit_code == 128 + signal.SIGKILL
    assert run.end_ns - run.start_ns >= 1e9


def test_a_forced_deletion_kills_at_once(api, node, wait):
    node.program("runner", STUBBORN)
    uid = api.run("job-1", "runner", terminationGracePeriodSeconds=600)
    node.await_log(uid, "ready")

    api.delete_pod("job-1", gracePeriodSeconds=0)

    wait(lambda: node.run_of("job-1").ended is not None, "the run ends")
    assert node.run_of("job-1").exit_code == 128 + signal.SIGKILL


def test_descendants_in_another_session_are_killed_before_the_end_is_in_the_journal(api, node, alive):
    start = f"subprocess.Popen([sys.executable, '-c', {SLEEP!r}], start_new_session=True)"
    node.program("runner", f"import subprocess, sys; print({start}.pid)")
    uid = api.run("job-1", "runner")
    api.await_phase("job-1", "Succeeded")

    descendant = int(node.log_of(uid).read_text().split()[0])

    assert not alive(descendant)


def test_the_directory_of_a_deleted_pod_is_removed(api, node, wait):
    node.program("runner", "")
    uid = api.run("job-1", "runner")
    api.await_phase("job-1", "Succeeded")
    folder = node.data_dir / "pods" / uid
    assert folder.exists()

    api.delete_pod("job-1")

    wait(lambda: not folder.exists(), "the directory is removed")


def test_a_missing_program_is_reported_like_a_missing_image_and_retried(api, node):
    api.run("job-1", "runner")

    message = api.await_waiting("job-1", "ErrImagePull")
    assert "there is no program runner" in message
    assert "darkroom/runner:local" in message

    node.program("runner", SLEEP)
    api.await_phase("job-1", "Running")


def test_a_program_outside_the_bin_folder_is_rejected(api, node):
    api.run("absolute", "/bin/true")
    api.run("relative", "../../../bin/true")

    for name in ("absolute", "relative"):
        assert "the local node runs only programs in it" in api.await_waiting(name, "ErrImagePull")


def test_a_pod_waits_for_a_missing_secret(api, node):
    node.program("runner", SLEEP)
    api.run("job-1", "runner", container={"command": ["runner"], "envFrom": [{"secretRef": {"name": "keys"}}]})

    assert api.await_waiting("job-1", "CreateContainerConfigError") == 'secret "keys" not found'

    api.create("secrets", {"metadata": {"name": "keys"}})
    api.await_phase("job-1", "Running")


VARIABLES = {
    "command": ["runner"],
    "env": [
        {"name": "KEY", "value": "of the pod"},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "SCRATCH", "value": "/scratch"},
        {"name": "BELOW", "value": "/scratch/cache/hub"},
        {"name": "BESIDE", "value": "/scratchy"},
        {"name": "OUTSIDE", "value": "/scratch/../etc"},
        {"name": "PRICE", "value": "$$5 for $(NAME), not $(NOBODY)"},
        {"name": "MESSAGE", "value": "/dev/termination-log"},
    ],
    "envFrom": [{"secretRef": {"name": "keys"}}, {"configMapRef": {"name": "map"}}],
    "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
}


def test_the_environment_comes_from_the_pod_only(api, node):
    node.program("runner", "import json, os; print(json.dumps(dict(os.environ)))")
    api.create("secrets", {"metadata": {"name": "keys"}, "stringData": {"KEY": "of the secret", "OTHER": "1"}})
    api.create("configmaps", {"metadata": {"name": "map"}, "data": {"MAPPED": "yes"}})
    uid = api.run("job-1", container=VARIABLES, volumes=[{"name": "scratch", "emptyDir": {}}])
    api.await_phase("job-1", "Succeeded")

    folder, pod_folder = node.folder_of(uid), node.data_dir / "pods" / uid
    environment = json.loads((folder / "log").read_text())
    environment.pop("LC_CTYPE", None)  # Set by Python.
    assert environment == {
        "PATH": f"{node.bin_dir}:/bin:/usr/bin",
        "HOME": str(folder / "tmp"),
        "TMPDIR": str(folder / "tmp"),
        "LANG": "C.UTF-8",
        "KEY": "of the pod",
        "OTHER": "1",
        "MAPPED": "yes",
        "NAME": "job-1",
        "SCRATCH": str(pod_folder / "volumes/scratch"),
        "BELOW": str(pod_folder / "volumes/scratch/cache/hub"),
        "BESIDE": "/scratchy",
        "OUTSIDE": "/scratch/../etc",
        "PRICE": "$5 for job-1, not $(NOBODY)",
        "MESSAGE": str(folder / "termination-log"),
    }


def test_unsupported_pods_wait_with_the_reason(api, node):
    node.program("runner", "")
    api.run("always", "runner", restartPolicy="Always")
    api.run("disk", "runner", volumes=[{"name": "disk", "hostPath": {"path": "/etc"}}])

    assert "restartPolicy must be Never, not Always" in api.await_waiting("always", "CreateContainerConfigError")
    assert "emptyDir and downwardAPI volumes only" in api.await_waiting("disk", "CreateContainerConfigError")
