"""Fixtures: a gateway as a separate process, with a real API server, a real S3 server and a real Redis.

`DARKROOM_TEST_KUBECONFIG` selects another cluster, which must not run an operator.
"""

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import yaml
from PIL import Image
from support.event_streams import StreamedJob
from support.gateway_cluster import NAMESPACE, GatewayCluster
from support.isolated_namespace import IsolatedNamespace
from support.kube_api import ApiServer
from support.running_gateway import Gateway, SecuredGateway
from support.s3_server import BUCKET, S3Server
from support.server_process import Process
from support.valkey import Valkey
from support.warm_parent.installation import WarmParent

from darkroom_contract.names import Kind
from darkroom_gateway.kube.client import KubeClient
from darkroom_gateway.settings import Settings
from darkroom_gateway.storage.client import ObjectStorage
from darkroom_local.kube.kubeconfig import read_kubeconfig, write_kubeconfig
from darkroom_local.processes.ports import free_ports


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gateway")


@pytest.fixture(scope="package")
def cluster(folder: Path) -> Iterator[GatewayCluster]:
    with contextlib.ExitStack() as stack:
        named = os.environ.get("DARKROOM_TEST_KUBECONFIG")
        kubeconfig = Path(named) if named else stack.enter_context(ApiServer(folder)).kubeconfig
        found = GatewayCluster(kubeconfig)
        found.install_crds()
        yield found
        found.http.close()


@pytest.fixture(scope="package")
def s3_server(folder: Path) -> Iterator[S3Server]:
    with S3Server(folder) as server:
        yield server


@pytest.fixture(scope="package")
def s3_environment(s3_server: S3Server) -> dict[str, str]:
    return {
        "DARKROOM_S3_ENDPOINT_URL": s3_server.url,
        "DARKROOM_S3_PUBLIC_ENDPOINT_URL": f"http://localhost:{s3_server.port}",
        "DARKROOM_S3_BUCKET": BUCKET,
        **s3_server.credentials,
    }


@pytest.fixture(scope="package")
def bucket(s3_server: S3Server) -> Any:
    """A boto3 client of the bucket's server."""
    return s3_server.client()


@pytest.fixture(scope="package")
def stored_keys(bucket: Any) -> Callable[[str], list[str]]:
    """The keys under a prefix, sorted."""

    def keys(prefix: str) -> list[str]:
        listed = bucket.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return sorted(each["Key"] for each in listed.get("Contents", []))

    return keys


@pytest.fixture(scope="package")
def redis_url(folder: Path) -> Iterator[str]:
    with Valkey(folder) as server:
        yield server.url


@pytest.fixture(scope="package")
def start_gateway(folder: Path, warm_gateway: WarmParent) -> Callable[..., contextlib.AbstractContextManager[Gateway]]:
    """Starts a gateway with an environment: a fork, or a new process of the interpreter given."""

    @contextlib.contextmanager
    def start(environment: dict[str, str], python: Path = warm_gateway.forking_python) -> Iterator[Gateway]:
        [port] = free_ports(1)
        log_path = folder / f"gateway-{port}.log"
        settings = {**environment, "DARKROOM_GATEWAY_PORT": str(port), "HOME": str(folder)}
        url = f"http://127.0.0.1:{port}"
        server = Process([python, "-m", "darkroom_gateway.main"], log_path, settings, ready_url=f"{url}/healthz")
        with server, httpx.Client(base_url=url, trust_env=False, timeout=30) as http:
            yield Gateway(http, server.process, log_path)

    return start


@pytest.fixture(scope="package")
def environment(cluster: GatewayCluster, s3_environment: dict[str, str], redis_url: str, bucket: Any) -> dict[str, str]:
    """The environment of a gateway with all backends."""
    kubeconfig = {"KUBECONFIG": str(cluster.kubeconfig), "DARKROOM_NAMESPACE": NAMESPACE}
    return {**s3_environment, **kubeconfig, "DARKROOM_REDIS_URL": redis_url}


