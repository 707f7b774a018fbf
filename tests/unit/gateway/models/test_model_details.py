"""`GET /v1/models/{model_id}`: a model with its files and saved steps, or one of these steps."""

from typing import Any

import httpx
import pytest

from darkroom_contract.names import Kind
from darkroom_contract.storage.keys import LORA_FILE, ModelRecord, model_record_key, model_step_key, run_prefix

BUCKET = "darkroom"
CREATED = "2026-01-02T03:04:05Z"
DATASET = {"uri": "s3://darkroom/datasets/default/x/"}


class Trained:
    """Stores what a training stores."""

    def __init__(self, bucket: Any, model_id: str) -> None:
        self.bucket = bucket
        self.model_id = model_id
        self.uid = f"uid-{model_id}"

    def store(self, folder: str, record_key: str, **record: Any) -> None:
        """Both forms of the LoRA in a folder of the run, and a record."""
        for name in (LORA_FILE, f"{self.model_id}.safetensors"):
            self.bucket.put_object(Bucket=BUCKET, Key=f"{run_prefix(self.uid)}{folder}{name}", Body=b"x" * 9)
        written = ModelRecord(
            model_id=self.model_id,
            weights_key=f"{run_prefix(self.uid)}{folder}{LORA_FILE}",
            sha256="1" * 64,
            base_model="owner/base",
            prompt="sks dog",
            job_uid=self.uid,
            created=CREATED,
            **record,
        )
        self.bucket.put_object(Bucket=BUCKET, Key=record_key, Body=written.model_dump_json(by_alias=True))

    def model(self) -> None:
        self.store("", model_record_key("default", self.model_id), held_out_loss=0.25)

    def step(self, name: str, step: int, held_out_loss: float) -> None:
        key = model_step_key("default", self.model_id, name)
        self.store(f"steps/{name}/", key, step=step, held_out_loss=held_out_loss)


@pytest.fixture
def trained(bucket: Any, job_name: str) -> Trained:
    return Trained(bucket, job_name)


def detail(http: httpx.Client, model_id: str) -> dict[str, Any]:
    response = http.get(f"/v1/models/{model_id}")
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_trained_model_has_links_to_both_forms(http: httpx.Client, trained: Trained) -> None:
    trained.model()
    trained.bucket.put_object(Bucket=BUCKET, Key=f"{run_prefix(trained.uid)}manifest.json", Body=b"{}")

    answer = detail(http, trained.model_id)

    assert [(each["name"], each["form"], each["bytes"]) for each in answer["files"]] == [
        (LORA_FILE, "Diffusers", 9),
        (f"{trained.model_id}.safetensors", "Kohya", 9),
    ]
    for each in answer["files"]:
        assert httpx.get(each["url"], trust_env=False).content == b"x" * 9
    assert (answer["prompt"], answer["base_model"], answer["source"]) == ("sks dog", "owner/base", None)
    assert (answer["held_out_loss"], answer["steps"], answer["in_training"]) == (0.25, [], False)


def test_saved_steps_are_listed_in_their_order(http: httpx.Client, trained: Trained) -> None:
    trained.model()
    for name, step, loss in (("best", 90, 0.125), ("90", 90, 0.125), ("1000", 1000, 0.5)):
        trained.step(name, step, loss)

    steps = detail(http, trained.model_id)["steps"]

    assert [each["reference"].partition("@")[2] for each in steps] == ["90", "1000", "best"]
    assert [(each["step"], each["held_out_loss"]) for each in steps] == [(90, 0.125), (1000, 0.5), (90, 0.125)]
    for each in steps:
        assert [file["form"] for file in each["files"]] == ["Diffusers", "Kohya"]
    assert len({file["url"] for each in steps for file in each["files"]}) == 6


def test_samples_are_listed_by_step_with_those_of_the_finished_model_last(http: httpx.Client, trained: Trained) -> None:
    trained.model()
    names = [
        "samples/a-step-01000-0.png",
        "samples/a-step-00090-1.png",
        "samples/a-step-00090-0.png",
        "a-validation.png",
    ]
    for name in names:
        trained.bucket.put_object(Bucket=BUCKET, Key=run_prefix(trained.uid) + name, Body=b"png")

    samples = detail(http, trained.model_id)["samples"]

    assert [(each["name"], each["step"]) for each in samples] == [
        ("a-step-00090-0.png", 90),
        ("a-step-00090-1.png", 90),
        ("a-step-01000-0.png", 1000),
        ("a-validation.png", None),
    ]
    assert {httpx.get(each["url"], trust_env=False).content for each in samples} == {b"png"}
    assert len(detail(http, trained.model_id)["files"]) == 2


def test_base_model_has_no_files_and_no_date(http: httpx.Client) -> None:
    answer = detail(http, "sdxl")
    [listed] = [each for each in http.get("/v1/models").json()["data"] if each["id"] == "sdxl"]

    assert (answer["created"], listed["created"]) == (None, 0)

    assert answer["base_model"] == "stabilityai/stable-diffusion-xl-base-1.0"
    assert (answer["id"], answer["files"], answer["steps"], answer["samples"]) == ("sdxl", [], [], [])


