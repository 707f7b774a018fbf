"""For all tests: the environment of the libraries, and runs that are forked from one warm parent."""

import contextlib
import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.bytecode import compile_share
from support.file_order import put_in_order
from support.tiers import is_fast, is_whole_module_slow, only_what_is_fast
from support.warm_parent.installation import WarmParent, shared_folder
from support.warm_parent.shared_caches import share_botocore_data, share_ca_certificates

from darkroom_local.cluster.components import PASSED_THROUGH

# Read when the libraries are imported: one thread, so that tests beside each other stay fast, and no way to the hub.
os.environ.update({"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"})
PART_ENVIRONMENT = {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(Path.home())}
"""As a local cluster gives it to its parts."""
share_botocore_data()
share_ca_certificates()
# Until the tests are collected: nearly all objects made by imports live as long as the process.
gc.disable()


@pytest.fixture(scope="session")
def run_environment() -> dict[str, str]:
    """What every run inherits of this process, in a pod of the local node or as a process of a test."""
    cache = {"HF_HOME": str(Path.home() / ".cache" / "huggingface")}
    handed_on = {name: os.environ[name] for name in PASSED_THROUGH if os.environ.get(name)}
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(Path.home())} | cache | handed_on


@pytest.fixture(scope="session")
def warm_runner(tmp_path_factory: pytest.TempPathFactory, run_environment: dict[str, str]) -> Iterator[WarmParent]:
    """For tests that don't test the start-up of a run: its work is forked, not started."""
    with _warm_parent(tmp_path_factory, "darkroom_runner", run_environment) as parent:
        yield parent


@pytest.fixture(scope="session")
def warm_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmParent]:
    """Forks API servers, nodes and S3 servers."""
    with _warm_parent(tmp_path_factory, "darkroom_local", PART_ENVIRONMENT) as parent:
        yield parent


@pytest.fixture(scope="session")
def warm_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmParent]:
    with _warm_parent(tmp_path_factory, "darkroom_gateway", PART_ENVIRONMENT) as parent:
        yield parent


@pytest.fixture(scope="session")
def warm_operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmParent]:
    with _warm_parent(tmp_path_factory, "darkroom_operator", PART_ENVIRONMENT) as parent:
        yield parent


@pytest.fixture(scope="session")
def warm_cluster(
    warm_runner: WarmParent, warm_local: WarmParent, warm_gateway: WarmParent, warm_operator: WarmParent
) -> WarmParent:
    """Forks the parts of local clusters and their runs."""
    for parent in (warm_local, warm_gateway, warm_operator):
        warm_runner.add(parent)
    return warm_runner


def _warm_parent(
    factory: pytest.TempPathFactory, package: str, environment: dict[str, str]
) -> contextlib.AbstractContextManager[WarmParent]:
    folder = shared_folder(factory.getbasetemp()) / f"warm-{package}"
    return WarmParent(folder, package, environment).serving()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The fast tier doesn't import what it won't run."""
    is_module = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    return True if config.option.markexpr == "fast" and is_module and is_whole_module_slow(collection_path) else None


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[object]:
    """From here on, the garbage collector skips all modules: scanning half a gigabyte takes a second each time."""
    compile_share(session.config)
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`fast` is never written at a test. Without `-m`, each worker looks only at the tests that it runs."""
    put_in_order(items)
    for item in items if config.option.markexpr else ():
        if is_fast(item):
            item.add_marker(pytest.mark.fast)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    with only_what_is_fast() if is_fast(item) else contextlib.nullcontext():
        return (yield)
