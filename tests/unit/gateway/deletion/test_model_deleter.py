"""`DELETE /models/{model_id}` deletes the record and all LoRAs of the model, despite crashes at any step."""

import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.isolated_namespace import BUCKET, RUN_FILES, IsolatedNamespace, KilledError, KilledStorage
from support.silent_server import SilentServer
from support.waiting import waiter

from darkroom_contract.names import Kind
from darkroom_contract.storage.keys import ModelRecord, ModelRemoval, model_record_key, model_removal_key, run_prefix
from darkroom_gateway.backends.calls import STORAGE_CALLS, Backends
from darkroom_gateway.backends.deadlines import STORAGE_SECONDS
from darkroom_gateway.deletion.dataset_retention import DatasetRetention
from darkroom_gateway.deletion.import_collector import ImportCollector
from darkroom_gateway.deletion.job_deleter import JobDeleter
from darkroom_gateway.deletion.sweeper import MAX_ROUND_SECONDS, Sweeper
from darkroom_gateway.deletion.upload_collector import UploadCollector
from darkroom_gateway.errors import (
    ClusterUnavailableError,
    ModelInUseError,
    StorageUnavailableError,
    UnknownModelError,
)
from darkroom_gateway.jobs.service import JobService
from darkroom_gateway.jobs.store import JobStore
from darkroom_gateway.kube.client import KubeClient
from darkroom_gateway.kube.informer import Informer
from darkroom_gateway.redis.progress_streams import ProgressStreams
from darkroom_gateway.storage.client import ObjectStorage
from darkroom_local.kube.kubeconfig import write_kubeconfig

wait_until = waiter(30)

ELSEWHERE = "s3://elsewhere/photos/"
"""The photos of the trainings are irrelevant here."""
LORAS = {"dog.safetensors", "pytorch_lora_weights.safetensors"}


def of_the_model(isolated: IsolatedNamespace) -> list[str]:
    return isolated.keys(f"models/{isolated.namespace}/dog/") + isolated.keys(f"deletions/{isolated.namespace}/")


def complete(isolated: IsolatedNamespace) -> None:
    """One sweep."""
    isolated.model_deleter().complete_all(isolated.job_deleter().all())


def read(isolated: IsolatedNamespace, key: str) -> bytes:
    body: bytes = isolated.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return body


def test_model_is_deleted_with_its_loras(
    isolated: IsolatedNamespace, start_gateway: Any, environment: dict[str, str]
) -> None:
    uid = isolated.training("job", ELSEWHERE)
    isolated.model(uid)
    with start_gateway({**environment, "DARKROOM_NAMESPACE": isolated.namespace}) as gateway:
        assert [each["model_id"] for each in gateway.http.get("/models").json()["models"]] == ["dog"]

        answer = gateway.http.delete("/models/dog")

        assert (answer.status_code, answer.text) == (204, "")
        assert gateway.http.get("/models").json()["models"] == []
        assert gateway.http.delete("/models/dog").status_code == 404
        assert gateway.http.delete("/models/a..%2Fb").status_code in (404, 422)
        asked = gateway.http.post("/generate/lora", params={"prompt": "a", "model_id": "dog"})
        # Its training still exists, but has succeeded.
        assert (asked.status_code, asked.json()["type"].rpartition(":")[2]) == (404, "UnknownModel")
    assert of_the_model(isolated) == []
    kept = sorted(run_prefix(uid) + each for each in RUN_FILES if each not in LORAS)
    assert isolated.keys(run_prefix(uid)) == kept


def test_loras_of_deleted_trainings_are_removed(isolated: IsolatedNamespace) -> None:
    """A job deleted by its TTL or by kubectl leaves its files, which only the model's record names."""
    uids = [isolated.training(f"job-{number}", ELSEWHERE) for number in range(3)]
    isolated.model(uids[2], earlier_runs=(uids[0], uids[1]))
    for number in (0, 2):
        isolated.api.delete(Kind.TRAIN, f"job-{number}")

    isolated.delete_model("dog")

    assert isolated.keys(run_prefix(uids[0])) == isolated.keys(run_prefix(uids[2])) == []
    assert len(isolated.keys(run_prefix(uids[1]))) == len(RUN_FILES) - len(LORAS)


