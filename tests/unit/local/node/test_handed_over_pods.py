"""A running pod whose labels, owner and annotations change: its files, the journal, its log and garbage collection."""

import json

from darkroom_contract.names import LABEL_ATTEMPT, LABEL_JOB_UID
from darkroom_local.node.journal import runs_by_job

VOLUME = {
    "name": "handover",
    "downwardAPI": {
        "items": [
            {"path": "run", "fieldRef": {"fieldPath": "metadata.annotations['darkroom.dev/run']"}},
            {"path": "owner", "mode": 0o400, "fieldRef": {"fieldPath": "metadata.labels['darkroom.dev/job-uid']"}},
        ]
    },
}
POLLING = """
import os, sys, time
path, last = os.path.join(os.environ["DARKROOM_HANDOVER_DIR"], "run"), None
while last != "end":
    try:
        text = open(path).read()
    except FileNotFoundError:
        continue
    if text != last:
        owner = open(os.path.join(os.path.dirname(path), "owner")).read()
        print(f"<{text}> of <{owner}>", flush=True)
        last = text
    time.sleep(0.01)
"""
CONTAINER = {
    "command": ["runner"],
    "env": [{"name": "DARKROOM_HANDOVER_DIR", "value": "/etc/darkroom/handover"}],
    "volumeMounts": [{"name": "handover", "mountPath": "/etc/darkroom/handover", "readOnly": True}],
}


def labels_of(uid, attempt=1):
    return {LABEL_JOB_UID: uid, LABEL_ATTEMPT: str(attempt)}


def a_polling_pod(api, node, name):
    """Its uid, once it has read its empty file."""
    node.program("runner", POLLING)
    uid = api.run(name, container=CONTAINER, volumes=[VOLUME])
    node.await_log(uid, "<> of <>")
    return uid


def test_changed_annotation_reaches_the_running_process(api, node):
    uid = a_polling_pod(api, node, "warm")

    api.patch_pod("warm", {"metadata": {"annotations": {"darkroom.dev/run": '{"name":"second"}'}}})

    node.await_log(uid, '<{"name":"second"}> of <>')


def test_labels_are_in_the_journal_before_the_files_follow(api, node):
    uid = a_polling_pod(api, node, "warm")

    both = {"labels": labels_of("second"), "annotations": {"darkroom.dev/run": "end"}}
    api.patch_pod("warm", {"metadata": both})
    api.await_phase("warm", "Succeeded")

    assert "<end> of <second>" in node.log_of(uid).read_text()
    [run] = node.runs()
    [change] = run.label_changes
    assert change.labels[LABEL_JOB_UID] == "second"
    assert run.began < change.line < run.ended
    first, second = runs_by_job([run])
    assert (first.labels.get(LABEL_JOB_UID), second.labels[LABEL_JOB_UID]) == (None, "second")
    assert (first.ended, second.exit_code) == (second.began, 0)


def test_a_pod_that_is_stopped_gets_no_further_changes(api, node):
    """Like a kubelet, which does not remount the volumes of a terminating pod."""
    ignoring = "import signal; signal.signal(signal.SIGTERM, lambda *_: print('stopping', flush=True))\n"
    node.program("runner", ignoring + POLLING)
    uid = api.run("warm", container=CONTAINER, volumes=[VOLUME], terminationGracePeriodSeconds=60)
    node.await_log(uid, "<> of <>")
    api.delete_pod("warm")
    node.await_log(uid, "stopping")

    api.patch_pod("warm", {"metadata": {"annotations": {"darkroom.dev/run": "too late"}}})
    node.await_log(api.run("later", container=CONTAINER, volumes=[VOLUME]), "<> of <>")

    assert (node.data_dir / "pods" / uid / "volumes/handover/run").read_text() == ""


def test_the_log_of_a_relabelled_pod_continues(api, node):
    a_polling_pod(api, node, "warm")
    both = {"labels": labels_of("second"), "annotations": {"darkroom.dev/run": "end"}}
    api.patch_pod("warm", {"metadata": both})
    api.await_phase("warm", "Succeeded")

    log = api.http.get(f"/api/v1/namespaces/{api.namespace}/pods/warm/log").text

    assert [line.partition(" ")[0] for line in log.splitlines()] == ["<>", "<end>"]


def an_owner(api, name):
    owner = api.create("configmaps", {"metadata": {"name": name}})
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": owner["metadata"]["uid"], "controller": True}


def test_a_pod_with_a_new_owner_survives_the_deletion_of_the_old_one(api, node):
    first, second = (an_owner(api, name) for name in ("first", "second"))
    uid = a_polling_pod(api, node, "warm")
    api.patch_pod("warm", {"metadata": {"ownerReferences": [first]}})
    api.patch_pod("warm", {"metadata": {"ownerReferences": [second], "labels": labels_of("second")}})

    api.request("DELETE", f"/api/v1/namespaces/{api.namespace}/configmaps/first")
    api.patch_pod("warm", {"metadata": {"annotations": {"darkroom.dev/run": "still here"}}})
    node.await_log(uid, "<still here>")
    assert "deletionTimestamp" not in api.pod("warm")["metadata"]

    api.request("DELETE", f"/api/v1/namespaces/{api.namespace}/configmaps/second")
    api.await_gone("warm")


def test_label_changes_survive_a_restart_of_the_node(own_api, own_node):
    uid = a_polling_pod(own_api, own_node, "warm")
    both = {"labels": labels_of("second"), "annotations": {"darkroom.dev/run": "read"}}
    own_api.patch_pod("warm", {"metadata": both})
    own_node.await_log(uid, "<read>")

    own_node.kill()
    own_node.start()
    own_api.await_phase("warm", "Failed")

    [run] = own_node.runs()
    assert run.newest_labels[LABEL_JOB_UID] == "second"
    assert [each.note for each in runs_by_job([run])] == ["", "lost with the node"]


VARIABLES = {
    "command": ["runner"],
    "env": [
        {"name": "JOB", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['darkroom.dev/job-name']"}}},
        {"name": "NONE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['darkroom.dev/none']"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
        {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "requests.memory", "divisor": "1Mi"}}},
    ],
    "resources": {"requests": {"memory": "1Gi"}},
}


def test_variables_have_fields_of_the_pod(api, node):
    node.program("runner", "import json, os; print(json.dumps(dict(os.environ)))")
    uid = api.run("job-1", container=VARIABLES)
    api.await_phase("job-1", "Succeeded")

    environment = json.loads(node.log_of(uid).read_text())
    names = ("JOB", "NONE", "NODE", "HOST", "MEMORY")
    assert [environment[name] for name in names] == ["job-of-job-1", "", node.name, "127.0.0.1", "1024"]


def test_variable_of_an_unsupported_field_keeps_the_container_from_starting(api, node):
    node.program("runner", "")
    address = {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    api.run("job-1", container={"command": ["runner"], "env": [address]})

    assert "pods of the local node have no addresses" in api.await_waiting("job-1", "CreateContainerConfigError")
