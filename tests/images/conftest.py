"""The images, built once for all tests here, and the servers they need: an API server, S3 and Redis.

`TEST_GATEWAY_IMAGE` and `TEST_RUNNER_IMAGE` name images that are there already and are to be tested.
`TEST_BASE` names another base than the Dockerfiles do. Where neither that base nor a registry can be reached,
make_base.sh makes one.
"""

import contextlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.containers import Container, Engine, Image, find_engine
from support.kube_api import ApiServer, install_crds
from support.operator_processes import Namespace
from support.s3_server import BUCKET, S3Server
from support.valkey import Valkey

REPOSITORY = Path(__file__).resolve().parents[2]
BASE = "docker.io/library/python:3.11-slim-bookworm"
STAND_IN = "localhost/darkroom-test-base:bookworm"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test builds the images, which takes minutes."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(scope="session")
def engine() -> Engine:
    found = find_engine(os.environ.get("BUILDER"))
    if found is None:
        pytest.skip("neither docker nor podman works here")
    if found.name == "podman" and os.geteuid() == 0:
        # Builds may then run within a container.
        os.environ.setdefault("BUILDAH_ISOLATION", "chroot")
    return found


@pytest.fixture(scope="session")
def base(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of the base image, which is there."""
    named = os.environ.get("TEST_BASE")
    if named:
        return named
    for name in (BASE, STAND_IN):
        if engine.has(name):
            return name
    pulled = subprocess.run([engine.name, "pull", "--quiet", BASE], capture_output=True, text=True)
    if pulled.returncode == 0:
        return BASE
    if not shutil.which("mmdebstrap") or os.geteuid() != 0:
        pytest.skip(f"no base image: {pulled.stderr.strip()}; and to make one takes root and mmdebstrap")
    root = tmp_path_factory.mktemp("base") / "root"
    made = subprocess.run(["sh", Path(__file__).with_name("make_base.sh"), root], capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"no base image: {pulled.stderr.strip()}; and none could be made: {made.stderr.strip()}")
    with subprocess.Popen(["tar", "--directory", root, "--create", "."], stdout=subprocess.PIPE) as packed:
        subprocess.run([engine.name, "import", "-", STAND_IN], stdin=packed.stdout, check=True, capture_output=True)
    assert packed.returncode == 0
    shutil.rmtree(root)
    return STAND_IN


@pytest.fixture(scope="session")
def build(engine: Engine, base: str) -> Callable[..., Image]:
    """`make images`, of one image, from this checkout or a copy of it."""

    def build(image: str, tag: str = "test", checkout: Path = REPOSITORY, *more: str) -> Image:
        command = [sys.executable, str(checkout / "images" / "build.py"), f"--builder={engine.name}", f"--tag={tag}"]
        environment = os.environ | {"TORCH_BUILD": "cpu"}
        if importlib.metadata.version("torch").endswith("+cpu"):
            environment["TORCH_INDEX_URL"] = ""  # As pip is set up here it finds that build.
        given = [*command, image, "--", f"--build-arg=BASE={base}", *more]
        done = subprocess.run(given, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout[-8000:]
        return engine.image(f"docker.io/library/darkroom-{image}:{tag}")

    return build


@pytest.fixture(scope="session")
def images(engine: Engine, build: Callable[..., Image]) -> dict[str, Image]:
    """Both, built side by side, once what they share is there."""
    given = {name: os.environ.get(f"TEST_{name.upper()}_IMAGE") for name in ("gateway", "runner")}
    if not all(given.values()):
        build("gateway", "test-tools", REPOSITORY, "--target=tools")
    with ThreadPoolExecutor() as pool:
        made = {name: pool.submit(build, name) for name, image in given.items() if not image}
    return {name: engine.image(image) if image else made[name].result() for name, image in given.items()}


@pytest.fixture(scope="session")
def gateway_image(images: dict[str, Image]) -> Image:
    return images["gateway"]


@pytest.fixture(scope="session")
def runner_image(images: dict[str, Image]) -> Image:
    return images["runner"]


@pytest.fixture(params=["gateway", "runner"])
def image(request: pytest.FixtureRequest, images: dict[str, Image]) -> Image:
    """Each of the two."""
    return images[request.param]


# --- servers -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Surroundings:
    """The servers that a cluster has for Darkroom."""

    namespace: Namespace
    kubeconfig: Path
    s3_url: str
    s3_credentials: dict[str, str]
    redis_url: str
    s3: Any
    """A client of the tests' own."""

    def environment(self) -> dict[str, str]:
        """The environment that gateway, operator and runner share."""
        return {
            **self.s3_credentials,
            "DARKROOM_NAMESPACE": self.namespace.name,
            "DARKROOM_S3_ENDPOINT_URL": self.s3_url,
            "DARKROOM_S3_BUCKET": BUCKET,
            "DARKROOM_REDIS_URL": self.redis_url,
        }


@pytest.fixture(scope="session")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surroundings]:
    folder = tmp_path_factory.mktemp("surroundings")
    with S3Server(folder) as s3, Valkey(folder) as redis, ApiServer(folder) as server:
        install_crds(server.http)
        # Readable by the user of the images: a kubelet sees to that with fsGroup.
        server.kubeconfig.chmod(0o644)
        namespace = Namespace.create(server, "images")
        with contextlib.closing(s3.client()) as client:
            yield Surroundings(namespace, server.kubeconfig, s3.url, s3.credentials, redis.url, client)


@pytest.fixture
def start(engine: Engine) -> Iterator[Callable[..., Container]]:
    """Starts containers, which are gone after the test."""
    started: list[Container] = []

    def start(image: Image, *command: str, **options: Any) -> Container:
        started.append(engine.start(image.name, *command, **options))
        return started[-1]

    yield start
    for each in started:
        each.remove()
