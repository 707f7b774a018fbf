"""Invalid input gets a 422 that says what to change, before anything is stored or created."""

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from darkroom_contract.names import Kind

Draw = Callable[..., bytes]
File = tuple[str, bytes]


@pytest.fixture(autouse=True)
def _nothing_is_made(cluster: Any, stored_keys: Any, http: httpx.Client) -> Iterator[None]:
    before = [cluster.count(kind) for kind in Kind], stored_keys("datasets/")
    yield
    assert ([cluster.count(kind) for kind in Kind], stored_keys("datasets/")) == before


def train(http: httpx.Client, *files: File, **parameters: Any) -> httpx.Response:
    query = {"prompt": "a photo of sks dog", "model_id": "dog", **parameters}
    return http.post("/train", params=query, files=[("files", file) for file in files])


def field_errors(response: httpx.Response, status: int = 422) -> dict[str, str]:
    """The messages of a problem by parameter. Also checks its schema."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["detail"]
    return {each["parameter"]: each["message"] for each in problem["errors"]}


def test_text_file_named_jpg_is_refused(http: httpx.Client) -> None:
    assert (
        "JPEG, PNG, WebP, AVIF or HEIC"
        in field_errors(train(http, ("notes.jpg", b"not a picture\n" * 20)))["notes.jpg"]
    )


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
def test_truncated_photo_is_refused(http: httpx.Client, picture: Draw, format_: str) -> None:
    whole = picture(format_=format_)

    found = field_errors(train(http, ("good.jpg", picture()), ("cut", whole[: len(whole) // 2])))

    assert list(found) == ["cut"]
    assert "Replace it with an intact copy" in found["cut"]


def test_picture_of_30000_pixels_width_is_refused(http: httpx.Client, picture: Draw) -> None:
    found = field_errors(train(http, ("wide.png", picture(30_000, 64, "PNG"))))

    assert "no side may have more than 16000" in found["wide.png"]


def test_picture_with_too_many_pixels_is_refused(http: httpx.Client) -> None:
    chunk = b"IHDR" + (15_000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    bomb = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    data = b"IDAT" + zlib.compress(bytes(1000))
    bomb += (len(data) - 4).to_bytes(4, "big") + data + zlib.crc32(data).to_bytes(4, "big")

    assert "at most 100 megapixels" in field_errors(train(http, ("bomb.png", bomb)))["bomb.png"]


def test_too_small_picture_is_refused(http: httpx.Client, picture: Draw) -> None:
    assert "larger picture" in field_errors(train(http, ("tiny.png", picture(20, 300, "PNG"))))["tiny.png"]


def test_unsupported_format_is_refused(http: httpx.Client, picture: Draw) -> None:
    assert "JPEG, PNG, WebP, AVIF or HEIC" in field_errors(train(http, ("a.bmp", picture(format_="BMP"))))["a.bmp"]


def test_every_invalid_photo_is_named(http: httpx.Client, picture: Draw) -> None:
    assert set(field_errors(train(http, ("a.jpg", b"x"), ("b.jpg", picture()), ("c.jpg", b"")))) == {"a.jpg", "c.jpg"}


def test_too_large_photo_is_refused(http: httpx.Client, picture: Draw) -> None:
    large = picture() + bytes(25 * 1024**2)

    assert "at most 25 MiB" in field_errors(train(http, ("large.jpg", large)))["large.jpg"]


def test_form_without_files_is_refused(http: httpx.Client) -> None:
    boundary = {"Content-Type": "multipart/form-data; boundary=b"}
    query = {"prompt": "a", "model_id": "dog"}

    empty = http.post("/train", params=query, content=b"--b--\r\n", headers=boundary)
    nothing = http.post("/train", params=query)
    other = http.post("/train", params=query, json={"files": []})

    for response in (empty, nothing, other):
        assert "curl" in field_errors(response)["files"]


def test_empty_file_chooser_is_refused(http: httpx.Client) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="files"; filename=""\r\n\r\n\r\n--b--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    response = http.post("/train", params={"prompt": "a", "model_id": "dog"}, content=body, headers=headers)

    assert "it has none" in field_errors(response)["files"]


def test_broken_form_is_refused(http: httpx.Client) -> None:
    headers = {"Content-Type": "multipart/form-data"}
    response = http.post("/train", params={"prompt": "a", "model_id": "dog"}, content=b"rubbish", headers=headers)

    assert "complete multipart/form-data body" in field_errors(response)["files"]


def test_form_of_500_files_is_refused(http: httpx.Client, picture: Draw) -> None:
    photo = picture()

    assert "at most 100 photos" in field_errors(train(http, *[(f"{n}.jpg", photo) for n in range(500)]))["files"]


@pytest.mark.parametrize("prompt", ["", "   ", "\n"])
def test_empty_prompt_is_refused(http: httpx.Client, picture: Draw, prompt: str) -> None:
    found = field_errors(train(http, ("a.jpg", picture()), prompt=prompt))
    assert "must not be empty" in found["prompt"]
    assert "must not be empty" in field_errors(http.post("/generate/sdxl", params={"prompt": prompt}))["prompt"]


def test_missing_prompt_is_refused(http: httpx.Client) -> None:
    assert "required" in field_errors(http.post("/generate/sdxl"))["prompt"]


@pytest.mark.parametrize("model_id", ["../../etc", "/etc", ".hidden", "a/b", "", "x" * 64, "a b", "dog\n"])
def test_invalid_model_id_is_refused(http: httpx.Client, picture: Draw, model_id: str) -> None:
    assert field_errors(train(http, ("a.jpg", picture()), model_id=model_id))["model_id"]
    assert field_errors(http.post("/generate/lora", params={"prompt": "a", "model_id": model_id}))["model_id"]


@pytest.mark.parametrize("max_steps", ["0", "-1", "20001", "many", "1.5"])
def test_number_of_steps_out_of_bounds_is_refused(http: httpx.Client, picture: Draw, max_steps: str) -> None:
    response = train(http, ("a.jpg", picture()), max_steps=max_steps)

    assert field_errors(response)["max_steps"]
    assert response.json()["errors"][0]["given"] == max_steps


def test_unknown_model_is_refused(http: httpx.Client) -> None:
    response = http.post("/generate/lora", params={"prompt": "a", "model_id": "nobody-made-this"})

    assert "Train or import it" in field_errors(response, 404)["model_id"]


def test_unknown_parameter_is_refused(http: httpx.Client) -> None:
    assert (
        "no such parameter" in field_errors(http.post("/generate/sdxl", params={"prompt": "a", "stepps": 3}))["stepps"]
    )


def test_path_as_base_model_is_refused(http: httpx.Client) -> None:
    query = {"prompt": "a", "base_model": "../../secrets"}
    assert "hub repository" in field_errors(http.post("/generate/sdxl", params=query))["base_model"]


def test_class_images_without_a_class_prompt_are_refused(http: httpx.Client, picture: Draw) -> None:
    assert "class_prompt" in field_errors(train(http, ("a.jpg", picture()), class_images=10))


@pytest.mark.parametrize("task_id", ["../../etc", "Train-1", "a.b", "x" * 49, "", "-a"])
def test_invalid_task_id_is_refused(http: httpx.Client, task_id: str) -> None:
    for path in ("/result", "/images"):
        assert field_errors(http.get(path, params={"task_id": task_id}))["task_id"]


def test_invalid_idempotency_key_is_refused(http: httpx.Client) -> None:
    headers = {"Idempotency-Key": "k" * 256}
    response = http.post("/generate/sdxl", params={"prompt": "a"}, headers=headers)

    assert "printable" in field_errors(response)["Idempotency-Key"]


def test_unknown_path_or_method_is_refused(http: httpx.Client) -> None:
    field_errors(http.get("/nowhere"), 404)
    response = http.put("/train")
    field_errors(response, 405)
    assert response.headers["allow"] == "POST"
