"""Fixtures for the runner's tests: a model root with small random-weight models, real servers, and runs as processes.

The models have the architectures of SDXL and SVD and take a second to build; their images are noise. `tests/quality`
tests the same code with trained models.
"""

import copy
import importlib.util
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import redis
from support.runner_photos import draw_photo, png, stored_photo
from support.runner_processes import SDXL_NAME, SVD_NAME, Run, RunStarter, write_document
from support.s3_server import BUCKET, S3Server
from support.small_training import load_small_model, open_small_training
from support.valkey import Valkey
from support.waiting import waiter
from support.warm_parent.installation import WarmParent

from darkroom_contract import environment as names
from darkroom_contract.plan import plan_generation, plan_training
from darkroom_contract.runs import RunDocument
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_local.processes.ports import free_ports
from darkroom_runner.models import pretrained
from darkroom_runner.run.context import RunContext
from darkroom_runner.run.library_logging import configure_library_logging
from darkroom_runner.run.progress import ProgressTracker
from darkroom_runner.run.progress_events import EventSender, NullSender
from darkroom_runner.run.stop_signal import StopSignal
from darkroom_runner.run.storage import Storage
from darkroom_runner.settings import Settings
from darkroom_runner.training.dataset import Photo

if TYPE_CHECKING:
    from support.pipeline_copies import LoadedOnce, PipelineCopies


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """diffusers' schedulers pass tensors to numpy 2 in a way that gives a warning, which can't be fixed here."""
    remark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(remark)


# --- processes ---------------------------------------------------------------------------------------------------


wait_until = waiter(20.0)


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    return wait_until


@pytest.fixture
def unused_port() -> int:
    return free_ports(1)[0]


# --- servers -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server with signature checks, and the bucket in it."""
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def s3_url(s3_server: S3Server) -> str:
    return s3_server.url


@pytest.fixture(scope="session")
def s3(s3_server: S3Server) -> Any:
    """A client for the tests."""
    return s3_server.client()


@pytest.fixture(scope="session")
def serve_redis(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], AbstractContextManager[str]]:
    """Start a real Valkey server at a port; a context manager with its URL."""

    @contextmanager
    def start(port: int) -> Iterator[str]:
        with Valkey(tmp_path_factory.mktemp("redis"), port) as server:
            yield server.url

    return start


@pytest.fixture(scope="session")
def redis_url(serve_redis: Callable[[int], AbstractContextManager[str]]) -> Iterator[str]:
    [port] = free_ports(1)
    with serve_redis(port) as url:
        yield url


@pytest.fixture
def events(redis_url: str) -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """All progress events of a job."""
    with redis.Redis.from_url(redis_url) as client:

        def read(uid: str) -> list[dict[str, Any]]:
            return [json.loads(entry[b"event"]) for _, entry in client.xrange(f"darkroom:progress:{uid}")]

        yield read


@pytest.fixture(scope="session")
def opened_storage(s3_server: S3Server) -> Storage:
    environment = {names.RUN: "{}", names.S3_ENDPOINT_URL: s3_server.url, names.S3_BUCKET: BUCKET}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.credentials.items():
            patch.setenv(name, value)
        return Storage(Settings.from_environment(environment))


@pytest.fixture
def storage(opened_storage: Storage) -> Iterator[Storage]:
    """The runner's storage for the test bucket, of one test alone. All have one client: opening it takes long. Its
    connections are not kept: the server does not read the rest of an upload that it refused."""
    yield copy.copy(opened_storage)
    opened_storage._client.close()


# --- photos ------------------------------------------------------------------------------------------------------


@pytest.fixture
def put_dataset(s3: Any) -> Callable[..., str]:
    """Store files as a new dataset, by default three valid photos; returns its URI."""

    def put(files: dict[str, bytes] | None = None) -> str:
        files = {f"{number}.png": png(draw_photo(number)) for number in range(3)} if files is None else files
        prefix = f"datasets/default/{uuid.uuid4().hex[:12]}/"
        for name, content in files.items():
            s3.put_object(Bucket=BUCKET, Key=prefix + name, Body=content)
        return f"s3://{BUCKET}/{prefix}"

    return put


# --- runs --------------------------------------------------------------------------------------------------------


