"""An operator that starts while the API server is in trouble. Real processes, and a proxy that makes the trouble."""

from collections.abc import Callable
from pathlib import Path

from support.fault_proxy import FaultProxy, Refusal
from support.operator_processes import ApiServer, Namespace, Process, wait_until

from darkroom_local.kubeconfig import write_kubeconfig


def test_it_waits_for_an_api_server_that_answers_429_and_500(
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
