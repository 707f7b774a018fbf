"""`POST /v1/models` stores a LoRA that was made elsewhere, unchanged, and `GET /v1/models/{model_id}` shows it."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from support.lora_files import lora_bytes

from darkroom_contract.names import Kind
from darkroom_contract.storage.keys import ModelRecord, model_record_key
from darkroom_gateway.models.records import import_of_key

BUCKET = "darkroom"
DATASET = {"uri": "s3://darkroom/datasets/default/x/"}


def record_of(bucket: Any, model_id: str) -> ModelRecord:
    body = bucket.get_object(Bucket=BUCKET, Key=model_record_key("default", model_id))["Body"].read()
    return ModelRecord.model_validate_json(body)


def problem(response: httpx.Response, status: int, kind: str) -> str:
    assert response.status_code == status, response.text
    assert response.json()["type"].rpartition(":")[2] == kind
    detail: str = response.json()["detail"]
    return detail


def test_uploaded_file_is_stored_unchanged_with_a_record(import_lora: Any, bucket: Any, job_name: str) -> None:
    content = lora_bytes(fill=1)

    response = import_lora(job_name, content, base_model="owner/base", prompt="film grain")

    assert response.status_code == 201, response.text
    assert response.headers["location"] == f"/v1/models/{job_name}"
    record = record_of(bucket, job_name)
    assert import_of_key(record.weights_key, "default") is not None
    assert bucket.get_object(Bucket=BUCKET, Key=record.weights_key)["Body"].read() == content
    assert (record.job_uid, record.source) == ("", "style.safetensors")
    assert record.sha256 == response.json()["sha256"] == hashlib.sha256(content).hexdigest()
    assert (record.base_model, record.prompt) == ("owner/base", "film grain")


@pytest.mark.parametrize(
    "prefix", ["unet.", "base_model.model.", ""], ids=["diffusers", "peft", "peft without a prefix"]
)
def test_forms_of_diffusers_and_peft_are_imported(import_lora: Any, job_name: str, prefix: str) -> None:
    module = f"{prefix}down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"

    response = import_lora(job_name, lora_bytes([f"{module}.lora_A.weight", f"{module}.lora_B.weight"]))

    assert response.status_code == 201, response.text


def test_answer_has_a_link_that_downloads_the_file(import_lora: Any, http: httpx.Client, job_name: str) -> None:
    content = lora_bytes(fill=2)
    answer = import_lora(job_name, content).json()

    assert http.get(f"/v1/models/{job_name}").json()["sha256"] == answer["sha256"]
    [file] = answer["files"]
    assert (file["name"], file["form"], file["bytes"]) == (f"{job_name}.safetensors", "Imported", len(content))
    assert httpx.get(file["url"], trust_env=False).content == content
    assert (answer["in_training"], answer["steps"]) == (False, [])


def test_defaults_are_the_base_model_of_the_cluster_and_the_trigger_phrase_of_the_file(
    import_lora: Any, bucket: Any, job_name: str
) -> None:
    metadata = {"modelspec.trigger_phrase": "ohwx\nman"}
    assert import_lora(job_name, lora_bytes(**metadata)).status_code == 201

    record = record_of(bucket, job_name)
    assert record.base_model == "stabilityai/stable-diffusion-xl-base-1.0"
    assert record.prompt == "ohwx man"


def test_repeated_import_of_the_same_file_changes_nothing(
    import_lora: Any, bucket: Any, stored_keys: Any, job_name: str
) -> None:
    first = import_lora(job_name)
    before, keys = record_of(bucket, job_name), stored_keys("loras/")

    again = import_lora(job_name)

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["location"] == first.headers["location"]
    assert (record_of(bucket, job_name), stored_keys("loras/")) == (before, keys)


@pytest.mark.parametrize("header_bytes", [0x0280, 0x0380, 0x0480, 0x0580, 0x10280])
def test_header_whose_length_looks_like_a_pickle_is_accepted(
    import_lora: Any, job_name: str, header_bytes: int
) -> None:
    """A file of 640 bytes of header begins with 80 02, like a pickle."""
    missing = header_bytes - int.from_bytes(lora_bytes(note="")[:8], "little")
    content = lora_bytes(note="x" * missing)
    assert int.from_bytes(content[:8], "little") == header_bytes

    assert import_lora(job_name, content).status_code == 201


def test_repeated_replacement_changes_nothing_while_a_job_uses_it(
    import_lora: Any, cluster: Any, bucket: Any, job_name: str
) -> None:
    import_lora(job_name)
    other = lora_bytes(fill=6)
    assert import_lora(job_name, other, replace="true").status_code == 201
    before = record_of(bucket, job_name)
    cluster.create(Kind.GENERATE, job_name, {"prompt": "a", "modelId": job_name})

    assert import_lora(job_name, other, replace="true").status_code == 200
    assert record_of(bucket, job_name) == before


@pytest.mark.parametrize("same_file", [True, False])
def test_one_of_concurrent_imports_makes_the_model(
    import_lora: Any, bucket: Any, stored_keys: Any, job_name: str, same_file: bool
) -> None:
    contents = [lora_bytes(fill=7 if same_file else number) for number in range(5)]
    before = len(stored_keys("loras/"))
    with ThreadPoolExecutor(5) as threads:
        answers = list(threads.map(lambda content: import_lora(job_name, content), contents))

    others = [200 if same_file else 409] * 4
    assert sorted(each.status_code for each in answers) == sorted([201, *others])
    [made] = [each.json() for each in answers if each.status_code == 201]
    assert record_of(bucket, job_name).sha256 == made["sha256"]
    assert len(stored_keys("loras/")) == before + 1


def test_existing_model_is_replaced_only_on_request(
    import_lora: Any, bucket: Any, stored_keys: Any, job_name: str
) -> None:
    import_lora(job_name)
    before, keys = record_of(bucket, job_name), stored_keys("loras/")
    other = lora_bytes(fill=3)

    assert "replace=true" in problem(import_lora(job_name, other), 409, "ModelExists")
    assert (record_of(bucket, job_name), stored_keys("loras/")) == (before, keys)

    assert import_lora(job_name, other, replace="true").status_code == 201
    record = record_of(bucket, job_name)
    assert record.sha256 == hashlib.sha256(other).hexdigest()
    assert stored_keys(before.weights_key) == []  # The replaced file is removed at once.
    assert stored_keys(record.weights_key) == [record.weights_key]


def test_replaced_training_is_deleted_with_the_model(
    import_lora: Any, http: httpx.Client, bucket: Any, stored_keys: Any, job_name: str
) -> None:
    """With its saved steps, whose names must not refer to the earlier training."""
    weights = f"runs/uid-{job_name}/pytorch_lora_weights.safetensors"
    step = f"runs/uid-{job_name}/steps/200/pytorch_lora_weights.safetensors"
    record = ModelRecord(
        model_id=job_name,
        weights_key=weights,
        sha256="0" * 64,
        base_model="b",
        job_uid=f"uid-{job_name}",
        created="2026-01-02T03:04:05Z",
    )
    saved = record.model_copy(update={"weights_key": step, "step": 200})
    for key, body in (
        (weights, b"x"),
        (step, b"x"),
        (model_record_key("default", job_name), record.model_dump_json(by_alias=True)),
        (f"models/default/{job_name}/steps/200.json", saved.model_dump_json(by_alias=True)),
    ):
        bucket.put_object(Bucket=BUCKET, Key=key, Body=body)
    assert problem(import_lora(job_name), 409, "ModelExists")

    assert import_lora(job_name, replace="true").status_code == 201
    assert stored_keys(f"models/default/{job_name}/steps/") == []
    assert stored_keys(weights) == [weights]

    assert http.delete(f"/v1/models/{job_name}").status_code == 204
    assert stored_keys(f"runs/uid-{job_name}/") == stored_keys(f"models/default/{job_name}/") == []


@pytest.mark.parametrize("phase", [None, "Running"])
def test_model_in_training_is_not_imported(
    import_lora: Any, cluster: Any, bucket: Any, stored_keys: Any, job_name: str, phase: str | None
) -> None:
    cluster.create(Kind.TRAIN, job_name, {"modelId": job_name, "prompt": "a", "dataset": DATASET})
    if phase is not None:
        cluster.set_status(Kind.TRAIN, job_name, phase=phase)
    keys = stored_keys("loras/")

    for replace in ("false", "true"):
        assert "being trained" in problem(import_lora(job_name, replace=replace), 409, "ModelInUse")
    assert stored_keys("loras/") == keys


def test_model_that_a_job_uses_is_not_replaced(import_lora: Any, cluster: Any, bucket: Any, job_name: str) -> None:
    import_lora(job_name)
    loras = [{"modelId": job_name, "scale": 0.5}]
    cluster.create(Kind.GENERATE, job_name, {"prompt": "a", "loras": loras})

    response = import_lora(job_name, lora_bytes(fill=4), replace="true")

    assert f"GenerateJob/{job_name}" in problem(response, 409, "ModelInUse")
    cluster.set_status(Kind.GENERATE, job_name, phase="Succeeded")
    assert import_lora(job_name, lora_bytes(fill=4), replace="true").status_code == 201


def test_imported_model_is_listed_and_generates(
    import_lora: Any, http: httpx.Client, cluster: Any, job_name: str
) -> None:
    import_lora(job_name)

    for path in ("/v1/models", "/models"):
        models = {each["model_id"]: each for each in http.get(path, params={"limit": 1000}).json()["models"]}
        assert models[job_name]["source"] == "style.safetensors"
    response = http.post("/generate/lora", params={"prompt": "a cat", "model_id": job_name})
    assert response.status_code == 202, response.text


def test_imported_model_is_deleted_at_the_old_path_too(import_lora: Any, http: httpx.Client, job_name: str) -> None:
    assert import_lora(job_name).status_code == 201
    assert http.delete(f"/models/{job_name}").status_code == 204
    assert problem(http.get(f"/v1/models/{job_name}"), 404, "UnknownModel")


class TestFileFromObjectStorage:
    @pytest.fixture
    def uri(self, bucket: Any, job_name: str) -> str:
        key = f"loras/default/from friends/{job_name}.safetensors"
        bucket.put_object(Bucket=BUCKET, Key=key, Body=lora_bytes(fill=5))
        return f"s3://{BUCKET}/{key}"

    @pytest.mark.parametrize("form", ["query", "json"])
    def test_it_is_copied(self, http: httpx.Client, bucket: Any, job_name: str, uri: str, form: str) -> None:
        asked: dict[str, Any] = {"params": {"model_id": job_name}}
        asked |= {"json": {"uri": uri}} if form == "json" else {"params": {"model_id": job_name, "uri": uri}}

        response = http.post("/v1/models", **asked)

        assert response.status_code == 201, response.text
        record = record_of(bucket, job_name)
        assert record.source == response.json()["source"] == uri
        assert import_of_key(record.weights_key, "default") is not None
        assert bucket.get_object(Bucket=BUCKET, Key=record.weights_key)["Body"].read() == lora_bytes(fill=5)

    @pytest.mark.parametrize(
        ("uri", "words"),
        [
            (f"s3://{BUCKET}/loras/default/nobody.safetensors", "no such object"),
            (f"s3://{BUCKET}/loras/another/a.safetensors", "outside of the folders"),
            ("s3://elsewhere/loras/default/a.safetensors", "outside of the folders"),
            (f"s3://{BUCKET}/loras/default/../another/a.safetensors", "can't be used"),
            (f"s3://{BUCKET}/runs/x/pytorch_lora_weights.safetensors", "outside of the folders"),
        ],
    )
    def test_other_objects_are_refused(self, http: httpx.Client, job_name: str, uri: str, words: str) -> None:
        for asked in (
            {"params": {"model_id": job_name, "uri": uri}},
            {"params": {"model_id": job_name}, "json": {"uri": uri}},
        ):
            response = http.post("/v1/models", **asked)
            assert words in problem(response, 422, "InvalidRequest")
            assert response.json()["errors"][0]["parameter"] == "uri"

    def test_file_and_uri_together_are_refused(self, http: httpx.Client, job_name: str, uri: str) -> None:
        files = {"file": ("a.safetensors", lora_bytes())}
        response = http.post("/v1/models", params={"model_id": job_name, "uri": uri}, files=files)

        assert "one LoRA only" in problem(response, 422, "InvalidRequest")

    @pytest.mark.parametrize("body", [b"", b"[", b"{}", b'{"uri": 1}', b'{"uri": "s3://a/b", "scale": 1}', b"9" * 5000])
    def test_other_json_is_refused(self, http: httpx.Client, job_name: str, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        response = http.post("/v1/models", params={"model_id": job_name}, content=body, headers=headers)

        assert response.status_code == (413 if len(body) > 4096 else 422)
        assert json.loads(response.text)["detail"]
