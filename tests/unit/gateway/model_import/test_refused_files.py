"""Files that are no LoRA for SDXL, or of which a part would be dropped, are refused, and nothing is stored."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from support.lora_files import kohya_names, lora_bytes

MIB = 1024**2
TRUNCATED = b"--b\r\nContent-Disposition: form-data; name=file; filename=a.safetensors\r\n\r\nxx"
PICKLE = b"PK\x03\x04 archive/data.pkl"


@pytest.fixture(autouse=True)
def _nothing_is_stored(stored_keys: Any) -> Iterator[None]:
    before = stored_keys("loras/"), stored_keys("models/")
    yield
    assert (stored_keys("loras/"), stored_keys("models/")) == before


def refused(response: httpx.Response, status: int = 422, kind: str = "InvalidModel") -> dict[str, str]:
    """The messages by parameter."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"].rpartition(":")[2] == kind
    return {each["parameter"]: each["message"] for each in response.json()["errors"]}


@pytest.mark.parametrize("name", ["a.ckpt", "a.PT", "a.bin", "a.pth"])
def test_pickle_is_refused_by_its_name(import_lora: Any, job_name: str, name: str) -> None:
    [message] = refused(import_lora(job_name, lora_bytes(), name)).values()

    assert "can run code" in message
    assert ".safetensors" in message


@pytest.mark.parametrize("name", ["a.ckpt", "a.pt", "a.bin"])
def test_pickle_is_refused_by_its_uri(http: httpx.Client, job_name: str, name: str) -> None:
    uri = f"s3://darkroom/loras/default/{name}"
    in_query = http.post("/v1/models", params={"model_id": job_name, "uri": uri})
    in_body = http.post("/v1/models", params={"model_id": job_name}, json={"uri": uri})

    assert "can run code" in refused(in_query, kind="InvalidRequest")["uri"]
    assert "can run code" in refused(in_body, kind="InvalidRequest")["uri"]


@pytest.mark.parametrize("content", [PICKLE, b"\x80\x02}q\x00.", b"\x80\x04\x95"])
def test_renamed_pickle_is_refused_by_its_content(import_lora: Any, job_name: str, content: bytes) -> None:
    assert "can run code" in refused(import_lora(job_name, content))["style.safetensors"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a safetensors file"),
        (b"<!DOCTYPE html><html></html>", "Download it again: a saved web page"),
        (b"\x08\x00\x00\x00\x00\x00\x00\x00no json!", "not JSON"),
        (lora_bytes()[:-1], "incomplete or damaged"),
        (lora_bytes() + b"x", "incomplete or damaged"),
        (lora_bytes(["encoder.weight"]), "not a LoRA"),
    ],
)
def test_other_content_is_refused(import_lora: Any, job_name: str, content: bytes, words: str) -> None:
    assert words in refused(import_lora(job_name, content))["style.safetensors"]


def test_name_that_no_answer_can_hold_is_refused(import_lora: Any, job_name: str) -> None:
    """JSON can escape half a surrogate pair; UTF-8 can't hold it."""
    content = lora_bytes(["lora_unet_\ud800.lora_down.weight"])

    assert "has no valid name" in refused(import_lora(job_name, content))["style.safetensors"]


def test_tensors_that_would_be_dropped_are_listed(import_lora: Any, job_name: str) -> None:
    unknown = [f"lora_unet_a_new_block_{number}.lora_down.weight" for number in range(30)]

    messages = refused(import_lora(job_name, lora_bytes([*kohya_names(), *unknown])))

    assert "30 of its tensors can't be applied" in messages.pop("style.safetensors")
    assert messages == dict.fromkeys(unknown[:19], "It would be dropped.")


def test_incomplete_module_is_refused(import_lora: Any, job_name: str) -> None:
    assert "would be dropped" in refused(import_lora(job_name, lora_bytes(kohya_names()[:2])))["style.safetensors"]


def test_textual_inversion_in_the_file_is_refused(import_lora: Any, job_name: str) -> None:
    content = lora_bytes([*kohya_names(), "bundle_emb.ohwx.string_to_param.*"])

    assert "embedding" in refused(import_lora(job_name, content))["style.safetensors"]


