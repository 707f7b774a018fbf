"""Deletion of jobs with their files despite crashes, outages, and concurrent gateways."""

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.isolated_namespace import (
    RUN_FILES,
    IsolatedNamespace,
    KilledError,
    KilledStorage,
    uri_of,
)
from support.silent_server import SilentServer
from support.waiting import waiter

from darkroom_contract.names import FINALIZER_FILES, Kind
from darkroom_contract.storage.keys import run_prefix
from darkroom_gateway.deletion.job_deleter import JobDeleter
from darkroom_gateway.errors import RejectedError, StorageUnavailableError
from darkroom_gateway.kube.client import KubeClient
from darkroom_gateway.redis.progress_streams import ProgressStreams
from darkroom_gateway.storage.client import ObjectStorage

wait_until = waiter(30)

WEIGHTS = "pytorch_lora_weights.safetensors"


@pytest.mark.parametrize("changes", range(8))
def test_deletion_completes_after_a_crash_at_any_step(isolated: IsolatedNamespace, changes: int) -> None:
    """Two photos and four files of the run: six deletions. While files are left, the job exists."""
    prefix = isolated.dataset()
    uid = isolated.training("job", uri_of(prefix))
    isolated.request(Kind.TRAIN, "job")

    with contextlib.closing(KilledStorage(isolated.settings, changes)) as storage, contextlib.suppress(KilledError):
        isolated.proceed(storage)
    left = len(isolated.keys(prefix) + isolated.keys(run_prefix(uid)))
    assert left == max(0, 6 - changes)
    assert isolated.api.exists(Kind.TRAIN, "job") == (left > 0)

    assert isolated.proceed() == ([uid] if left else [])
    assert isolated.keys(prefix) == isolated.keys(run_prefix(uid)) == []
    assert not isolated.api.exists(Kind.TRAIN, "job")


def test_deletion_is_not_started_by_a_crash_between_label_and_delete(isolated: IsolatedNamespace) -> None:
    """Between the label and the deletion: the client got no response, and nothing is deleted."""
    uid = isolated.training("job", uri_of(isolated.dataset()), labels={"darkroom.dev/delete-files": "true"})

    assert isolated.proceed() == []
    assert isolated.api.get(Kind.TRAIN, "job")["metadata"]["finalizers"] == [FINALIZER_FILES]
    assert len(isolated.keys(run_prefix(uid))) == len(RUN_FILES)


def test_deletion_survives_an_outage_of_storage_and_the_loss_of_its_gateway(
    isolated: IsolatedNamespace, gateway_of: Any, nowhere: str
) -> None:
    prefix = isolated.dataset()
    uid = isolated.training("job", uri_of(prefix))
    with gateway_of(isolated, DARKROOM_S3_ENDPOINT_URL=nowhere) as gateway:
        answer = gateway.http.delete("/jobs/job", params={"files": "true"})
        assert (answer.status_code, answer.json()["deleting"]) == (202, True)
        gateway.process.kill()
        gateway.process.wait()
    assert isolated.api.exists(Kind.TRAIN, "job")

    with gateway_of(isolated):
        wait_until(lambda: not isolated.api.exists(Kind.TRAIN, "job"), "another gateway completes it")
    assert isolated.keys(prefix) == isolated.keys(run_prefix(uid)) == []


def test_gateway_exits_while_storage_hangs(isolated: IsolatedNamespace, gateway_of: Any) -> None:
    """The next gateway completes its work."""
    isolated.training("job", uri_of(isolated.dataset()))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with gateway_of(isolated, DARKROOM_S3_ENDPOINT_URL=endpoint) as gateway:
            assert gateway.http.delete("/jobs/job", params={"files": "true"}).status_code == 202
            begun = time.monotonic()
            gateway.process.terminate()
            gateway.process.wait(60)
            assert time.monotonic() - begun < 20  # A request to storage may take a minute.
    assert isolated.api.exists(Kind.TRAIN, "job")


def test_failure_of_one_job_does_not_delay_others(isolated: IsolatedNamespace) -> None:
    class Refusing(ObjectStorage):
        def delete_folder(self, prefix: str) -> int:
            if "bad" in prefix:
                raise StorageUnavailableError("AccessDenied")
            return super().delete_folder(prefix)

    uids = {name: isolated.training(name, uri_of(isolated.dataset(f"{name}-photos"))) for name in ("bad", "good")}
    for name in uids:
        isolated.request(Kind.TRAIN, name)

    with contextlib.closing(Refusing(isolated.settings)) as storage, pytest.raises(StorageUnavailableError):
        isolated.proceed(storage)
    assert not isolated.api.exists(Kind.TRAIN, "good")
    assert isolated.proceed() == [uids["bad"]]


def test_job_that_can_not_be_marked_does_not_delay_others(isolated: IsolatedNamespace) -> None:
    class Denying(KubeClient):
        def patch_metadata(self, kind: Kind, name: str, patch: dict[str, Any]) -> bool:
            if name == "denied":
                raise RejectedError(403, "an admission webhook denied the request")
            return super().patch_metadata(kind, name, patch)

    isolated.training("denied", uri_of(isolated.dataset()), labels={"darkroom.dev/delete-files": "true"})
    isolated.training("good", uri_of(isolated.dataset("dataset-of-good")))
    isolated.request(Kind.TRAIN, "good")

    with contextlib.closing(Denying(isolated.settings)) as cluster, pytest.raises(RejectedError):
        JobDeleter(cluster, isolated.storage).proceed(isolated.job_deleter().labelled())
    assert not isolated.api.exists(Kind.TRAIN, "good")


async def test_hanging_redis_delays_a_round_of_deletions_once(isolated: IsolatedNamespace) -> None:
    with SilentServer() as silent:
        progress = ProgressStreams(
            isolated.settings.model_copy(update={"redis_url": silent.url.replace("http", "redis")})
        )
        await progress.delete([f"uid-{number}" for number in range(5)])
        assert silent.connections == 1
    await progress.close()


def test_two_gateways_can_complete_the_same_deletions(isolated: IsolatedNamespace) -> None:
    uids = [isolated.training(f"job-{number}", uri_of(isolated.dataset(f"dataset-{number}"))) for number in range(4)]
    for number in range(4):
        isolated.request(Kind.TRAIN, f"job-{number}")

    with ThreadPoolExecutor(2) as gateways:
        done = [gateways.submit(isolated.proceed) for _ in range(2)]
    assert set().union(*(each.result() for each in done)) == set(uids)
    assert isolated.api.count(Kind.TRAIN) == 0
    assert isolated.keys(f"datasets/{isolated.namespace}/") == []
