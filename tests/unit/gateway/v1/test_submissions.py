"""`POST /v1/train-jobs` and `POST /v1/generate-jobs`, with JSON and with forms."""

import json
from collections.abc import Callable
from typing import Any

import httpx

from darkroom_contract.names import Kind
from darkroom_contract.storage.keys import parse_uri
from darkroom_gateway.v1.schemas import V1Job

Draw = Callable[..., bytes]
Submit = Callable[..., httpx.Response]
Accepted = Callable[[httpx.Response], dict[str, Any]]
Refused = Callable[..., dict[str, str]]


def test_json_training_reaches_the_cluster_as_it_is(
    train: Submit, accepted: Accepted, stored_dataset: dict[str, str]
) -> None:
    concept = {"prompt": "xyz cat", "dataset": stored_dataset, "repeats": 2}
    response = train(dataset=stored_dataset, maxSteps=12, training={"rank": 8}, concepts=[concept], priority=5)

    spec = accepted(response)
    assert (spec["modelId"], spec["maxSteps"], spec["priority"], spec["training"]["rank"]) == ("dog", 12, 5, 8)
    assert spec["concepts"] == [concept]
    job = response.json()
    assert job.keys() == V1Job.model_fields.keys()
    assert job["spec"] == spec
    assert (job["kind"], job["status"], job["model_id"]) == ("TrainJob", "Queued", "dog")


def test_photos_of_a_form_are_checked_and_stored(
    train: Submit, accepted: Accepted, refused: Refused, stored_keys: Any, picture: Draw
) -> None:
    spec = accepted(train({"a.jpg": picture(), "a.txt": b"sks dog, sitting", "b.png": picture(format_="PNG")}))

    _, prefix = parse_uri(spec["dataset"]["uri"])
    assert stored_keys(prefix) == [prefix + name for name in ("000.jpg", "000.txt", "001.png")]
    assert "a.jpg" in refused(train({"a.jpg": b"no photo"}))


def test_generation_with_parts_of_a_form(generate: Submit, accepted: Accepted, bucket: Any, picture: Draw) -> None:
    start, mask = picture(format_="PNG"), picture(format_="PNG")
    spec = accepted(generate({"image": start, "mask": mask}, startImage={"strength": 0.3}, mask={"blur": 7}))

    assert (spec["startImage"]["strength"], spec["mask"]["blur"]) == (0.3, 7)
    name, _, key = spec["startImage"]["uri"].removeprefix("s3://").partition("/")
    assert bucket.get_object(Bucket=name, Key=key)["Body"].read() == start


def test_part_of_a_form_fills_a_field_that_is_null(generate: Submit, accepted: Accepted, picture: Draw) -> None:
    spec = accepted(generate({"image": picture(), "mask": picture()}, startImage=None, mask=None))

    assert all(spec[each]["uri"].startswith("s3://darkroom/") for each in ("startImage", "mask"))
    video = accepted(generate({"video_image": picture()}, allowMotion=True, video=None))["video"]
    assert video["startImage"]["uri"].startswith("s3://darkroom/")


def test_generation_with_a_picture_in_storage(
    generate: Submit, accepted: Accepted, refused: Refused, stored_dataset: dict[str, str]
) -> None:
    uri = f"{stored_dataset['uri']}a.jpg"

    assert accepted(generate(startImage={"uri": uri}))["startImage"]["uri"] == uri
    missing = f"{stored_dataset['uri']}nobody.jpg"
    assert "no such picture" in refused(generate(startImage={"uri": missing}))["startImage.uri"]


def test_picture_has_one_source(
    generate: Submit, train: Submit, refused: Refused, picture: Draw, stored_dataset: dict[str, str]
) -> None:
    image = {"uri": "s3://darkroom/images/default/a.png"}

    assert "the part image" in refused(generate({"image": picture()}, startImage=image))["startImage.uri"]
    assert "one set of photos" in refused(train({"a.jpg": picture()}, dataset=stored_dataset))["dataset"]