def test_other_models_are_kept(isolated: IsolatedNamespace) -> None:
    dog, cat = (isolated.training(name, ELSEWHERE, model_id=name) for name in ("dog", "cat"))
    isolated.model(dog, "dog")
    isolated.model(cat, "cat")

    isolated.delete_model("dog")

    assert len(isolated.keys(f"models/{isolated.namespace}/cat/")) == 1
    assert len(isolated.keys(run_prefix(cat))) == len(RUN_FILES)


@pytest.mark.parametrize("suspend", [False, True])
@pytest.mark.parametrize("kind", list(Kind))
def test_model_that_an_unfinished_job_uses_is_kept(
    isolated: IsolatedNamespace, start_gateway: Any, environment: dict[str, str], kind: Kind, suspend: bool
) -> None:
    uid = isolated.training("ended", ELSEWHERE)
    isolated.model(uid)
    dataset = {"dataset": {"uri": ELSEWHERE}} if kind is Kind.TRAIN else {}
    isolated.api.create(kind, "waiting", {"modelId": "dog", "prompt": "sks dog", "suspend": suspend, **dataset})

    with pytest.raises(ModelInUseError, match=rf"used by unfinished jobs: {kind}/waiting\."):
        isolated.delete_model("dog")
    assert len(of_the_model(isolated)) == 1
    assert len(isolated.keys(run_prefix(uid))) == len(RUN_FILES)

    if not suspend:
        with start_gateway({**environment, "DARKROOM_NAMESPACE": isolated.namespace}) as gateway:
            answer = gateway.http.delete("/models/dog")
            assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (409, "ModelInUse")
    isolated.api.set_status(kind, "waiting", phase="Failed")
    isolated.delete_model("dog")
    assert of_the_model(isolated) == []


def test_missing_model_is_unknown(isolated: IsolatedNamespace) -> None:
    with pytest.raises(UnknownModelError, match="no model 'dog'"):
        isolated.delete_model("dog")


@pytest.mark.parametrize("changes", range(6))
def test_deletion_completes_after_a_crash_at_any_step(isolated: IsolatedNamespace, changes: int) -> None:
    """Five changes: the removal record, `model.json`, two LoRA files, and the removal record again."""
    uid = isolated.training("job", ELSEWHERE)
    isolated.model(uid)
    weights = f"{run_prefix(uid)}pytorch_lora_weights.safetensors"

    with contextlib.closing(KilledStorage(isolated.settings, changes)) as storage, contextlib.suppress(KilledError):
        isolated.delete_model("dog", storage)
    if isolated.keys(model_record_key(isolated.namespace, "dog")):
        assert isolated.keys(weights) == [weights]  # Never a model whose weights are gone.

    complete(isolated)
    if changes == 0:
        assert len(of_the_model(isolated)) == 1  # It died before it had accepted anything.
        assert isolated.keys(weights) == [weights]
    else:
        assert of_the_model(isolated) == []
        assert len(isolated.keys(run_prefix(uid))) == len(RUN_FILES) - len(LORAS)


def test_interrupted_deletion_can_be_repeated(isolated: IsolatedNamespace) -> None:
    uid = isolated.training("job", ELSEWHERE)
    isolated.model(uid)
    with contextlib.closing(KilledStorage(isolated.settings, 2)) as storage, pytest.raises(KilledError):
        isolated.delete_model("dog", storage)

    isolated.delete_model("dog")
    assert of_the_model(isolated) == []


def test_another_gateway_completes_a_deletion(
    isolated: IsolatedNamespace, start_gateway: Any, environment: dict[str, str]
) -> None:
    isolated.model(isolated.training("job", ELSEWHERE))
    with contextlib.closing(KilledStorage(isolated.settings, 3)) as storage, pytest.raises(KilledError):
        isolated.delete_model("dog", storage)

    with start_gateway({**environment, "DARKROOM_NAMESPACE": isolated.namespace}):
        wait_until(lambda: of_the_model(isolated) == [], "its first sweep completes it")


