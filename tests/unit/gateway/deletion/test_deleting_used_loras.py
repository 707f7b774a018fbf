"""LoRAs that a job may still read are kept: imported files, saved steps, and models used beside others."""

import contextlib
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.isolated_namespace import BUCKET, RUN_FILES, IsolatedNamespace, KilledError, KilledStorage, uri_of
from support.waiting import waiter

from darkroom_contract.names import Kind
from darkroom_contract.storage.keys import ModelRecord, ModelRemoval, model_record_key, model_removal_key, run_prefix
from darkroom_gateway.deletion.import_collector import GRACE, ImportCollector
from darkroom_gateway.deletion.job_references import read_references
from darkroom_gateway.errors import ModelInUseError
from darkroom_gateway.jobs.task_ids import new_import_id

wait_until = waiter(30)

ELSEWHERE = "s3://elsewhere/photos/"
DATASET = {"uri": ELSEWHERE}
LATER = datetime.now(UTC) + GRACE + timedelta(hours=1)


def imported(isolated: IsolatedNamespace, model_id: str = "dog", *, with_record: bool = True) -> str:
    """Store an imported model as a gateway does; returns the file's key."""
    key = f"loras/{isolated.namespace}/{new_import_id()}/{model_id}.safetensors"
    isolated.store(key)
    record = ModelRecord(
        model_id=model_id, weights_key=key, sha256="0" * 64, base_model="b", source="a.safetensors", created=LATER
    )
    if with_record:
        body = record.model_dump_json(by_alias=True).encode()
        isolated.s3.put_object(Bucket=BUCKET, Key=model_record_key(isolated.namespace, model_id), Body=body)
    return key


def saved_step(isolated: IsolatedNamespace, uid: str, step: str = "200") -> list[str]:
    """Store a saved step of the model dog; returns the keys of its files."""
    keys = [f"{run_prefix(uid)}steps/{step}/{name}" for name in ("dog.safetensors", "pytorch_lora_weights.safetensors")]
    isolated.store(*keys)
    record = ModelRecord(
        model_id="dog", weights_key=keys[1], sha256="0" * 64, base_model="b", job_uid=uid, step=200, created=LATER
    )
    key = f"models/{isolated.namespace}/dog/steps/{step}.json"
    isolated.s3.put_object(Bucket=BUCKET, Key=key, Body=record.model_dump_json(by_alias=True).encode())
    return keys


def collect(isolated: IsolatedNamespace, now: datetime = LATER) -> list[str]:
    """One sweep over the imports."""
    collector = ImportCollector(isolated.storage, isolated.namespace)
    return collector.collect(isolated.job_deleter().all(), now)


def keys_of_the_model(isolated: IsolatedNamespace) -> list[str]:
    return isolated.keys(f"models/{isolated.namespace}/") + isolated.keys(f"deletions/{isolated.namespace}/")


def test_imported_model_is_deleted_with_its_file(isolated: IsolatedNamespace, gateway_of: Any) -> None:
    key, other = imported(isolated), imported(isolated, "cat")
    with gateway_of(isolated) as gateway:
        assert gateway.http.delete("/v1/models/dog").status_code == 204
        assert gateway.http.get("/v1/models/dog").status_code == 404

    assert isolated.keys(key) == []
    assert isolated.keys(other) == [other]
    assert keys_of_the_model(isolated) == [model_record_key(isolated.namespace, "cat")]


@pytest.mark.parametrize("changes", range(5))
def test_deletion_of_an_import_completes_after_a_crash_at_any_step(isolated: IsolatedNamespace, changes: int) -> None:
    """Four changes: the removal record, `model.json`, the file, and the removal record again."""
    key = imported(isolated)
    with contextlib.closing(KilledStorage(isolated.settings, changes)) as storage, contextlib.suppress(KilledError):
        isolated.delete_model("dog", storage)
    if isolated.keys(model_record_key(isolated.namespace, "dog")):
        assert isolated.keys(key) == [key]  # Never a model whose weights are gone.

    isolated.model_deleter().complete_all(isolated.job_deleter().all())
    assert (keys_of_the_model(isolated) == [] and isolated.keys(key) == []) == (changes > 0)


def test_model_that_was_imported_again_in_the_meantime_is_kept(isolated: IsolatedNamespace) -> None:
    old, new = imported(isolated), imported(isolated)
    removal = ModelRemoval(model_id="dog", runs=(), imports=(old.split("/")[2],), requested=LATER)
    removal_key = model_removal_key(isolated.namespace, "dog")
    isolated.s3.put_object(Bucket=BUCKET, Key=removal_key, Body=removal.model_dump_json(by_alias=True).encode())

    isolated.model_deleter().complete_all([])

    assert keys_of_the_model(isolated) == [model_record_key(isolated.namespace, "dog")]
    assert (isolated.keys(old), isolated.keys(new)) == ([], [new])