def test_what_a_spec_refers_to_must_exist(
    generate: Submit, train: Submit, refused: Refused, stored_dataset: dict[str, str]
) -> None:
    nowhere = {"uri": "s3://darkroom/datasets/default/nobody/"}

    assert "modelId" in refused(generate(modelId="nobody"), 404)
    assert "loras" in refused(generate(loras=[{"modelId": "nobody"}]), 404)
    assert "no photos" in refused(train(dataset=nowhere))["dataset.uri"]
    concepts = [{"prompt": "xyz cat", "dataset": nowhere}]
    assert "no photos" in refused(train(dataset=stored_dataset, concepts=concepts))["concepts[0].dataset.uri"]
    held_out = {"heldOutPhotos": 2}
    assert "Lower it to 1" in refused(train(dataset=stored_dataset, training=held_out))["training.heldOutPhotos"]


def test_faults_name_their_field(train: Submit, refused: Refused, stored_dataset: dict[str, str]) -> None:
    found = refused(train(dataset=stored_dataset, training={"rank": 0, "rnk": 4}, maxSteps="12"))

    assert found.keys() == {"training.rank", "training.rnk", "maxSteps"}


def test_unusable_bodies_are_refused(http: httpx.Client, refused: Refused, cluster: Any) -> None:
    before = [cluster.count(kind) for kind in Kind]
    for path in ("/v1/train-jobs", "/v1/generate-jobs"):
        assert "application/json" in refused(http.post(path))["body"]
        assert "application/json" in refused(http.post(path, content=b"prompt=a"))["body"]
        json_type = {"Content-Type": "application/json"}
        assert "valid JSON" in refused(http.post(path, content=b"{", headers=json_type))["body"]
        assert "braces" in refused(http.post(path, json=[]))["body"]
        too_long = http.post(path, content=b" " * 2**21, headers=json_type)
        assert (too_long.status_code, too_long.json()["type"]) == (413, "tag:darkroom.dev,2026:TooLarge")
    assert [cluster.count(kind) for kind in Kind] == before


def test_unusable_forms_are_refused(http: httpx.Client, refused: Refused, picture: Draw) -> None:
    photo = ("files", ("a.jpg", picture()))
    spec = ("spec", (None, json.dumps({"modelId": "dog", "prompt": "a"})))

    assert "Add a part spec" in refused(http.post("/v1/train-jobs", files=[photo]))["spec"]
    assert "two" in refused(http.post("/v1/train-jobs", files=[spec, spec, photo]))["spec"]
    assert "valid JSON" in refused(http.post("/v1/train-jobs", files=[("spec", (None, "{")), photo]))["spec"]
    other = ("max_steps", (None, "7"))
    assert "into the JSON" in refused(http.post("/v1/train-jobs", files=[other, spec, photo]))["max_steps"]
    other_part = ("picture", ("a.jpg", picture()))
    assert "video_image" in refused(http.post("/v1/generate-jobs", files=[spec, other_part]))["picture"]


def test_spec_may_be_a_file_of_the_form(http: httpx.Client, accepted: Accepted, picture: Draw) -> None:
    spec = ("spec", ("spec.json", json.dumps({"modelId": "dog", "prompt": "sks dog"})))

    assert accepted(http.post("/v1/train-jobs", files=[("files", ("a.jpg", picture())), spec]))["modelId"] == "dog"


def test_spec_of_an_answer_can_be_submitted_again(http: httpx.Client, generate: Submit, accepted: Accepted) -> None:
    first = generate(images={"seed": 7})

    again = http.post("/v1/generate-jobs", json=first.json()["spec"])

    assert accepted(again) == accepted(first)


def test_repeated_submission_returns_the_first_job(
    train: Submit, generate: Submit, refused: Refused, stored_keys: Any, picture: Draw, job_name: str
) -> None:
    photo = {"a.jpg": picture()}
    first = train(photo, key=job_name)
    stored = stored_keys("datasets/default/")

    assert train(photo, key=job_name).json()["id"] == first.json()["id"]
    assert stored_keys("datasets/default/") == stored
    assert train({"a.jpg": picture()}, key=job_name).json()["type"].endswith(":KeyReused")
    assert train(photo, key=job_name, maxSteps=7).json()["type"].endswith(":KeyReused")
    assert generate(key=job_name).json()["id"] == generate(key=job_name).json()["id"]


def test_key_is_shared_with_the_query_forms(http: httpx.Client, generate: Submit, job_name: str) -> None:
    first = http.post("/generate/sdxl", params={"prompt": "a dog"}, headers={"Idempotency-Key": job_name})

    assert generate(key=job_name).json()["id"] == first.json()["task_id"]