@pytest.fixture(scope="package")
def gateway(start_gateway: Any, environment: dict[str, str], cluster: GatewayCluster) -> Iterator[Gateway]:
    with start_gateway(environment) as started:
        cluster.readers.append(started.http)
        yield started
        cluster.readers.remove(started.http)


@pytest.fixture(scope="package")
def secured(
    start_gateway: Any, environment: dict[str, str], cluster: GatewayCluster, folder: Path
) -> Iterator[SecuredGateway]:
    keys = {name: secrets.token_hex(24) for name in ("alice", "bob")}
    keys_folder, password, [metrics_port] = folder / "keys", secrets.token_hex(16), free_ports(1)
    keys_folder.mkdir()
    for name, key in keys.items():
        (keys_folder / name).write_text(key)
    with Valkey(folder, password=password) as server:
        settings = {
            "DARKROOM_GATEWAY_API_KEYS_DIR": str(keys_folder),
            "DARKROOM_GATEWAY_LOG_LEVEL": "DEBUG",
            "DARKROOM_GATEWAY_METRICS_PORT": str(metrics_port),
            "DARKROOM_REDIS_URL": server.url,
        }
        secrets_ = {
            **keys,
            "Redis": password,
            "S3": environment["AWS_SECRET_ACCESS_KEY"],
            "cluster": read_kubeconfig(cluster.kubeconfig).token or "no token",
        }
        with start_gateway({**environment, **settings}) as gateway:
            yield SecuredGateway(gateway, keys_folder, secrets_, server.url, f"http://127.0.0.1:{metrics_port}/metrics")


@pytest.fixture(scope="package")
def http(gateway: Gateway) -> httpx.Client:
    return gateway.http


@pytest.fixture(scope="package")
def nowhere() -> str:
    """The address of a server that is down."""
    [port] = free_ports(1)
    return f"http://127.0.0.1:{port}"


@pytest.fixture(scope="package")
def kubeconfig_of_nowhere(folder: Path, nowhere: str) -> Path:
    path = folder / "nowhere.yaml"
    path.write_text(write_kubeconfig(nowhere, "no-token", NAMESPACE))
    return path


@pytest.fixture(scope="package")
def kubeconfig_of_a_stranger(folder: Path, cluster: GatewayCluster) -> Path:
    """The cluster, with credentials that it does not accept."""
    document = yaml.safe_load(cluster.kubeconfig.read_text())
    for user in document["users"]:
        user["user"] = {"token": "unknown"}
    path = folder / "stranger.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture
def streamed_job(cluster: GatewayCluster, redis_url: str, job_name: str) -> Iterator[StreamedJob]:
    uid = cluster.create(Kind.GENERATE, job_name, {"prompt": "a dog"})["metadata"]["uid"]
    with redis.Redis.from_url(redis_url) as client:
        yield StreamedJob(job_name, uid, cluster, client)


@pytest.fixture
def job_name() -> str:
    """A unique job name."""
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture(scope="package")
def picture() -> Callable[..., bytes]:
    """Generates and encodes a picture."""

    def draw(width: int = 96, height: int = 80, format_: str = "JPEG", **options: Any) -> bytes:
        buffer = BytesIO()
        Image.effect_noise((width, height), 80).convert("RGB").save(buffer, format_, **options)
        return buffer.getvalue()

    return draw


@pytest.fixture
def isolated(
    cluster: GatewayCluster, environment: dict[str, str], bucket: Any, stored_keys: Any, monkeypatch: Any
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
        api=GatewayCluster(cluster.kubeconfig, namespace),
        s3=bucket,
        keys=stored_keys,
        settings=settings,
        cluster=KubeClient(settings),
        storage=ObjectStorage(settings),
    )
    yield namespace_
    namespace_.close()
    namespace_.api.http.close()


@pytest.fixture(scope="package")
def nanio_folder(s3_server: S3Server) -> Path:
    """The folder in which the S3 server stores objects as files."""
    return s3_server.data_dir
