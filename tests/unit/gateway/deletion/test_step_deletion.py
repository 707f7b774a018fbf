"""`DELETE /v1/models/my-dog@200` deletes one saved step, also after an error in the middle."""

import contextlib
from typing import Any

import pytest
from support.isolated_namespace import BUCKET, ENDED, IsolatedNamespace, KilledError, KilledStorage

from darkroom_contract.names import Kind
from darkroom_contract.storage.keys import LORA_FILE, ModelRecord, model_step_key, run_prefix, saved_step_prefix
from darkroom_gateway.errors import ModelInUseError, UnknownModelError

ELSEWHERE = "s3://elsewhere/photos/"


def save_step(isolated: IsolatedNamespace, uid: str, step: str) -> list[str]:
    """Store what a training stores; returns the keys of the files."""
    files = [saved_step_prefix(uid, step) + each for each in ("dog.safetensors", LORA_FILE)]
    isolated.store(*files)
    record = ModelRecord(
        model_id="dog",
        weights_key=files[1],
        sha256="0" * 64,
        base_model="owner/base",
        job_uid=uid,
        step=200,
        created=ENDED,
    )
    key, body = model_step_key(isolated.namespace, "dog", step), record.model_dump_json(by_alias=True).encode()
    isolated.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    return files


@pytest.fixture
def uid(isolated: IsolatedNamespace) -> str:
    found = isolated.training("job", ELSEWHERE)
    isolated.model(found)
    return found


def records(isolated: IsolatedNamespace) -> list[str]:
    return [each.rpartition("/")[2] for each in isolated.keys(f"models/{isolated.namespace}/dog/")]


def delete_step(isolated: IsolatedNamespace, step: str, storage: Any = None) -> None:
    isolated.model_deleter(storage).delete_step("dog", step, isolated.job_deleter().all())


def test_step_is_deleted_with_its_files(
    isolated: IsolatedNamespace, uid: str, start_gateway: Any, environment: dict[str, str]
) -> None:
    files = save_step(isolated, uid, "200")
    others = {*isolated.keys(run_prefix(uid)), *save_step(isolated, uid, "2000")} - {*files}
    with start_gateway({**environment, "DARKROOM_NAMESPACE": isolated.namespace}) as gateway:
        assert gateway.http.delete("/v1/models/dog@200").status_code == 204
        assert gateway.http.get("/v1/models/dog@200").status_code == 404
        assert [each["step"] for each in gateway.http.get("/v1/models/dog").json()["steps"]] == [2000]
        assert gateway.http.delete("/v1/models/dog@200").status_code == 404
    assert records(isolated) == ["model.json", "2000.json"]
    assert {*isolated.keys(run_prefix(uid))} == others


@pytest.mark.parametrize("changes", [1, 2])
def test_repeated_deletion_completes_an_interrupted_one(isolated: IsolatedNamespace, changes: int) -> None:
    """Of a training whose job is deleted, and which has made no model: only the record of the step knows its files."""
    run = f"run-of-{isolated.namespace}"
    save_step(isolated, run, "200")
    killed = KilledStorage(isolated.settings, changes)
    with contextlib.closing(killed), pytest.raises(KilledError):
        delete_step(isolated, "200", killed)
    assert records(isolated) == ["200.json"]
    assert len(isolated.keys(run_prefix(run))) == 2 - changes

    delete_step(isolated, "200")

    assert records(isolated) == isolated.keys(run_prefix(run)) == []
    with pytest.raises(UnknownModelError, match="There is no model"):
        delete_step(isolated, "200")


@pytest.mark.parametrize("kind", list(Kind))
def test_step_of_a_model_in_use_is_kept(isolated: IsolatedNamespace, uid: str, kind: Kind) -> None:
    files = save_step(isolated, uid, "200")
    spec = {"prompt": "sks dog", "suspend": True}
    own = {"modelId": "dog", "dataset": {"uri": ELSEWHERE}} if kind is Kind.TRAIN else {"modelId": "dog@200"}
    isolated.api.create(kind, "waiting", {**spec, **own})

    with pytest.raises(ModelInUseError, match=f"{kind}/waiting"):
        delete_step(isolated, "200")
    assert {*files} <= {*isolated.keys(run_prefix(uid))}


def test_imported_model_has_no_saved_step_to_delete(isolated: IsolatedNamespace) -> None:
    isolated.model("", source="dog.safetensors")

    with pytest.raises(UnknownModelError, match="no saved step '200' of the model 'dog', so nothing was deleted"):
        delete_step(isolated, "200")


@pytest.mark.parametrize("saved", [[], ["200"]])
def test_step_that_does_not_exist_is_unknown_while_its_model_is_in_use(
    isolated: IsolatedNamespace, uid: str, saved: list[str]
) -> None:
    """No job has to be deleted for it."""
    for each in saved:
        save_step(isolated, uid, each)
    spec = {"prompt": "sks dog", "suspend": True, "modelId": "dog", "dataset": {"uri": ELSEWHERE}}
    isolated.api.create(Kind.TRAIN, "waiting", spec)

    with pytest.raises(UnknownModelError, match="There is no saved step '999' of the model 'dog'"):
        delete_step(isolated, "999")
