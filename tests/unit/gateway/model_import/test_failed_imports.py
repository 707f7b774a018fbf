"""An import that fails leaves no file and no model, and may be repeated."""

import contextlib
from collections.abc import AsyncIterator
from typing import IO, Any

import httpx
import pytest
from support.isolated_namespace import BUCKET, IsolatedNamespace
from support.lora_files import lora_bytes

from darkroom_contract.storage.keys import ModelRecord, model_record_key
from darkroom_gateway.app import create_app
from darkroom_gateway.errors import StorageUnavailableError, TooManyUploadsError
from darkroom_gateway.http.upload_slots import UploadSlots
from darkroom_gateway.model_import import lora_source
from darkroom_gateway.services import Services

REFUSED = StorageUnavailableError("Object storage can't be reached.")


class Gateway:
    """The application in this process, so that its storage can fail at a certain step."""

    def __init__(self, isolated: IsolatedNamespace) -> None:
        app = create_app(isolated.settings)
        self.services: Services = app.state.services
        self.storage = self.services.clients.storage
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")

    async def upload(self, **query: Any) -> int:
        """The status of an import of the model dog."""
        files = {"file": ("a.safetensors", lora_bytes())}
        return (await self.http.post("/v1/models", params={"model_id": "dog", **query}, files=files)).status_code


@pytest.fixture
async def gateway(isolated: IsolatedNamespace) -> AsyncIterator[Gateway]:
    made = Gateway(isolated)
    yield made
    await made.http.aclose()
    made.services.clients.kube.close()
    made.storage.close()


def stored(isolated: IsolatedNamespace) -> list[str]:
    return isolated.keys(f"loras/{isolated.namespace}/") + isolated.keys(f"models/{isolated.namespace}/")


async def removals(gateway: Gateway) -> None:
    """Wait for the removals in the background."""
    for each in list(gateway.services.model_importer._removals):
        await each


async def test_file_whose_upload_fails_is_removed(
    isolated: IsolatedNamespace, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it was stored, and only the answer was lost."""
    put = gateway.storage.put

    def put_and_fail(key: str, body: IO[bytes], content_type: str) -> None:
        put(key, body, content_type)
        raise REFUSED

    with monkeypatch.context() as patched:
        patched.setattr(gateway.storage, "put", put_and_fail)
        assert await gateway.upload() == 503
        await removals(gateway)
    assert stored(isolated) == []

    assert await gateway.upload() == 201


async def test_file_is_kept_while_it_is_unknown_whether_its_record_was_written(
    isolated: IsolatedNamespace, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record without its file would be worse. A sweep removes the file if there is no record after a day."""
    write = gateway.storage.write

    def write_and_fail(key: str, body: bytes, content_type: str) -> None:
        write(key, body, content_type)
        raise REFUSED

    with monkeypatch.context() as patched:
        patched.setattr(gateway.storage, "write", write_and_fail)
        assert await gateway.upload() == 503
        await removals(gateway)

    assert await gateway.upload() == 200  # The repeated request finds the model.
    body = isolated.s3.get_object(Bucket=BUCKET, Key=model_record_key(isolated.namespace, "dog"))["Body"].read()
    assert isolated.keys(f"loras/{isolated.namespace}/") == [ModelRecord.model_validate_json(body).weights_key]


async def test_replacement_that_fails_keeps_the_earlier_model(
    isolated: IsolatedNamespace, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await gateway.upload() == 201
    before = stored(isolated)

    def fail(key: str, body: IO[bytes], content_type: str) -> None:
        raise REFUSED

    monkeypatch.setattr(gateway.storage, "put", fail)
    assert await gateway.upload(replace="true", prompt="other") == 503
    await removals(gateway)

    assert stored(isolated) == before


async def test_model_that_is_made_while_the_file_arrives_is_not_replaced(
    isolated: IsolatedNamespace, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large upload takes minutes."""
    trained = ModelRecord(
        model_id="dog",
        weights_key="runs/u/dog.safetensors",
        sha256="0" * 64,
        base_model="b",
        job_uid="u",
        created="2026-01-02T03:04:05Z",
    )
    check = lora_source.checked

    def check_late(source: str, file: IO[bytes]) -> lora_source.LoraFile:
        key = model_record_key(isolated.namespace, "dog")
        gateway.storage.write(key, trained.model_dump_json(by_alias=True).encode(), "application/json")
        return check(source, file)

    monkeypatch.setattr(lora_source, "checked", check_late)
    assert await gateway.upload() == 409
    assert isolated.keys(f"loras/{isolated.namespace}/") == []

    isolated.s3.delete_object(Bucket=BUCKET, Key=model_record_key(isolated.namespace, "dog"))
    assert await gateway.upload(replace="true") == 201
    body = isolated.s3.get_object(Bucket=BUCKET, Key=model_record_key(isolated.namespace, "dog"))["Body"].read()
    assert ModelRecord.model_validate_json(body).earlier_runs == ("u",)  # Deleted with the model.


async def test_import_takes_the_slots_that_its_size_needs(gateway: Gateway, isolated: IsolatedNamespace) -> None:
    """Photos and LoRAs share the temporary folder."""
    slots = gateway.services.upload_validator.slots
    with slots.hold(slots.count):
        assert await gateway.upload() == 503
    assert stored(isolated) == []

    with slots.hold(slots.count - 1):
        assert await gateway.upload() == 201


def test_slots_are_free_again_after_an_error() -> None:
    slots = UploadSlots(3)
    with pytest.raises(TooManyUploadsError, match=r"space of 4 of the 3 uploads .* and 3 are free"), slots.hold(4):
        pass
    with contextlib.suppress(ZeroDivisionError), slots.hold(2):
        raise ZeroDivisionError
    with slots.hold(2), slots.hold(1), pytest.raises(TooManyUploadsError), slots.hold():
        pass
