"""Plain HTTP to a Kubernetes API server, and the embedded one as a process. For the tests of API servers."""

import contextlib
import json
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import yaml

from darkroom_contract.crd.definitions import definition
from darkroom_contract.names import GROUP, VERSION, Kind
from darkroom_local.kube.kubeconfig import Connection, pinned_kubeconfig, read_kubeconfig, write_kubeconfig
from darkroom_local.processes.ports import free_ports
from support.server_process import Process
from support.waiting import waiter

Json = dict[str, Any]

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
CRDS_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WAIT_SECONDS = 60.0
"""Long enough for a busy machine; waiting ends as soon as the condition holds."""

wait_until = waiter(WAIT_SECONDS)


def http_client(connection: Connection) -> httpx.Client:
    headers = {"Authorization": f"Bearer {connection.token}"} if connection.token else {}
    limits = httpx.Limits(max_connections=None)
    return httpx.Client(
        base_url=connection.server,
        headers=headers,
        verify=connection.verify,
        trust_env=False,
        timeout=30,
        limits=limits,
    )


class Api:
    """One API server, and the namespace to work in. Answers are responses: what they say is up to the test."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.kubeconfig = kubeconfig
        self.namespace = namespace
        self.http = http_client(read_kubeconfig(kubeconfig))

    def path(self, plural: str, name: str = "", subresource: str = "", namespace: str | None = None) -> str:
        """`pods`, or `trainjobs.darkroom.dev/v1alpha1` for kinds outside of the core group."""
        plural, _, group_version = plural.partition(".")
        root = f"/apis/{group_version}" if group_version else "/api/v1"
        parts = [root, f"namespaces/{namespace or self.namespace}", plural, name, subresource]
        return "/".join(part for part in parts if part)

    def get(self, plural: str, name: str = "", **query: Any) -> httpx.Response:
        return self.http.get(self.path(plural, name), params=query)

    def exists(self, plural: str, name: str) -> bool:
        return self.get(plural, name).status_code == 200

    def read(self, plural: str, name: str) -> Json:
        return ok(self.get(plural, name))

    def create(self, plural: str, document: Json, **query: Any) -> httpx.Response:
        return self.http.post(self.path(plural), json=document, params=query)

    def made(self, plural: str, document: Json) -> Json:
        return ok(self.create(plural, document), 201)

    def replace(self, plural: str, document: Json, subresource: str = "", **query: Any) -> httpx.Response:
        return self.http.put(self.path(plural, document["metadata"]["name"], subresource), json=document, params=query)

    def patch(
        self, plural: str, name: str, patch: Any, kind: str = MERGE, subresource: str = "", **query: Any
    ) -> httpx.Response:
        return self.http.patch(
            self.path(plural, name, subresource),
            content=json.dumps(patch),
            headers={"Content-Type": kind},
            params=query,
        )

    def apply(self, plural: str, document: Json, manager: str, subresource: str = "", **query: Any) -> httpx.Response:
        query = {"fieldManager": manager, **query}
        return self.patch(plural, document["metadata"]["name"], document, APPLY, subresource, **query)

    def delete(self, plural: str, name: str, **options: Any) -> httpx.Response:
        body = {"kind": "DeleteOptions", "apiVersion": "v1", **options}
        return self.http.request("DELETE", self.path(plural, name), json=body)

    def wait_gone(self, plural: str, name: str) -> None:
        wait_until(lambda: self.get(plural, name).status_code == 404, f"{plural} {name} is gone")

    @contextlib.contextmanager
    def watching(self, plural: str, **query: Any) -> Iterator[Iterator[Json]]:
        """The events of a watch, as they come."""
        timeout = httpx.Timeout(WAIT_SECONDS)
        params = {"watch": "true", **query}
        with self.http.stream("GET", self.path(plural), params=params, timeout=timeout) as response:
            if response.status_code != 200:
                response.read()
                ok(response)
            yield (json.loads(line) for line in response.iter_lines() if line)


def ok(response: httpx.Response, status: int = 200) -> Json:
    """The body of an answer that must be a success."""
    assert response.status_code == status, f"{response.status_code}: {response.text[:2000]}"
    body: Json = response.json()
    return body


def refused(response: httpx.Response, status: int, reason: str = "") -> str:
    """The message of an answer that must be a refusal."""
    body = response.json()
    assert response.status_code == status, f"{response.status_code}: {body}"
    assert body["kind"] == "Status"
    assert body["status"] == "Failure"
    assert body["code"] == status
    if reason:
        assert body["reason"] == reason, body
    message: str = body["message"]
    return message


def kubeconfig_with_token(kubeconfig: Path, token: str, namespace: str) -> str:
    """The same server with another's token; the embedded server is given it in its path, for kubectl and Helm."""
    document = yaml.safe_load(pinned_kubeconfig(kubeconfig, namespace))
    cluster, before = document["clusters"][0]["cluster"], read_kubeconfig(kubeconfig).token
    if before and cluster["server"].endswith(f"/{before}"):
        cluster["server"] = cluster["server"].removesuffix(before) + token
    document["users"][0]["user"] = {"token": token}
    text: str = yaml.safe_dump(document)
    return text


class ApiServer(Process):
    """The embedded API server as a process, in a folder that it may be started on again."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        namespace: str = "default",
        token: str = "",
        python: Path = Path(sys.executable),
    ) -> None:
        """`namespace` is that of the kubeconfig. `python` runs the server."""
        [self.port] = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.token = token or secrets.token_hex(16)
        self.kubeconfig = folder / "kubeconfig.yaml"
        self.kubeconfig.write_text(write_kubeconfig(self.url, self.token, namespace))
        (folder / "token").write_text(self.token)
        self.http = http_client(read_kubeconfig(self.kubeconfig))
        command = [str(python), "-m", "darkroom_local.apiserver", "--data-dir", str(folder / "data")]
        command += ["--port", str(self.port), "--token-file", str(folder / "token"), *options]
        super().__init__(command, folder / "apiserver.log", ready_url=f"{self.url}/readyz")

    def close(self) -> None:
        super().close()
        self.http.close()


def install_crds(http: httpx.Client, change: Callable[[Json], None] = lambda _: None) -> None:
    """As `kubectl apply`; returns once the kinds are served. `change` alters a definition before."""
    for kind in Kind:
        document = definition(kind)
        change(document)
        query = {"fieldManager": "tests", "force": "true"}
        content, headers = json.dumps(document), {"Content-Type": APPLY}
        answer = http.patch(f"{CRDS_PATH}/{kind.crd_name}", content=content, headers=headers, params=query)
        assert answer.is_success, answer.text
    for kind in Kind:
        path = f"/apis/{GROUP}/{VERSION}/{kind.plural}"
        wait_until(lambda path=path: http.get(path).status_code == 200, f"{kind.plural} are served")
