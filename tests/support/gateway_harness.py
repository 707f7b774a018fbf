"""A gateway and an API server that tests can pause, with a proxy between them."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from darkroom_contract.names import Kind
from support.counting_proxy import CountingProxy
from support.kube_api import ApiServer
from support.waiting import waiter

wait_until = waiter(30)


@dataclass
class GatewayHarness:
    """A pausable API server, a client that changes jobs, and gateways behind a proxy."""

    server: ApiServer
    cluster: Any
    proxy: CountingProxy
    gateway: Any
    start: Callable[[str], contextlib.AbstractContextManager[Any]]

    @property
    def http(self) -> httpx.Client:
        client: httpx.Client = self.gateway.http
        return client

    def poll(self, path: str, **query: Any) -> dict[str, Any]:
        response = self.http.get(path, params=query)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def phase(self, name: str, kind: Kind = Kind.GENERATE) -> str | None:
        response = self.http.get(f"/jobs/{name}", params={"kind": kind.value})
        return response.json()["phase"] if response.is_success else None

    def wait_until_watched(self) -> None:
        wait_until(lambda: "stale" not in self.poll("/jobs"), "the gateway watches the cluster")

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Pause the API server's process with SIGSTOP."""
        self.server.pause()
        try:
            yield
        finally:
            self.server.resume()
            self.wait_until_watched()
