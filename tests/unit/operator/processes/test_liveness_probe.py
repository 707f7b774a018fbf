"""What fails the liveness probe and what does not: a real operator behind a proxy that can stop answering."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from support.holding_proxy import HoldingProxy
from support.kube_api import ApiServer
from support.operator_processes import Namespace, wait_until
from support.server_process import Process

from darkroom_local.kube.kubeconfig import write_kubeconfig
from darkroom_local.processes.ports import free_ports

STUCK_SECONDS = 3.0


@pytest.fixture
def proxy(api_server: ApiServer) -> Iterator[HoldingProxy]:
    proxy = HoldingProxy(urlsplit(api_server.url).port or 0)
    yield proxy
    proxy.close()


@pytest.fixture
def probe(
    proxy: HoldingProxy, namespace: Namespace, start_operator: Callable[..., Process], tmp_path: Path
) -> Callable[[], httpx.Response]:
    """The liveness probe of an operator that only knows the proxy, and has just ungated a pod of job `a`."""
    kubeconfig, [port] = tmp_path / "proxy.yaml", free_ports(1)
    kubeconfig.write_text(write_kubeconfig(proxy.url, "a-token", namespace.name))
    start_operator(
        KUBECONFIG=str(kubeconfig),
        DARKROOM_HEALTH_HOST="127.0.0.1",
        DARKROOM_HEALTH_PORT=str(port),
        DARKROOM_LEASE_SECONDS="1",
        DARKROOM_WATCH_STUCK_SECONDS=str(STUCK_SECONDS),
    )
    namespace.create_job("a")
    namespace.wait_for_pod("a")
    return lambda: httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False)


def is_watch_of_leases(request: bytes) -> bool:
    return b"/leases?" in request and b"watch=true" in request


def test_it_fails_while_a_watch_is_silent_although_requests_are_answered(
    probe: Callable[[], httpx.Response], proxy: HoldingProxy
) -> None:
    assert probe().text == "ok\n"
    proxy.hold(is_watch_of_leases)
    wait_until(lambda: probe().status_code == 503, "the probe fails")
    assert "the watch of leases has not delivered version" in probe().text
    proxy.release()
    wait_until(lambda: probe().text == "ok\n", "the watch has caught up")


def test_it_passes_while_the_api_server_accepts_requests_and_answers_nothing(
    probe: Callable[[], httpx.Response], proxy: HoldingProxy, namespace: Namespace
) -> None:
    proxy.hold(is_watch_of_leases)
    renewed = namespace.leadership()["renewTime"]
    wait_until(lambda: namespace.leadership()["renewTime"] != renewed, "the watch has something to show")
    proxy.hold(lambda _: True)
    end = time.monotonic() + 2 * STUCK_SECONDS
    wait_until(lambda: probe().status_code == 503 or time.monotonic() > end, "time has passed")
    assert probe().text == "ok\n"
    proxy.release()
    namespace.finish_pod(namespace.wait_for_pod("a"))
    namespace.wait_for_phase("a", "Succeeded")
    assert probe().text == "ok\n"
