"""A node that loses contact and comes back: the states of its Node and pods, as on Kubernetes 1.36."""

import pytest

SLEEP = "import time; print('ready', flush=True); time.sleep(600)"
SOON = [{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 2}]


def condition(document, kind):
    return next((each for each in document["status"].get("conditions") or [] if each["type"] == kind), {})


def the_node(api, node):
    return api.request("GET", f"/api/v1/nodes/{node.name}")


def taints(document):
    return {f"{each['key'].rpartition('/')[2]}:{each['effect']}" for each in document["spec"].get("taints") or []}


@pytest.fixture
def running(quick_api, quick_node):
    quick_node.program("runner", SLEEP)
    uid = quick_api.run("job-1", "runner", tolerations=SOON, terminationGracePeriodSeconds=60)
    quick_node.await_log(uid, "ready")
    return quick_api.await_phase("job-1", "Running")


def test_pods_of_a_lost_node_become_unready_without_a_reason_and_are_evicted_later(
    quick_api, quick_node, running, frozen, wait, alive
):
    api, node = quick_api, quick_node
    pid = node.run_of("job-1").pid
    frozen(node)

    wait(lambda: condition(the_node(api, node), "Ready")["status"] == "Unknown", "the node is lost")
    assert condition(the_node(api, node), "Ready")["reason"] == "NodeStatusUnknown"
    wait(lambda: "unreachable:NoExecute" in taints(the_node(api, node)), "the node is tainted")
    pod = wait(lambda: (p := api.pod("job-1")) and condition(p, "Ready")["status"] == "False" and p, "it is unready")
    assert not condition(pod, "Ready").get("reason")
    assert pod["status"]["phase"] == "Running"
    assert pod["status"]["containerStatuses"] == running["status"]["containerStatuses"]

    pod = wait(lambda: (p := api.pod("job-1")) and "deletionTimestamp" in p["metadata"] and p, "it is evicted")
    assert condition(pod, "DisruptionTarget")["reason"] == "DeletionByTaintManager"
    assert pod["status"]["phase"] == "Running"
    assert alive(pid)

    node.resume()
    api.await_gone("job-1")
    assert not alive(pid)
    wait(lambda: condition(the_node(api, node), "Ready")["status"] == "True", "the node is back")
    wait(lambda: taints(the_node(api, node)) == {"local-node:NoSchedule"}, "only the node's own taint is left")


def test_a_node_that_returns_in_time_keeps_its_pods(quick_api, quick_node, frozen, wait):
    api, node = quick_api, quick_node
    node.program("runner", SLEEP)
    uid = api.run("job-1", "runner")
    node.await_log(uid, "ready")
    wait(lambda: condition(api.pod("job-1"), "Ready").get("status") == "True", "the pod is ready")
    frozen(node)
    wait(lambda: condition(api.pod("job-1"), "Ready")["status"] == "False", "the pod is unready")
    assert "deletionTimestamp" not in api.pod("job-1")["metadata"]

    node.resume()

    wait(lambda: condition(api.pod("job-1"), "Ready")["status"] == "True", "the pod is ready again")
    assert len(node.runs()) == 1


def test_no_pod_is_bound_to_a_cordoned_node(api, node, wait):
    node.program("runner", SLEEP)
    cordon(api, node, True)
    wait(lambda: "unschedulable:NoSchedule" in taints(the_node(api, node)), "the node is tainted")

    api.run("job-1", "runner")

    wait(
        lambda: condition(api.pod("job-1"), "PodScheduled").get("reason") == "Unschedulable", "the pod is unschedulable"
    )
    assert "cordoned" in condition(api.pod("job-1"), "PodScheduled")["message"]
    cordon(api, node, False)
    api.await_phase("job-1", "Running")


def cordon(api, node, unschedulable):
    headers = {"Content-Type": "application/merge-patch+json"}
    body = '{"spec":{"unschedulable":%s}}' % ("true" if unschedulable else "null")
    api.request("PATCH", f"/api/v1/nodes/{node.name}", content=body, headers=headers)


def test_a_status_of_the_node_keeps_conditions_of_other_writers(api, node, wait):
    """DisruptionTarget of an eviction is kept when the node reports the end of the run."""
    node.program("runner", "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))\n" + SLEEP)
    uid = api.run("job-1", "runner", terminationGracePeriodSeconds=60)
    node.await_log(uid, "ready")
    path = f"/api/v1/namespaces/{api.namespace}/pods/job-1/eviction"
    with api.watch() as events:
        api.request("POST", path, json={"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "job-1"}})
        last = next(event["object"] for event in events if event["type"] == "DELETED")

    assert condition(last, "DisruptionTarget")["reason"] == "EvictionByEvictionAPI"
    assert last["status"]["phase"] == "Failed"
    assert last["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 75


def test_a_node_shutdown_marks_the_pods_that_it_ended(own_api, own_node):
    own_node.program("runner", "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n" + SLEEP)
    uid = own_api.run("job-1", "runner")
    own_node.await_log(uid, "ready")

    assert own_node.stop() == 0

    pod = own_api.await_phase("job-1", "Failed")
    assert pod["status"]["reason"] == "Terminated"
    assert pod["status"]["message"] == "Pod was terminated in response to imminent node shutdown."
    assert condition(pod, "DisruptionTarget")["reason"] == "TerminationByKubelet"
