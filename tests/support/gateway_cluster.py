"""The cluster behind a gateway under test."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from darkroom_contract.names import GROUP, VERSION, Kind
from darkroom_local.kube.kubeconfig import read_kubeconfig
from support.kube_api import MERGE, http_client, install_crds
from support.waiting import waiter

NAMESPACE = "default"
MERGE_PATCH = {"Content-Type": MERGE}

wait_until = waiter(60)


class GatewayCluster:
    """Changes jobs as kubectl and the operator do."""

    def __init__(self, kubeconfig: Path, namespace: str = NAMESPACE) -> None:
        self.namespace = namespace
        self.kubeconfig = kubeconfig
        self.readers: list[httpx.Client] = []
        """Gateways for which methods that write wait until they show the change."""
        self.http = http_client(read_kubeconfig(kubeconfig))

    def install_crds(self) -> None:
        install_crds(self.http)

    def path(self, kind: Kind, name: str = "") -> str:
        return f"/apis/{GROUP}/{VERSION}/namespaces/{self.namespace}/{kind.plural}" + (f"/{name}" if name else "")

    def create(self, kind: Kind, name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
        document = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": kind.value,
            "metadata": {"name": name, "namespace": self.namespace, **metadata},
            "spec": spec,
        }
        created = self._checked(self.http.post(self.path(kind), json=document))
        self._wait_until_seen(kind, name, lambda answer: answer.is_success)
        return created

    def get(self, kind: Kind, name: str) -> dict[str, Any]:
        return self._checked(self.http.get(self.path(kind, name)))

    def exists(self, kind: Kind, name: str) -> bool:
        return self.http.get(self.path(kind, name)).status_code == 200

    def count(self, kind: Kind) -> int:
        return len(self._checked(self.http.get(self.path(kind)))["items"])

    def set_status(self, kind: Kind, name: str, **status: Any) -> None:
        self._checked(
            self.http.patch(
                self.path(kind, name) + "/status", content=json.dumps({"status": status}), headers=MERGE_PATCH
            )
        )
        self._wait_until_seen(kind, name, lambda answer: _shows(answer.json(), status))

    def set_finalizers(self, kind: Kind, name: str, finalizers: list[str]) -> None:
        content = json.dumps({"metadata": {"finalizers": finalizers}})
        self._checked(self.http.patch(self.path(kind, name), content=content, headers=MERGE_PATCH))

    def delete(self, kind: Kind, name: str) -> None:
        self._checked(self.http.delete(self.path(kind, name)))
        self._wait_until_seen(kind, name, lambda answer: answer.status_code == 404 or answer.json()["deleting"])

    def _wait_until_seen(self, kind: Kind, name: str, seen: Callable[[httpx.Response], bool]) -> None:
        path, query = f"/jobs/{name}", {"kind": kind.value}
        for reader in self.readers:
            wait_until(lambda reader=reader: seen(reader.get(path, params=query)), f"a gateway shows {name} as it is")

    @staticmethod
    def _checked(response: httpx.Response) -> dict[str, Any]:
        assert response.is_success, response.text
        document: dict[str, Any] = response.json()
        return document


def _shows(answer: dict[str, Any], status: dict[str, Any]) -> bool:
    """Whether an answer shows the status that was written."""
    position = ((status.get("queue") or {}).get("position"), (answer.get("queue") or {}).get("position"))
    return (
        answer["phase"] == status.get("phase", answer["phase"])
        and answer["attempts"] == status.get("attempts", answer["attempts"])
        and len(answer["conditions"]) == len(status.get("conditions", answer["conditions"]))
        and ("queue" not in status or position[0] == position[1])
    )
