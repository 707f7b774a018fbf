"""`DELETE /models/{model_id}`: the record and every LoRA that was trained under the name, whatever dies in between."""

import asyncio
import contextlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.forgotten import BUCKET, RUN_FILES, KilledError, KilledStorage, Place
from support.silent_server import SilentServer
from support.waiting import patience

from darkroom_contract.names import Kind
from darkroom_contract.storage import (
    ModelRecord,
    ModelRemoval,
    model_record_key,
    model_removal_key,
    run_prefix,
)
from darkroom_gateway.backends import STORAGE_CALLS, Backends
from darkroom_gateway.cluster import Cluster
from darkroom_gateway.deadlines import STORAGE_SECONDS
from darkroom_gateway.errors import (
    ClusterUnavailableError,
    ModelInUseError,
    StorageUnavailableError,
    UnknownModelError,
)
from darkroom_gateway.forgetting.datasets import Datasets
from darkroom_gateway.forgetting.job_files import JobFiles
from darkroom_gateway.forgetting.sweeper import Sweeper
from darkroom_gateway.informer import Informer
from darkroom_gateway.job_store import JobStore
from darkroom_gateway.jobs import Jobs
from darkroom_gateway.progress import Progress
from darkroom_gateway.storage import Storage
from darkroom_local.kube.kubeconfig import write_kubeconfig

wait_until = patience(30)

ELSEWHERE = "s3://elsewhere/photos/"
"""These trainings' photos are nobody's concern here."""
LORAS = {"dog.safetensors", "pytorch_lora_weights.safetensors"}


def of_the_model(place: Place) -> list[str]:
    return place.keys(f"models/{place.namespace}/dog/") + place.keys(f"deletions/{place.namespace}/")


def complete(place: Place) -> None:
    """What a sweep does."""
    place.model_files().complete_all(place.job_files().all())


def read(place: Place, key: str) -> bytes:
    body: bytes = place.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return body


def test_a_model_goes_with_its_loras(place: Place, start_gateway: Any, environment: dict[str, str]) -> None:
    uid = place.training("job", ELSEWHERE)
    place.model(uid)
    with start_gateway({**environment, "DARKROOM_NAMESPACE": place.namespace}) as gateway:
        assert [each["model_id"] for each in gateway.http.get("/models").json()["models"]] == ["dog"]

        answer = gateway.http.delete("/models/dog")

        assert (answer.status_code, answer.text) == (204, "")
        assert gateway.http.get("/models").json()["models"] == []
        assert gateway.http.delete("/models/dog").status_code == 404
        assert gateway.http.delete("/models/a..%2Fb").status_code in (404, 422)
        asked = gateway.http.post("/generate/lora", params={"prompt": "a", "model_id": "dog"})
        # Its training has succeeded, and is still there: it makes no model any more.
        assert (asked.status_code, asked.json()["type"].rpartition(":")[2]) == (404, "UnknownModel")
    assert of_the_model(place) == []
    kept = sorted(run_prefix(uid) + each for each in RUN_FILES if each not in LORAS)
    assert place.keys(run_prefix(uid)) == kept


def test_of_trainings_that_are_gone_nothing_stays(place: Place) -> None:
    """With TTL or kubectl a job goes, and its files stay: only the model's record still tells of them."""
    uids = [place.training(f"job-{number}", ELSEWHERE) for number in range(3)]
    place.model(uids[2], earlier_runs=(uids[0], uids[1]))
    for number in (0, 2):
        place.api.delete(Kind.TRAIN, f"job-{number}")

    place.delete_model("dog")

    assert place.keys(run_prefix(uids[0])) == place.keys(run_prefix(uids[2])) == []
    assert len(place.keys(run_prefix(uids[1]))) == len(RUN_FILES) - len(LORAS)


def test_other_models_stay(place: Place) -> None:
    dog, cat = (place.training(name, ELSEWHERE, model_id=name) for name in ("dog", "cat"))
    place.model(dog, "dog")
    place.model(cat, "cat")

    place.delete_model("dog")

    assert len(place.keys(f"models/{place.namespace}/cat/")) == 1
    assert len(place.keys(run_prefix(cat))) == len(RUN_FILES)


@pytest.mark.parametrize("suspend", [False, True])
@pytest.mark.parametrize("kind", list(Kind))
def test_a_model_that_a_job_needs_stays(
    place: Place, start_gateway: Any, environment: dict[str, str], kind: Kind, suspend: bool
) -> None:
    uid = place.training("ended", ELSEWHERE)
    place.model(uid)
    dataset = {"dataset": {"uri": ELSEWHERE}} if kind is Kind.TRAIN else {}
    place.api.create(kind, "waiting", {"modelId": "dog", "prompt": "sks dog", "suspend": suspend, **dataset})

    with pytest.raises(ModelInUseError, match=rf"waited for by {kind}/waiting\."):
        place.delete_model("dog")
    assert len(of_the_model(place)) == 1
    assert len(place.keys(run_prefix(uid))) == len(RUN_FILES)

    if not suspend:
        with start_gateway({**environment, "DARKROOM_NAMESPACE": place.namespace}) as gateway:
            answer = gateway.http.delete("/models/dog")
            assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (409, "ModelInUse")
    place.api.set_status(kind, "waiting", phase="Failed")
    place.delete_model("dog")
    assert of_the_model(place) == []


def test_a_model_that_is_not_there_is_unknown(place: Place) -> None:
    with pytest.raises(UnknownModelError, match="no model 'dog'"):
        place.delete_model("dog")