def test_deletion_interrupted_by_storage_completes_soon(isolated: IsolatedNamespace) -> None:
    class Faltering(KilledStorage):
        def delete(self, keys: list[str]) -> None:
            try:
                super().delete(keys)
            except KilledError:
                self._left = -1  # From now on it answers.
                raise StorageUnavailableError("Object storage can't be reached.") from None

    isolated.model(isolated.training("job", ELSEWHERE))

    async def ask(storage: ObjectStorage) -> None:
        sweeper = sweeper_of(isolated, Backends(), isolated.cluster, storage)
        task = asyncio.create_task(sweeper.run())
        # The first sweep is over: it would take part in the deletion.
        swept = asyncio.get_running_loop().time() + MAX_ROUND_SECONDS + 60
        await asyncio.to_thread(wait_until, lambda: sweeper._next_sweep > swept, "the first sweep is over")
        with pytest.raises(StorageUnavailableError):
            await sweeper.delete_model("dog")
        await asyncio.to_thread(wait_until, lambda: of_the_model(isolated) == [], "it is completed without being asked")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with contextlib.closing(Faltering(isolated.settings, 3)) as storage:
        asyncio.run(ask(storage))


async def test_hanging_api_server_uses_no_calls_of_object_storage(isolated: IsolatedNamespace, tmp_path: Path) -> None:
    backends, kubeconfig = Backends(), tmp_path / "kubeconfig.yaml"
    with SilentServer() as silent:
        kubeconfig.write_text(write_kubeconfig(silent.url, "token", isolated.namespace))
        with contextlib.closing(
            KubeClient(isolated.settings.model_copy(update={"kubeconfig": str(kubeconfig)}))
        ) as cluster:
            sweeper = sweeper_of(isolated, backends, cluster, isolated.storage)
            asked = [asyncio.create_task(sweeper.delete_model("dog")) for _ in range(STORAGE_CALLS)]
            connected = lambda: silent.connections == STORAGE_CALLS  # noqa: E731
            await asyncio.to_thread(wait_until, connected, "all deletions ask the API server")

            assert await backends.storage.call(STORAGE_SECONDS, lambda: "free") == "free"

            found = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(each) for each in found} == {ClusterUnavailableError}


async def test_refused_deletion_starts_no_sweep(isolated: IsolatedNamespace) -> None:
    sweeper = sweeper_of(isolated, Backends(), isolated.cluster, isolated.storage)
    sweeper._next_sweep = 1000.0

    with pytest.raises(UnknownModelError):
        await sweeper.delete_model("dog")

    assert sweeper._next_sweep == 1000.0


def sweeper_of(isolated: IsolatedNamespace, backends: Backends, cluster: KubeClient, storage: ObjectStorage) -> Sweeper:
    """The sweeper of a gateway."""
    store = JobStore()
    return Sweeper(
        JobService(cluster, backends.cluster, store, Informer(cluster, store)),
        backends,
        JobDeleter(cluster, storage),
        isolated.model_deleter(storage),
        ImportCollector(storage, isolated.namespace),
        DatasetRetention(storage, isolated.namespace, None),
        UploadCollector(storage, isolated.namespace),
        ProgressStreams(isolated.settings),
    )


def test_model_that_was_retrained_in_the_meantime_is_kept(isolated: IsolatedNamespace) -> None:
    old, new = (isolated.training(name, ELSEWHERE) for name in ("old", "new"))
    remember(isolated, ModelRemoval(model_id="dog", runs=(old,), requested=datetime.now(UTC)))
    isolated.model(new, earlier_runs=(old,))

    complete(isolated)

    record = ModelRecord.model_validate_json(read(isolated, model_record_key(isolated.namespace, "dog")))
    assert record.job_uid == new
    assert len(isolated.keys(run_prefix(new))) == len(RUN_FILES)
    assert not LORAS & {key.rpartition("/")[2] for key in isolated.keys(run_prefix(old))}
    assert isolated.keys(f"deletions/{isolated.namespace}/") == []


@pytest.mark.parametrize("runs", [("",), ("..",), ("a/b",), ("*",)])
def test_removal_record_with_invalid_ids_deletes_nothing(isolated: IsolatedNamespace, runs: tuple[str, ...]) -> None:
    """Records come from the bucket, and their ids become prefixes of deleted keys."""
    uid = isolated.training("job", ELSEWHERE)
    remember(isolated, ModelRemoval(model_id="dog", runs=runs, requested=datetime.now(UTC)))

    complete(isolated)

    assert len(isolated.keys(run_prefix(uid))) == len(RUN_FILES)


def remember(isolated: IsolatedNamespace, removal: ModelRemoval) -> None:
    key = model_removal_key(isolated.namespace, removal.model_id)
    isolated.s3.put_object(Bucket=BUCKET, Key=key, Body=removal.model_dump_json(by_alias=True).encode())
