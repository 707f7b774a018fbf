"""Outages around the operator: killed, disconnected, objects edited by hand. Real processes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.kube_api import ApiServer, install_crds
from support.operator_processes import Namespace, Node, operator_process, wait_until
from support.server_process import Process
from support.warm_parent.installation import WarmParent

from darkroom_contract.names import LABEL_COMPONENT, slot_lease_name
from darkroom_local.processes.ports import free_ports

LEASE = slot_lease_name(0)


class TestKilledOperator:
    def test_nothing_is_lost_or_done_twice_wherever_it_is_killed(
        self, namespace: Namespace, start_operator: Callable[..., Process]
    ) -> None:
        namespace.create_job("a", priority=1)
        namespace.create_job("b")
        operator = start_operator()
        wait_until(namespace.pods, "a pod is made")
        restart(operator)
        pod = namespace.wait_for_pod("a")
        operator.kill()
        namespace.run_pod(pod)
        namespace.finish_pod(pod)
        operator.start()
        assert namespace.wait_for_phase("a", "Succeeded")["attempts"] == 1
        restart(operator)
        node = Node(namespace)
        node.run_until(namespace.all_succeeded, "all jobs succeed")
        assert node.most_at_once == 1
        assert namespace.status("b")["attempts"] == 1

    def test_it_stops_at_sigterm(self, namespace: Namespace, start_operator: Callable[..., Process]) -> None:
        operator = start_operator()
        namespace.create_job("a")
        namespace.wait_for_pod("a")
        assert operator.stop() == 0


class TestManualEdits:
    def test_a_run_whose_lease_was_deleted_continues_and_keeps_its_slot(
        self, namespace: Namespace, operator: Process
    ) -> None:
        namespace.create_job("a", priority=1)
        pod = namespace.wait_for_pod("a")
        namespace.run_pod(pod)
        namespace.create_job("b")
        namespace.delete("leases", LEASE)
        wait_until(lambda: namespace.exists("leases", LEASE) and pod_in(namespace.lease()), "the Lease is made again")
        assert pod_in(namespace.lease()) == pod["metadata"]["uid"]
        assert len(namespace.active_pods()) == 1
        namespace.finish_pod(pod)
        assert namespace.wait_for_phase("a", "Succeeded")["attempts"] == 1
        namespace.wait_for_pod("b")

    def test_an_end_during_an_outage_counts_even_if_the_lease_is_gone_too(
        self, namespace: Namespace, operator: Process
    ) -> None:
        namespace.create_job("a")
        pod = namespace.wait_for_pod("a")
        operator.kill()
        namespace.create_job("b", priority=9)
        namespace.finish_pod(pod)
        namespace.delete("leases", LEASE)
        operator.start()
        assert namespace.wait_for_phase("a", "Succeeded")["attempts"] == 1
        namespace.wait_for_pod("b")

    def test_a_pod_that_lost_its_labels_is_not_taken_for_deleted(self, namespace: Namespace, operator: Process) -> None:
        namespace.create_job("a", priority=1)
        pod = namespace.wait_for_pod("a")
        namespace.create_job("b")
        namespace.patch("pods", pod["metadata"]["name"], {"metadata": {"labels": {LABEL_COMPONENT: None}}})
        namespace.create_job("c")
        wait_until(lambda: namespace.status("c").get("queue"), "the operator has continued")
        assert len(namespace.active_pods()) == 1
        assert namespace.status("a")["attempts"] == 1

    def test_foreign_objects_with_our_labels_have_no_effect(self, namespace: Namespace, operator: Process) -> None:
        namespace.create_foreign_pod("stranger", {LABEL_COMPONENT: "runner", "darkroom.dev/attempt": "x"})
        namespace.create_lease("darkroom-slot-00")
        job = namespace.create_job("a")
        namespace.create_foreign_pod("impostor", {"darkroom.dev/job-uid": job["metadata"]["uid"]})
        pod = namespace.wait_for_pod("a")
        namespace.delete("pods", pod["metadata"]["name"])
        namespace.finish_pod(namespace.wait_for_pod("a"))
        namespace.wait_for_phase("a", "Succeeded")
        assert "Traceback" not in operator.log()

    def test_a_status_that_was_edited_by_hand_is_corrected(self, namespace: Namespace, operator: Process) -> None:
        namespace.create_job("a", priority=1)
        namespace.wait_for_pod("a")
        namespace.create_job("b")
        wait_until(lambda: namespace.status("b").get("queue"), "b waits")
        edited = {"phase": "Running", "slot": 10**12, "podUid": "x", "failures": 5000}
        namespace.set_job_status("b", **edited, nextAttemptTime="2026-01-01T00:00:00Z")
        namespace.wait_for_phase("b", "Queued")
        namespace.finish_pod(namespace.wait_for_pod("a"))
        namespace.finish_pod(namespace.wait_for_pod("b"))
        namespace.wait_for_phase("b", "Succeeded")


class TestApiServer:
    def test_a_run_continues_while_the_api_server_is_killed_and_restarted(
        self, fresh_api_server: ApiServer, tmp_path: Path, warm_operator: WarmParent
    ) -> None:
        install_crds(fresh_api_server.http)
        namespace = Namespace.create(fresh_api_server, "here")
        with operator_process(namespace, tmp_path, warm_operator.forking_python) as operator:
            namespace.create_job("a")
            pod = namespace.wait_for_pod("a")
            fresh_api_server.kill()
            fresh_api_server.start()
            namespace.finish_pod(pod)
            wait_until(lambda: operator.ended() or namespace.count("Succeeded"), "the operator continues or exits")
            if operator.ended():  # kopf does at some errors; its restarter would start it again.
                operator.start()
            assert namespace.wait_for_phase("a", "Succeeded")["attempts"] == 1

    def test_the_operator_waits_for_the_crds_and_stays_alive(
        self, fresh_api_server: ApiServer, tmp_path: Path, warm_operator: WarmParent
    ) -> None:
        [port] = free_ports(1)
        health = {"DARKROOM_HEALTH_PORT": str(port), "DARKROOM_HEALTH_HOST": "127.0.0.1"}
        namespace = Namespace.create(fresh_api_server, "here")
        with operator_process(namespace, tmp_path, warm_operator.forking_python, **health) as operator:
            wait_until(lambda: "apply crds/ to it" in operator.log(), "the operator logs what it waits for")
            assert httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).text == "ok\n"
            install_crds(fresh_api_server.http)
            namespace.create_job("a")
            namespace.wait_for_pod("a")
            assert httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200

    @pytest.mark.parametrize("narrow_again", [False, True])
    def test_an_unreadable_job_fails_and_blocks_no_other(
        self, fresh_api_server: ApiServer, tmp_path: Path, warm_operator: WarmParent, narrow_again: bool
    ) -> None:
        install_crds(fresh_api_server.http, loosened)
        namespace = Namespace.create(fresh_api_server, "here")
        namespace.create_job("bad", prompt="")
        if narrow_again:
            install_crds(fresh_api_server.http)
        with operator_process(namespace, tmp_path, warm_operator.forking_python):
            namespace.create_job("good", priority=1)
            namespace.create_job("second")
            namespace.finish_pod(namespace.wait_for_pod("good"))
            namespace.wait_for_phase("good", "Succeeded")
            namespace.finish_pod(namespace.wait_for_pod("second"))
            if not narrow_again:
                namespace.wait_for_phase("bad", "Failed")
                assert namespace.condition("bad", "Failed")["reason"] == "InvalidSpec"
                assert "prompt" in namespace.condition("bad", "Failed")["message"]


def loosened(document: dict[str, Any]) -> None:
    for version in document["spec"]["versions"]:
        prompt = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["prompt"]
        prompt.pop("x-kubernetes-validations")


def pod_in(lease: dict[str, Any]) -> str | None:
    uid: str | None = (lease["metadata"].get("annotations") or {}).get("darkroom.dev/pod-uid")
    return uid


def restart(operator: Process) -> None:
    operator.kill()
    operator.start()