@pytest.mark.parametrize("changes", range(6))
def test_a_gateway_may_die_at_any_step(place: Place, changes: int) -> None:
    """A removal record, `model.json`, two LoRA files, the removal record again: five changes."""
    uid = place.training("job", ELSEWHERE)
    place.model(uid)
    weights = f"{run_prefix(uid)}pytorch_lora_weights.safetensors"

    with contextlib.closing(KilledStorage(place.settings, changes)) as storage, contextlib.suppress(KilledError):
        place.delete_model("dog", storage)
    if place.keys(model_record_key(place.namespace, "dog")):
        assert place.keys(weights) == [weights]  # Never a model whose weights are gone.

    complete(place)
    if changes == 0:
        assert len(of_the_model(place)) == 1  # It died before it had accepted anything.
        assert place.keys(weights) == [weights]
    else:
        assert of_the_model(place) == []
        assert len(place.keys(run_prefix(uid))) == len(RUN_FILES) - len(LORAS)


def test_an_interrupted_deletion_may_be_asked_for_again(place: Place) -> None:
    uid = place.training("job", ELSEWHERE)
    place.model(uid)
    with contextlib.closing(KilledStorage(place.settings, 2)) as storage, pytest.raises(KilledError):
        place.delete_model("dog", storage)

    place.delete_model("dog")
    assert of_the_model(place) == []


def test_another_gateway_completes_a_deletion(place: Place, start_gateway: Any, environment: dict[str, str]) -> None:
    place.model(place.training("job", ELSEWHERE))
    with contextlib.closing(KilledStorage(place.settings, 3)) as storage, pytest.raises(KilledError):
        place.delete_model("dog", storage)

    with start_gateway({**environment, "DARKROOM_NAMESPACE": place.namespace}):
        wait_until(lambda: of_the_model(place) == [], "its first sweep completes it")


def test_a_deletion_that_storage_interrupts_completes_soon(place: Place) -> None:
    class Faltering(KilledStorage):
        def delete(self, keys: list[str]) -> None:
            try:
                super().delete(keys)
            except KilledError:
                self._left = -1  # From now on it answers.
                raise StorageUnavailableError("Object storage can't be reached.") from None

    place.model(place.training("job", ELSEWHERE))

    async def ask(storage: Storage) -> None:
        sweeper = sweeper_of(place, Backends(), place.cluster, storage)
        task = asyncio.create_task(sweeper.run())
        with pytest.raises(StorageUnavailableError):
            await sweeper.delete_model("dog")
        await asyncio.to_thread(wait_until, lambda: of_the_model(place) == [], "it is completed without being asked")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with contextlib.closing(Faltering(place.settings, 3)) as storage:
        asyncio.run(ask(storage))


async def test_an_api_server_that_stands_still_takes_no_calls_of_object_storage(place: Place, tmp_path: Path) -> None:
    backends, kubeconfig = Backends(), tmp_path / "kubeconfig.yaml"
    with SilentServer() as silent:
        kubeconfig.write_text(write_kubeconfig(silent.url, "token", place.namespace))
        with contextlib.closing(Cluster(replace(place.settings, kubeconfig=str(kubeconfig)))) as cluster:
            sweeper = sweeper_of(place, backends, cluster, place.storage)
            asked = [asyncio.create_task(sweeper.delete_model("dog")) for _ in range(STORAGE_CALLS)]
            connected = lambda: silent.connections == STORAGE_CALLS  # noqa: E731
            await asyncio.to_thread(wait_until, connected, "all deletions ask the API server")

            assert await backends.storage.call(STORAGE_SECONDS, lambda: "free") == "free"

            found = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(each) for each in found} == {ClusterUnavailableError}


async def test_a_refused_deletion_begins_no_sweep(place: Place) -> None:
    sweeper = sweeper_of(place, Backends(), place.cluster, place.storage)
    sweeper._next_sweep = 1000.0

    with pytest.raises(UnknownModelError):
        await sweeper.delete_model("dog")

    assert sweeper._next_sweep == 1000.0


def sweeper_of(place: Place, backends: Backends, cluster: Cluster, storage: Storage) -> Sweeper:
    """That of a gateway."""
    store = JobStore()
    return Sweeper(
        Jobs(cluster, backends.cluster, store, Informer(cluster, store)),
        backends,
        JobFiles(cluster, storage),
        place.model_files(storage),
        Datasets(storage, place.namespace, None),
        Progress(place.settings),
    )


def test_a_model_that_was_trained_anew_meanwhile_stays(place: Place) -> None:
    old, new = (place.training(name, ELSEWHERE) for name in ("old", "new"))
    remember(place, ModelRemoval(model_id="dog", runs=(old,), requested=datetime.now(UTC)))
    place.model(new, earlier_runs=(old,))

    complete(place)

    record = ModelRecord.model_validate_json(read(place, model_record_key(place.namespace, "dog")))
    assert record.job_uid == new
    assert len(place.keys(run_prefix(new))) == len(RUN_FILES)
    assert not LORAS & {key.rpartition("/")[2] for key in place.keys(run_prefix(old))}
    assert place.keys(f"deletions/{place.namespace}/") == []


@pytest.mark.parametrize("runs", [("",), ("..",), ("a/b",), ("*",)])
def test_a_removal_that_names_no_run_removes_nothing(place: Place, runs: tuple[str, ...]) -> None:
    """Records come from the bucket: what is in them becomes a prefix of what is deleted."""
    uid = place.training("job", ELSEWHERE)
    remember(place, ModelRemoval(model_id="dog", runs=runs, requested=datetime.now(UTC)))

    complete(place)

    assert len(place.keys(run_prefix(uid))) == len(RUN_FILES)


def remember(place: Place, removal: ModelRemoval) -> None:
    key = model_removal_key(place.namespace, removal.model_id)
    place.s3.put_object(Bucket=BUCKET, Key=key, Body=removal.model_dump_json(by_alias=True).encode())