@pytest.mark.parametrize("import_id", ["..", "", "friends", "import-a/b", "import-" + "A" * 16])
def test_removal_record_with_an_invalid_import_id_deletes_nothing(isolated: IsolatedNamespace, import_id: str) -> None:
    key = f"loras/{isolated.namespace}/friends/dog.safetensors"
    isolated.store(key)
    removal = ModelRemoval(model_id="dog", runs=(), imports=(import_id,), requested=LATER)
    removal_key = model_removal_key(isolated.namespace, "dog")
    isolated.s3.put_object(Bucket=BUCKET, Key=removal_key, Body=removal.model_dump_json(by_alias=True).encode())

    isolated.model_deleter().complete_all([])

    assert isolated.keys(key) == [key]


def test_saved_steps_are_deleted_with_the_model(isolated: IsolatedNamespace) -> None:
    uid = isolated.training("job", ELSEWHERE)
    isolated.model(uid)
    files = saved_step(isolated, uid) + saved_step(isolated, uid, "best")

    isolated.delete_model("dog")

    assert keys_of_the_model(isolated) == []
    assert not set(files) & set(isolated.keys(run_prefix(uid)))


def test_model_with_saved_steps_only_can_be_deleted(isolated: IsolatedNamespace) -> None:
    """Its training has failed after it saved them, and is deleted."""
    saved_step(isolated, "a-uid")

    isolated.delete_model("dog")

    assert keys_of_the_model(isolated) == isolated.keys(run_prefix("a-uid")) == []


def test_saved_steps_of_a_deleted_training_stay_usable(isolated: IsolatedNamespace) -> None:
    uid = isolated.training("job", uri_of(isolated.dataset()))
    isolated.model(uid)
    files = saved_step(isolated, uid)
    isolated.store(f"{run_prefix(uid)}steps/300/dog.safetensors", f"{run_prefix(uid)}samples/1.png")
    isolated.request(Kind.TRAIN, "job")

    assert isolated.proceed() == [uid]
    model = [run_prefix(uid) + each for each in ("dog.safetensors", "pytorch_lora_weights.safetensors")]
    assert isolated.keys(run_prefix(uid)) == sorted([*files, *model])  # Step 300 has no record.


USERS = [
    (Kind.GENERATE, {"prompt": "a", "modelId": "dog@200"}),
    (Kind.GENERATE, {"prompt": "a", "loras": [{"modelId": "cat"}, {"modelId": "dog", "scale": 0.5}]}),
    (Kind.GENERATE, {"prompt": "a", "loras": [{"modelId": "dog@best"}]}),
    (
        Kind.TRAIN,
        {"prompt": "a", "modelId": "cat", "dataset": DATASET, "training": {"initialLora": {"modelId": "dog"}}},
    ),
    (
        Kind.TRAIN,
        {"prompt": "a", "modelId": "cat", "dataset": DATASET, "training": {"initialLora": {"modelId": "dog@200"}}},
    ),
]


@pytest.mark.parametrize(("kind", "spec"), USERS)
def test_model_that_an_unfinished_job_uses_in_any_form_is_kept(
    isolated: IsolatedNamespace, kind: Kind, spec: dict[str, Any]
) -> None:
    uid = isolated.training("ended", ELSEWHERE)
    isolated.model(uid)
    saved_step(isolated, uid)
    isolated.api.create(kind, "waiting", spec)

    with pytest.raises(ModelInUseError, match=rf"used by unfinished jobs: {kind}/waiting\."):
        isolated.delete_model("dog")
    assert len(isolated.keys(run_prefix(uid))) == len(RUN_FILES) + 2

    isolated.api.set_status(kind, "waiting", phase="Succeeded")
    isolated.delete_model("dog")
    assert keys_of_the_model(isolated) == []


def test_imported_file_that_an_unfinished_job_names_by_its_uri_is_kept(isolated: IsolatedNamespace) -> None:
    key = imported(isolated)
    isolated.api.create(Kind.GENERATE, "waiting", {"prompt": "a", "loras": [{"uri": f"s3://{BUCKET}/{key}"}]})

    with pytest.raises(ModelInUseError, match="GenerateJob/waiting"):
        isolated.delete_model("dog")
    assert isolated.keys(key) == [key]