def test_request_without_a_file_is_refused(http: httpx.Client, job_name: str) -> None:
    response = http.post("/v1/models", params={"model_id": job_name})

    assert "file" in refused(response, kind="InvalidRequest")


def test_text_field_is_refused(http: httpx.Client, job_name: str) -> None:
    files = {"file": ("a.safetensors", lora_bytes())}
    response = http.post("/v1/models", params={"model_id": job_name}, data={"prompt": "x"}, files=files)

    assert "query string" in refused(response, kind="InvalidRequest")["prompt"]


def test_second_file_is_refused(http: httpx.Client, job_name: str) -> None:
    files = [("file", (f"{number}.safetensors", lora_bytes())) for number in range(2)]

    assert "one file" in refused(http.post("/v1/models", params={"model_id": job_name}, files=files))["file"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (
            b"--b\r\nContent-Disposition: form-data; name=file; filename=a.safetensors\r\n\r\nxx",
            "multipart/form-data; boundary=b",
        ),
        (b"nothing of a form", "multipart/form-data; boundary=b"),
        (lora_bytes(), "application/octet-stream"),
        (b"--b--\r\n", "multipart/form-data; boundary=b"),
        (b"--b\r\n\r\n", "multipart/form-data"),
    ],
)
def test_broken_form_is_refused(http: httpx.Client, job_name: str, body: bytes, kind: str) -> None:
    response = http.post("/v1/models", params={"model_id": job_name}, content=body, headers={"Content-Type": kind})

    refused(response)


@pytest.mark.parametrize("model_id", ["", "a/b", "..", "x" * 64, "a@200"])
def test_model_id_with_other_characters_is_refused(import_lora: Any, model_id: str) -> None:
    assert "model_id" in refused(import_lora(model_id), kind="InvalidRequest")


def test_unknown_parameter_is_refused(import_lora: Any, job_name: str) -> None:
    assert "scale" in refused(import_lora(job_name, scale=1), kind="InvalidRequest")


@pytest.fixture(scope="module")
def small(start_gateway: Any, environment: dict[str, str]) -> Iterator[httpx.Client]:
    """A gateway that accepts LoRAs of at most 4 MiB, in the space of four uploads."""
    limits = {
        "DARKROOM_GATEWAY_MAX_UPLOAD_BYTES": str(2 * MIB),
        "DARKROOM_GATEWAY_MAX_UPLOADS": "4",
        "DARKROOM_GATEWAY_MAX_MODEL_BYTES": str(4 * MIB),
    }
    with start_gateway({**environment, **limits}) as gateway:
        yield gateway.http


def large(bytes_: int) -> bytes:
    """A LoRA-like file whose names are refused at the end, so that nothing is stored."""
    name = "encoder.weight"
    header = f'{{"{name}":{{"dtype":"U8","shape":[{bytes_}],"data_offsets":[0,{bytes_}]}}}}'.encode()
    return len(header).to_bytes(8, "little") + header + bytes(bytes_)


def test_file_may_be_larger_than_an_upload_of_photos(small: httpx.Client, job_name: str) -> None:
    files = {"file": ("a.safetensors", large(3 * MIB))}
    response = small.post("/v1/models", params={"model_id": job_name}, files=files)

    assert "not a LoRA" in refused(response)["a.safetensors"]


def test_too_large_file_is_refused_before_it_is_received(small: httpx.Client, job_name: str) -> None:
    files = {"file": ("a.safetensors", large(6 * MIB))}
    response = small.post("/v1/models", params={"model_id": job_name}, files=files)

    refused(response, 413, "TooLarge")


def test_body_of_other_paths_keeps_its_limit(small: httpx.Client, job_name: str) -> None:
    files = {"files": ("a.jpg", bytes(3 * MIB))}
    response = small.post("/train", params={"model_id": job_name, "prompt": "a"}, files=files)

    refused(response, 413, "TooLarge")


def test_too_large_object_is_refused(small: httpx.Client, bucket: Any, job_name: str) -> None:
    key = f"loras/default/big/{job_name}.safetensors"
    bucket.put_object(Bucket="darkroom", Key=key, Body=large(5 * MIB))
    try:
        response = small.post("/v1/models", params={"model_id": job_name, "uri": f"s3://darkroom/{key}"})
    finally:
        bucket.delete_object(Bucket="darkroom", Key=key)

    refused(response, 413, "TooLarge")
