"""The main job with nothing but the images: photos go into the gateway, the operator makes pods, the runner runs them.

The test is the kubelet: it starts each pod's container as its manifest says, and reports how that ended.
"""

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image as Picture
from support.containers import Container, Image
from support.operator_processes import Json
from support.waiting import waiter

from darkroom_contract import environment as names
from darkroom_contract.outcome import Outcome
from darkroom_local.node.container_env import EnvSources, container_env
from darkroom_local.processes.ports import free_ports

REPOSITORY = Path(__file__).resolve().parents[2]
MODELS = REPOSITORY / "models"
PHOTOS = sorted((REPOSITORY / "examples" / "photos").glob("*.png"))
KEY = "a-key-that-is-long-enough"
KUBECONFIG = "/etc/darkroom/kubeconfig"
RUNNER_SECRET = "runner"
RUNNER_IMAGE = "registry.example/darkroom-runner:test"
STOP_SECONDS = 20.0

wait_until = waiter(120)


@dataclass
class Installation:
    """Gateway and operator, each a container of the one image."""

    around: Any
    gateway: Container
    operator: Container
    http: httpx.Client

    def is_ready(self) -> bool:
        assert not self.gateway.has_ended(), self.gateway.log()
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture(scope="module")
def installation(gateway_image: Image, surroundings: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder, [port] = tmp_path_factory.mktemp("installation"), free_ports(1)
    shared = surroundings.environment() | {"KUBECONFIG": KUBECONFIG}
    mounts = {KUBECONFIG: surroundings.kubeconfig}
    gateway = gateway_image.engine.start(
        gateway_image.name,
        environment=shared
        | {"DARKROOM_GATEWAY_PORT": str(port), "DARKROOM_GATEWAY_API_KEYS_DIR": "/etc/darkroom/api-keys"},
        mounts=mounts | {"/etc/darkroom/api-keys": _keys(folder)},
        writable={"/tmp": _writable(folder / "tmp")},
    )
    operator = gateway_image.engine.start(
        gateway_image.name,
        "darkroom-operator",
        environment=shared
        | {
            "DARKROOM_RUNNER_IMAGE": RUNNER_IMAGE,
            "DARKROOM_RUNNER_SECRET": RUNNER_SECRET,
            "DARKROOM_GPU_COUNT": "0",
            "DARKROOM_DEFAULT_BASE_MODEL": "darkroom-tiny-sdxl",
            "DARKROOM_DEFAULT_VIDEO_BASE_MODEL": "darkroom-tiny-svd",
        },
        mounts=mounts,
    )
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False, timeout=30) as http:
        running = Installation(surroundings, gateway, operator, http)
        try:
            wait_until(running.is_ready, "the gateway is ready")
            yield running
        finally:
            gateway.remove()
            operator.remove()


@pytest.fixture
def run_pod(runner_image: Image, start: Callable[..., Container], tmp_path: Path, surroundings: Any) -> Any:
    """Runs a job's pod as a kubelet would, to its end. Its outcome and its log."""
    secret = surroundings.environment() | {names.MODEL_ROOT: "/models", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2"}

    def run(job: str) -> tuple[Outcome | None, str]:
        namespace = surroundings.namespace
        pod: Json = namespace.wait_for_pod(job)
        namespace.run_pod(pod)
        [container] = pod["spec"]["containers"]
        message = tmp_path / f"{job}-message"
        message.touch()
        message.chmod(0o666)
        scratch = {each["mountPath"]: _writable(tmp_path / job / each["name"]) for each in container["volumeMounts"]}
        running = start(
            runner_image,
            *container["command"],
            environment=container_env(pod, container, EnvSources({RUNNER_SECRET: secret}, {})),
            mounts={"/models": MODELS},
            writable=scratch | {container["terminationMessagePath"]: message},
            user=_user(pod),
        )
        code = running.wait()
        outcome = Outcome.from_message(message.read_text())
        namespace.end_pod(pod, outcome, code)
        return outcome, running.log()

    return run


def _user(pod: Json) -> str:
    """What the operator asks for is what is tried: the container must do with it."""
    context, [container] = pod["spec"]["securityContext"], pod["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    return f"{context['runAsUser']}:{context['runAsGroup']}"


def _writable(folder: Path) -> Path:
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    return folder


def _keys(folder: Path) -> Path:
    keys = folder / "keys"
    keys.mkdir()
    (keys / "default").write_text(KEY)
    return keys


def test_gateway_requires_the_api_key(installation: Installation) -> None:
    assert installation.http.get("/jobs", headers={"Authorization": "Bearer another-key-altogether"}).status_code == 401
    assert installation.http.get("/jobs").status_code == 200


def test_a_subject_is_trained_generated_and_animated(installation: Installation, run_pod: Any) -> None:
    namespace, http = installation.around.namespace, installation.http
    files = [("files", (photo.name, photo.read_bytes(), "image/png")) for photo in PHOTOS]
    asked = {"prompt": "a photo of sks star", "model_id": "star", "max_steps": 4, "rank": 4}
    training = http.post("/train", params=asked, files=files).raise_for_status().json()["task_id"]

    outcome, log = run_pod(training)

    assert outcome is not None, log
    assert outcome.succeeded, log
    wait_until(lambda: http.get(f"/jobs/{training}").json()["phase"] == "Succeeded", "the training has succeeded")
    lora = http.get("/result", params={"task_id": training}).json()["lora"]
    assert len(httpx.get(lora["url"], trust_env=False).raise_for_status().content) == lora["bytes"]

    asked = {"prompt": "a photo of sks star", "model_id": "star", "steps": 4, "video_steps": 2, "allow_motion": True}
    drawing = http.post("/generate/lora", params=asked).raise_for_status().json()["task_id"]

    outcome, log = run_pod(drawing)

    assert outcome is not None, log
    assert outcome.succeeded, log
    stored = {file.name: _read(installation, outcome.prefix + file.name) for file in outcome.files}
    assert {Path(name).suffix for name in stored} == {".png", ".mp4"}
    assert re.search(r"first step after [\d.]+ s: interpreter [\d.]+ s, imports", log), log
    picture = next(content for name, content in stored.items() if name.endswith(".png"))
    assert Picture.open(io.BytesIO(picture)).size[0] >= 64
    images = {pod["spec"]["containers"][0]["image"] for pod in namespace.pods()}
    assert images == {RUNNER_IMAGE}


def test_both_stop_on_sigterm(installation: Installation) -> None:
    """The last test here: as the first process of its container, neither would get a signal that it does not handle."""
    for container in (installation.gateway, installation.operator):
        container.signal("TERM")
        wait_until(container.has_ended, "it ends", STOP_SECONDS)
        assert container.wait() == 0, container.log()


def _read(installation: Installation, key: str) -> bytes:
    content: bytes = installation.around.s3.get_object(Bucket="darkroom", Key=key)["Body"].read()
    return content