@pytest.fixture
def start_run(
    tmp_path: Path,
    s3_server: S3Server,
    redis_url: str,
    model_root: Path,
    warm_runner: WarmParent,
    run_environment: dict[str, str],
) -> Iterator[Callable[..., Run]]:
    """Start `darkroom-runner` as a process, as a pod would."""
    settings = {
        names.SCRATCH_DIR: str(tmp_path),
        names.MODEL_ROOT: str(model_root),
        names.S3_ENDPOINT_URL: s3_server.url,
        names.S3_BUCKET: BUCKET,
        names.REDIS_URL: redis_url,
        **s3_server.credentials,
    }
    starter = RunStarter(tmp_path, {**run_environment, **settings}, str(warm_runner.runner))
    yield starter.start
    starter.kill_all()


@pytest.fixture
def open_context(storage: Storage, tmp_path: Path, model_root: Path) -> Callable[..., RunContext]:
    """Create a `RunContext` for a task in this process. Its job is named `a-job`."""

    def start(
        spec: TrainJobSpec | GenerateJobSpec,
        base_model: str = SDXL_NAME,
        video_model: str = SVD_NAME,
        uid: str = "u",
        sender: EventSender | None = None,
    ) -> RunContext:
        document = RunDocument.from_json(write_document(spec, uid, base_model, 1, video_model))
        environment = {names.RUN: "{}", names.S3_BUCKET: BUCKET, names.MODEL_ROOT: str(model_root)}
        settings = Settings.from_environment(environment)
        plan = plan_training(spec) if isinstance(spec, TrainJobSpec) else plan_generation(spec)
        progress = ProgressTracker(1, plan, sender or NullSender())
        return RunContext(document, settings, storage, progress, StopSignal(), tmp_path)

    return start


# --- models ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def small_models() -> ModuleType:
    """The module next to this file by path, since test folders are not packages."""
    spec = importlib.util.spec_from_file_location("small_models", Path(__file__).with_name("small_models.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def model_root(tmp_path_factory: pytest.TempPathFactory, small_models: ModuleType) -> Path:
    """A model root with a small SDXL, which predicts v on a zero-terminal-SNR schedule, and a small SVD."""
    configure_library_logging()
    root = tmp_path_factory.mktemp("models")
    small_models.build_sdxl(root / SDXL_NAME)
    small_models.build_svd(root / SVD_NAME)
    return root


@pytest.fixture(scope="session")
def loaded_sdxl(model_root: Path) -> Any:
    """The small SDXL, loaded on the CPU as by a task. Tests must leave it unchanged."""
    return load_small_model(model_root, SDXL_NAME, pretrained.SDXL)


@pytest.fixture(scope="session")
def sdxl_copies(loaded_sdxl: Any) -> "PipelineCopies":
    from support.pipeline_copies import PipelineCopies

    return PipelineCopies(loaded_sdxl)


@pytest.fixture
def sdxl(sdxl_copies: "PipelineCopies") -> Any:
    """The small SDXL of one test alone."""
    return sdxl_copies.copy()


@pytest.fixture(scope="session")
def svd_copies(model_root: Path) -> "PipelineCopies":
    from support.pipeline_copies import PipelineCopies

    return PipelineCopies(load_small_model(model_root, SVD_NAME, pretrained.SVD))


@pytest.fixture
def svd(svd_copies: "PipelineCopies") -> Any:
    return svd_copies.copy()


@pytest.fixture(scope="session")
def loaded_once(model_root: Path) -> "LoadedOnce":
    """For tests that load a small model, but don't test loading it."""
    from support.pipeline_copies import LoadedOnce

    return LoadedOnce([model_root / SDXL_NAME, model_root / SVD_NAME])


@pytest.fixture(scope="session")
def thin_model_root(tmp_path_factory: pytest.TempPathFactory, small_models: ModuleType) -> Path:
    """A model root with the small SDXL, but one layer where it has two, and two where it has three.

    It has all kinds of layers and connections in all places: 11 of 17 residual blocks, 7 of 11 transformers. The small
    SDXL itself is for tests in which layers have the numbers of the real one.
    """
    configure_library_logging()
    root = tmp_path_factory.mktemp("thin-models")
    small_models.build_sdxl(root / SDXL_NAME, layers_per_block=1)
    return root


@pytest.fixture(scope="session")
def thin_sdxl_copies(thin_model_root: Path) -> "PipelineCopies":
    from support.pipeline_copies import PipelineCopies

    return PipelineCopies(load_small_model(thin_model_root, SDXL_NAME, pretrained.SDXL))


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Photo]:
    folder = tmp_path_factory.mktemp("photos")
    return [stored_photo(draw_photo(number), folder / f"{number}.png") for number in range(3)]


@pytest.fixture(scope="session")
def open_training(model_root: Path, loaded_once: "LoadedOnce") -> Callable[..., Any]:
    """Open a training session with the small SDXL in this process."""
    return partial(open_small_training, model_root, loaded_once)
