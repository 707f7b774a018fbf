"""`POST /generate/lora` with several LoRAs, saved steps and LoRA files."""

from typing import Any

import httpx
import pytest

from darkroom_contract.names import LABEL_MODEL_ID, Kind
from darkroom_contract.specs.lora import MAX_LORAS
from darkroom_contract.storage.keys import ModelRecord, model_record_key, model_step_key
from darkroom_gateway.errors import InvalidRequestError
from darkroom_gateway.generation.parameters import LoraParameters, generate_spec

BUCKET = "darkroom"
FILE = "s3://darkroom/loras/default/from friends/lcm.safetensors"
DATASET = {"uri": "s3://darkroom/datasets/default/x/"}


def generate(http: httpx.Client, *loras: str, **query: Any) -> httpx.Response:
    return http.post("/generate/lora", params={"prompt": "a dog", "lora": list(loras), **query})


def refused(response: httpx.Response, status: int = 422) -> dict[str, str]:
    assert response.status_code == status, response.text
    return {each["parameter"]: each["message"] for each in response.json()["errors"]}


@pytest.fixture
def model(bucket: Any, job_name: str) -> str:
    """A model with two saved steps."""
    record = ModelRecord(
        model_id=job_name,
        weights_key="runs/u/pytorch_lora_weights.safetensors",
        sha256="0" * 64,
        base_model="tiny",
        job_uid="u",
        created="2026-01-02T03:04:05Z",
    )
    keys = [
        model_record_key("default", job_name),
        *(model_step_key("default", job_name, each) for each in ("9", "best")),
    ]
    for key in keys:
        bucket.put_object(Bucket=BUCKET, Key=key, Body=record.model_dump_json(by_alias=True))
    return job_name


def test_loras_reach_the_spec_and_the_answers(http: httpx.Client, cluster: Any, model: str) -> None:
    response = generate(http, f"{model}@9:0.5", f"{FILE}:-1.25", f"{model}:2")

    assert response.status_code == 202, response.text
    task_id = response.json()["task_id"]
    job = cluster.get(Kind.GENERATE, task_id)
    assert [{name: value for name, value in each.items() if value is not None} for each in job["spec"]["loras"]] == [
        {"modelId": f"{model}@9", "scale": 0.5},
        {"uri": FILE, "scale": -1.25},
        {"modelId": model, "scale": 2},
    ]
    assert "modelId" not in job["spec"]
    assert job["metadata"]["labels"][LABEL_MODEL_ID] == model
    shown = [
        {"model_id": f"{model}@9", "scale": 0.5},
        {"uri": FILE, "scale": -1.25},
        {"model_id": model, "scale": 2.0},
    ]
    for url in ("job_url", "status_url"):
        assert http.get(response.json()[url]).json()["loras"] == shown
    accepted = response.json()["loras"]
    assert [each["model_id"] or each["uri"] for each in accepted] == [f"{model}@9", FILE, model]


def test_short_form_is_shown_as_a_lora_too(http: httpx.Client, cluster: Any, model: str) -> None:
    response = http.post("/generate/lora", params={"prompt": "a", "model_id": f"{model}@best", "lora_scale": 0.5})

    assert response.json()["loras"] == [{"model_id": f"{model}@best", "uri": None, "scale": 0.5}]
    job = cluster.get(Kind.GENERATE, response.json()["task_id"])
    assert (job["spec"]["modelId"], job["spec"]["loraScale"]) == (f"{model}@best", 0.5)
    assert job["metadata"]["labels"][LABEL_MODEL_ID] == model  # No label may have an @.


def test_scale_is_one_when_left_out(http: httpx.Client, cluster: Any, model: str) -> None:
    task_id = generate(http, model).json()["task_id"]

    assert cluster.get(Kind.GENERATE, task_id)["spec"]["loras"] == [{"modelId": model, "scale": 1}]


@pytest.mark.parametrize(
    ("lora", "words"),
    [
        ("", "my-dog:0.8"),
        ("my dog", "my-dog:0.8"),
        ("dog:", "my-dog:0.8"),
        ("dog:one", "my-dog:0.8"),
        ("dog@0:1", "my-dog:0.8"),
        ("dog@last", "my-dog:0.8"),
        ("s3://darkroom/loras/default/a.ckpt:1", "my-dog:0.8"),
        ("dog:2.1", "from -2 to 2"),
        ("dog:-9", "from -2 to 2"),
        ("s3://darkroom/loras/default/a.safetensors:3", "from -2 to 2"),
        ("s3://darkroom/loras/another/a.safetensors:1", "outside of the folders"),
        ("s3://darkroom/loras/default/../another/a.safetensors:1", "can't be used"),
    ],
)
def test_other_text_is_refused(http: httpx.Client, lora: str, words: str) -> None:
    assert words in refused(generate(http, lora))["lora"]


