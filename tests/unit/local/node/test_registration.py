"""The Node and its Lease: registration, ownership, deletion."""

from darkroom_local.node.registration import LEASES_PATH

GRACEFUL = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
print('ready', flush=True)
time.sleep(600)
"""
OWN_TAINT = {"key": "darkroom.dev/local-node", "effect": "NoSchedule"}
OTHERS_TAINT = {"key": "example.com/maintenance", "effect": "NoExecute"}


def registered(api, node, wait):
    """The Node, once its status is complete and its Lease exists."""

    def shown():
        response = api.http.get(path_of(node))
        complete = response.status_code == 200 and "daemonEndpoints" in response.json().get("status", {})
        return complete and api.http.get(lease_path_of(node)).status_code == 200 and response.json()

    return wait(shown, "node and Lease exist")


def path_of(node):
    return f"/api/v1/nodes/{node.name}"


def lease_path_of(node):
    return f"{LEASES_PATH}/{node.name}"


def statuses(api, node):
    return [api.http.get(path).status_code for path in (path_of(node), lease_path_of(node))]


def test_the_node_registers_one_gpu_and_its_log_port(api, node, wait):
    status = registered(api, node, wait)["status"]

    assert status["allocatable"]["darkroom.dev/gpu"] == "1"
    assert status["daemonEndpoints"]["kubeletEndpoint"]["Port"] == node.port
    assert [(each["type"], each["status"]) for each in status["conditions"]] == [("Ready", "True")]


def test_a_stopping_node_deletes_its_node_and_lease(own_api, own_node, wait):
    own_node.program("runner", GRACEFUL)
    uid = own_api.run("job-1", "runner")
    own_node.await_log(uid, "ready")
    registered(own_api, own_node, wait)

    assert own_node.stop() == 0

    assert statuses(own_api, own_node) == [404, 404]
    assert own_api.await_phase("job-1", "Failed")["status"]["reason"] == "Terminated"
    own_node.start()
    registered(own_api, own_node, wait)


def test_a_restarted_node_recognizes_the_node_it_created(own_api, own_node, wait):
    before = registered(own_api, own_node, wait)
    own_node.kill()
    lease = own_api.request("GET", lease_path_of(own_node))["spec"]["renewTime"]

    own_node.start()
    wait(lambda: own_api.request("GET", lease_path_of(own_node))["spec"]["renewTime"] != lease, "it renews its Lease")
    assert own_api.request("GET", path_of(own_node))["metadata"]["uid"] == before["metadata"]["uid"]

    assert own_node.stop() == 0
    assert statuses(own_api, own_node) == [404, 404]


def test_a_node_created_by_another_is_tainted_and_never_deleted(own_api, own_node, wait):
    registered(own_api, own_node, wait)
    assert own_node.stop() == 0
    document = {"metadata": {"name": own_node.name}, "spec": {"taints": [OTHERS_TAINT]}}
    assert own_api.http.post("/api/v1/nodes", json=document).status_code == 201

    own_node.start()

    assert registered(own_api, own_node, wait)["spec"]["taints"] == [OTHERS_TAINT, OWN_TAINT]
    assert own_node.stop() == 0
    assert statuses(own_api, own_node) == [200, 200]
    ready = own_api.request("GET", path_of(own_node))["status"]["conditions"]
    assert [(each["status"], each["reason"]) for each in ready] == [("False", "NodeShutdown")]


def test_a_node_recreated_by_another_is_never_deleted(own_api, own_node, wait, frozen):
    """Whether or not the node noticed the replacement before it stops."""
    registered(own_api, own_node, wait)
    frozen(own_node)
    own_api.request("DELETE", path_of(own_node))
    own_api.request("POST", "/api/v1/nodes", json={"metadata": {"name": own_node.name}})

    assert own_node.stop() == 0
    assert statuses(own_api, own_node) == [200, 200]


def test_the_lease_of_a_deleted_node_is_deleted(own_api, own_node, wait, frozen):
    registered(own_api, own_node, wait)
    frozen(own_node)
    own_api.request("DELETE", path_of(own_node))

    assert own_node.stop() == 0
    assert statuses(own_api, own_node) == [404, 404]
