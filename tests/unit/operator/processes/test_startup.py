"""Starting an operator while the API server has a problem. Real processes, and a proxy that causes it."""

from collections.abc import Callable
from pathlib import Path

from aiohttp import web
from support.fault_proxy import FaultProxy, Refusal
from support.kube_api import ApiServer
from support.operator_processes import Namespace, wait_until
from support.server_process import Process

from darkroom_local.kube.kubeconfig import write_kubeconfig
from darkroom_operator.kube.client import PAGE_SIZE


def test_it_waits_while_the_api_server_answers_429_and_500(
    api_server: ApiServer, namespace: Namespace, start_operator: Callable[..., Process], tmp_path: Path
) -> None:
    kubeconfig, troubles = tmp_path / "proxy.yaml", (str(Refusal.TOO_MANY), str(Refusal.BROKEN))
    with FaultProxy(api_server.url, seed=7, request_rate=1) as proxy:
        kubeconfig.write_text(write_kubeconfig(proxy.url, "a-token", namespace.name))
        proxy.begin()
        operator = start_operator(KUBECONFIG=str(kubeconfig))
        wait_until(lambda: operator.ended() or all(proxy.faults[each] for each in troubles), "the operator meets both")
        proxy.calm()
        wait_until(lambda: operator.ended() or namespace.leader(), "it leads as soon as there is calm")
        assert not operator.ended(), operator.log()


def test_no_operator_becomes_the_leader_before_its_cache_is_complete(
    api_server: ApiServer, namespace: Namespace, start_operator: Callable[..., Process], tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "proxy.yaml"
    namespace.create_job("a")
    with NoLists(api_server.url, seed=1, request_rate=0) as proxy:
        kubeconfig.write_text(write_kubeconfig(proxy.url, "a-token", namespace.name))
        proxy.begin()
        operator = start_operator(KUBECONFIG=str(kubeconfig))
        wait_until(lambda: operator.ended() or proxy.faults["list"] > 1, "it has tried to list twice")
        assert namespace.leader() is None
        assert namespace.pods() == []
        proxy.calm()
        namespace.wait_for_pod("a")
        assert namespace.leader() is not None


class NoLists(FaultProxy):
    """Fails every paged list until it is calm. A list of one object, which shows whether a kind is served, works."""

    def _draw_fault(self, request: web.Request, is_watch: bool) -> Refusal | None:
        if self._calm.is_set() or is_watch or request.query.get("limit") != str(PAGE_SIZE):
            return None
        self.faults["list"] += 1
        return Refusal.BROKEN