def test_number_of_loras_is_bounded(http: httpx.Client) -> None:
    """With the bound of the CRD."""
    assert "at most 5" in refused(generate(http, *(f"dog-{number}" for number in range(MAX_LORAS + 1))))["lora"]


def test_lora_named_twice_is_refused(http: httpx.Client, model: str) -> None:
    assert "named twice" in refused(generate(http, f"{model}:1", f"{model}:0.5"))["lora"]


def test_request_without_any_lora_is_refused(http: httpx.Client) -> None:
    assert "lora" in refused(generate(http))["model_id"]


def test_both_forms_at_once_are_refused(http: httpx.Client, model: str) -> None:
    message = refused(generate(http, "lcm:1", model_id=model, lora_scale=0.5))["model_id"]

    assert f"lora={model}:0.5" in message


def test_lora_scale_without_its_model_is_refused(http: httpx.Client, model: str) -> None:
    assert "lora=my-dog:0.8" in refused(generate(http, model, lora_scale=0.5))["lora_scale"]


def test_unknown_lora_is_named(http: httpx.Client, model: str) -> None:
    assert "'nobody-made-this'" in refused(generate(http, f"{model}:1", "nobody-made-this:1"), 404)["lora"]


def test_unknown_step_error_lists_the_saved_ones(http: httpx.Client, model: str) -> None:
    message = refused(generate(http, f"{model}@10:1"), 404)["lora"]

    assert message.endswith(f"Use one of: {model}@9, {model}@best.")


def test_step_of_a_model_in_training_must_be_saved(
    http: httpx.Client, cluster: Any, bucket: Any, job_name: str
) -> None:
    """The plain model is accepted and waits, a step that may never come is not."""
    cluster.create(Kind.TRAIN, job_name, {"modelId": job_name, "prompt": "a", "dataset": DATASET})
    assert generate(http, job_name).status_code == 202
    assert "saves no steps" in refused(generate(http, f"{job_name}@100"), 404)["lora"]

    key = model_step_key("default", job_name, "100")
    bucket.put_object(Bucket=BUCKET, Key=key, Body=b"{}")
    assert generate(http, f"{job_name}@100").status_code == 202


def test_unknown_step_error_says_what_the_training_saves(
    http: httpx.Client, cluster: Any, bucket: Any, job_name: str
) -> None:
    spec = {"modelId": job_name, "prompt": "a", "dataset": DATASET, "maxSteps": 60, "training": {"saveSteps": 20}}
    cluster.create(Kind.TRAIN, job_name, spec)
    response = http.post("/generate/lora", params={"prompt": "a", "model_id": f"{job_name}@7"})
    assert refused(response, 404)["model_id"] == (
        f"The model '{job_name}' has no saved step '7'. Its training saves every 20 steps of 60. No step is saved so "
        "far."
    )

    bucket.put_object(Bucket=BUCKET, Key=model_step_key("default", job_name, "20"), Body=b"{}")
    message = refused(generate(http, f"{job_name}@40"), 404)["lora"]
    assert "has no saved step '40' yet. " in message
    assert message.endswith(f"Saved now: {job_name}@20.")


def test_idempotency_key_with_other_loras_is_refused(http: httpx.Client, model: str, job_name: str) -> None:
    headers = {"Idempotency-Key": job_name}
    answers = [
        http.post("/generate/lora", params={"prompt": "a", "lora": lora}, headers=headers)
        for lora in (f"{model}:1", f"{model}:1.0", f"{model}:0.5")
    ]

    assert [each.status_code for each in answers] == [202, 202, 422]
    assert answers[0].json() == answers[1].json()


def test_longest_reference_is_accepted_and_a_longer_one_refused() -> None:
    longest = f"{'x' * 63}@12345"
    assert generate_spec(LoraParameters(prompt="a", lora=[longest])).loras[0].model_id == longest
    with pytest.raises(InvalidRequestError):
        generate_spec(LoraParameters(prompt="a"))