class TestCollection:
    """Of imported files that no model refers to."""

    def test_file_without_a_record_is_removed_after_a_day(self, isolated: IsolatedNamespace) -> None:
        key = imported(isolated, with_record=False)

        assert collect(isolated, datetime.now(UTC) + GRACE - timedelta(minutes=5)) == []  # Its import may continue.
        assert collect(isolated) == [key.rpartition("/")[0] + "/"]
        assert isolated.keys(f"loras/{isolated.namespace}/") == []

    def test_file_of_a_replaced_model_is_removed(self, isolated: IsolatedNamespace) -> None:
        key = imported(isolated)
        isolated.model(isolated.training("job", ELSEWHERE))

        assert len(collect(isolated)) == 1
        assert isolated.keys(key) == []

    def test_file_of_a_model_is_kept(self, isolated: IsolatedNamespace) -> None:
        key = imported(isolated)

        assert collect(isolated) == []
        assert isolated.keys(key) == [key]

    def test_file_of_an_unreadable_record_is_kept(self, isolated: IsolatedNamespace) -> None:
        imported(isolated, with_record=False)
        isolated.s3.put_object(Bucket=BUCKET, Key=model_record_key(isolated.namespace, "dog"), Body=b"of tomorrow")

        assert collect(isolated) == []

    @pytest.mark.parametrize("by", ["name", "uri"])
    def test_replaced_file_that_an_unfinished_job_may_read_is_kept(self, isolated: IsolatedNamespace, by: str) -> None:
        """Its run may have read the record before the model was replaced."""
        key = imported(isolated)
        isolated.model(isolated.training("job", ELSEWHERE))
        lora = {"modelId": "dog"} if by == "name" else {"uri": f"s3://{BUCKET}/{key}"}
        isolated.api.create(Kind.GENERATE, "running", {"prompt": "a", "loras": [lora]})

        assert collect(isolated) == []
        isolated.api.set_status(Kind.GENERATE, "running", phase="Failed")
        assert len(collect(isolated)) == 1

    def test_files_that_people_put_there_are_kept(self, isolated: IsolatedNamespace) -> None:
        keys = [f"loras/{isolated.namespace}/{each}/dog.safetensors" for each in ("friends", "import-2", "a" * 16)]
        isolated.store(*keys)

        assert collect(isolated) == []
        assert sorted(keys) == isolated.keys(f"loras/{isolated.namespace}/")

    def test_gateway_collects_in_its_first_sweep(
        self, isolated: IsolatedNamespace, gateway_of: Any, nanio_folder: Path
    ) -> None:
        key = f"loras/{isolated.namespace}/{new_import_id()}/dog.safetensors"
        file = nanio_folder / BUCKET / key
        file.parent.mkdir(parents=True)
        file.write_bytes(b"x")  # The server returns the modification time of a file that has no record.
        days_ago = time.time() - 2 * GRACE.total_seconds()
        os.utime(file, (days_ago, days_ago))
        assert isolated.keys(key) == [key]

        with gateway_of(isolated):
            wait_until(lambda: isolated.keys(key) == [], "the sweep removes it")


def test_all_references_of_a_job_are_read() -> None:
    photos = {"uri": "s3://a/1"}
    spec = {
        "modelId": "dog",
        "dataset": photos,
        "concepts": [{"dataset": {"uri": "s3://a/2"}, "priorPreservation": {"dataset": {"uri": "s3://a/3"}}}, {}],
        "training": {
            "priorPreservation": {"dataset": {"uri": "s3://a/4"}},
            "initialLora": {"uri": "s3://a/b.safetensors"},
        },
        "loras": [{"modelId": "cat@best"}, {"uri": "s3://a/c.safetensors"}],
    }

    found = read_references(spec)

    assert found.dataset_uris == ("s3://a/1", "s3://a/2", "s3://a/4", "s3://a/3")
    assert found.models == {"dog", "cat"}
    assert found.lora_uris == {"s3://a/b.safetensors", "s3://a/c.safetensors"}


@pytest.mark.parametrize("wrong", [None, 1, "text", ["text"], {"modelId": 1, "uri": [], "dataset": "x"}])
def test_references_of_an_unreadable_job_are_read_as_far_as_possible(wrong: object) -> None:
    spec = dict.fromkeys(("modelId", "dataset", "concepts", "training", "loras"), wrong)

    assert read_references({**spec, "dataset": {"uri": "s3://a/1"}}).dataset_uris == ("s3://a/1",)