def test_model_in_its_first_training_shows_the_steps_so_far(http: httpx.Client, cluster: Any, trained: Trained) -> None:
    cluster.create(Kind.TRAIN, trained.model_id, {"modelId": trained.model_id, "prompt": "a", "dataset": DATASET})
    response = http.get(f"/v1/models/{trained.model_id}")
    assert response.status_code == 404
    assert "is being trained for the first time, and no step of it is saved yet" in response.json()["detail"]

    trained.step("50", 50, 0.5)
    answer = detail(http, trained.model_id)

    assert (answer["in_training"], answer["sha256"], answer["files"]) == (True, None, [])
    assert [each["reference"] for each in answer["steps"]] == [f"{trained.model_id}@50"]


def test_file_that_is_gone_is_not_linked(http: httpx.Client, trained: Trained) -> None:
    """Of a training by an older release, which stored one form."""
    trained.model()
    trained.bucket.delete_object(Bucket=BUCKET, Key=f"{run_prefix(trained.uid)}{trained.model_id}.safetensors")

    assert [each["form"] for each in detail(http, trained.model_id)["files"]] == ["Diffusers"]


def test_unreadable_step_is_left_out(http: httpx.Client, trained: Trained) -> None:
    trained.model()
    trained.step("50", 50, 0.5)
    key = model_step_key("default", trained.model_id, "60")
    trained.bucket.put_object(Bucket=BUCKET, Key=key, Body=b"of a newer release")

    assert len(detail(http, trained.model_id)["steps"]) == 1


def test_unknown_model_is_not_found(http: httpx.Client) -> None:
    response = http.get("/v1/models/nobody-made-this")

    assert (response.status_code, response.json()["type"].rpartition(":")[2]) == (404, "UnknownModel")
    assert response.json()["detail"].startswith("There is no model 'nobody-made-this'.")


def test_saved_step_is_found_by_its_reference(http: httpx.Client, trained: Trained) -> None:
    trained.model()
    trained.step("90", 90, 0.125)
    trained.step("best", 90, 0.125)
    for name in ("samples/a-step-00090-0.png", "samples/a-step-00900-0.png"):
        trained.bucket.put_object(Bucket=BUCKET, Key=run_prefix(trained.uid) + name, Body=b"png")

    for step in ("90", "best"):
        answer = detail(http, f"{trained.model_id}@{step}")

        assert (answer["model_id"], answer["id"]) == (trained.model_id, f"{trained.model_id}@{step}")
        assert (answer["step"], answer["held_out_loss"], answer["prompt"]) == (90, 0.125, "sks dog")
        assert [(each["form"], f"/steps/{step}/" in each["url"]) for each in answer["files"]] == [
            ("Diffusers", True),
            ("Kohya", True),
        ]
        assert httpx.get(answer["files"][1]["url"], trust_env=False).content == b"x" * 9
        assert [each["name"] for each in answer["samples"]] == ["a-step-00090-0.png"]
        assert answer["steps"] == []


def test_saved_steps_show_their_first_sample(http: httpx.Client, trained: Trained) -> None:
    trained.model()
    for step in (90, 900):
        trained.step(str(step), step, 0.125)
    for name in ("samples/a-step-00090-1.png", "samples/a-step-00090-0.png"):
        trained.bucket.put_object(Bucket=BUCKET, Key=run_prefix(trained.uid) + name, Body=b"png")

    steps = detail(http, trained.model_id)["steps"]

    assert (steps[0]["sample"]["name"], steps[1]["sample"]) == ("a-step-00090-0.png", None)


@pytest.mark.parametrize("reference", ["@91", "@best"])
def test_unknown_step_names_those_that_exist(http: httpx.Client, trained: Trained, reference: str) -> None:
    trained.model()
    trained.step("90", 90, 0.125)

    model_id, step = trained.model_id, reference[1:]
    messages = {
        "GET": f"The model {model_id!r} has no saved step {step!r}. Use one of: {model_id}@90.",
        "DELETE": f"There is no saved step {step!r} of the model {model_id!r}, so nothing was deleted."
        f" Its saved steps are {model_id}@90.",
    }

    for method, message in messages.items():
        response = http.request(method, f"/v1/models/{model_id}{reference}")

        assert (response.status_code, response.json()["type"].rpartition(":")[2]) == (404, "UnknownModel")
        assert response.json()["detail"] == message


def test_step_of_an_unknown_model_is_not_found(http: httpx.Client) -> None:
    for method in ("GET", "DELETE"):
        response = http.request(method, "/v1/models/nobody-made-this@90")

        assert response.status_code == 404
        assert response.json()["detail"].startswith("There is no model 'nobody-made-this'.")


@pytest.mark.parametrize("reference", ["a@", "a@0", "a@-1", "a@Best", "a@1@2", "a@99999999"])
def test_reference_that_names_no_step_is_refused(http: httpx.Client, reference: str) -> None:
    response = http.get(f"/v1/models/{reference}")

    assert response.status_code == 422
    assert "my-dog@200" in response.json()["detail"]
