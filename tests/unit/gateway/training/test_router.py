"""`POST /train` stores photos and creates one TrainJob."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from support.photos import encode, scene

from darkroom_contract.names import Kind
from darkroom_contract.storage.keys import parse_uri
from darkroom_gateway.jobs.task_ids import task_id_for

Draw = Callable[..., bytes]


def submit(http: httpx.Client, photos: list[bytes], field: str = "files", **parameters: Any) -> httpx.Response:
    files = [(field, (f"{number}.jpg", photo)) for number, photo in enumerate(photos)]
    return http.post("/train", params={"prompt": "a photo of sks dog", "model_id": "dog", **parameters}, files=files)


def test_submission_returns_its_task_and_location(http: httpx.Client, picture: Draw) -> None:
    response = submit(http, [picture()])

    assert response.status_code == 202, response.text
    answer = response.json()
    assert answer["task_id"].startswith("train-")
    assert answer["kind"] == "TrainJob"
    assert response.headers["location"] == answer["status_url"] == f"/result?task_id={answer['task_id']}"
    for url in (answer["status_url"], answer["job_url"]):
        assert http.get(url).json()["task_id"] == answer["task_id"]


def test_resource_has_the_given_values_and_the_api_servers_defaults(
    http: httpx.Client, cluster: Any, picture: Draw
) -> None:
    asked: dict[str, Any] = {
        "max_steps": 12,
        "rank": 8,
        "learning_rate": 2e-3,
        "layers": "All",
        "class_prompt": "a photo of a dog",
    }
    task_id = submit(http, [picture()], priority=5, **asked).json()["task_id"]

    spec = cluster.get(Kind.TRAIN, task_id)["spec"]
    assert (spec["prompt"], spec["modelId"], spec["maxSteps"], spec["priority"]) == ("a photo of sks dog", "dog", 12, 5)
    assert (spec["training"]["rank"], spec["training"]["layers"]) == (8, "All")
    assert spec["training"]["priorPreservation"]["classPrompt"] == "a photo of a dog"
    assert spec["backoffLimit"] == 2


def test_stored_photos_are_the_originals_under_generated_names(
    http: httpx.Client, cluster: Any, bucket: Any, stored_keys: Any, picture: Draw
) -> None:
    originals = [picture(), picture(format_="PNG"), picture(format_="WEBP"), picture(format_="AVIF")]
    originals.append(encode(scene(), "HEIF"))
    task_id = submit(http, originals).json()["task_id"]

    name, prefix = parse_uri(cluster.get(Kind.TRAIN, task_id)["spec"]["dataset"]["uri"])
    keys = stored_keys(prefix)
    assert keys == [prefix + name for name in ("000.jpg", "001.png", "002.webp", "003.avif", "004.heic")]
    assert [bucket.get_object(Bucket=name, Key=key)["Body"].read() for key in keys] == originals


def test_form_field_may_have_any_name(http: httpx.Client, picture: Draw) -> None:
    for field in ("file", "photos", "images"):
        assert submit(http, [picture()], field=field).status_code == 202


def test_large_photo_is_spooled_to_a_temporary_file(http: httpx.Client, picture: Draw) -> None:
    large = picture(1500, 1500, "PNG")

    assert len(large) > 1024**2
    assert submit(http, [large]).status_code == 202


def test_repeated_request_returns_the_first_task(
    http: httpx.Client, cluster: Any, stored_keys: Any, picture: Draw, job_name: str
) -> None:
    http_with_key = {"Idempotency-Key": job_name}
    files = {"files": ("a.jpg", picture())}
    parameters = {"prompt": "a photo of sks dog", "model_id": "dog"}
    first = http.post("/train", params=parameters, files=files, headers=http_with_key)
    jobs, photos = cluster.count(Kind.TRAIN), stored_keys("datasets/")

    again = http.post("/train", params=parameters, files=files, headers=http_with_key)

    assert again.status_code == first.status_code == 202
    assert again.json() == first.json()
    assert (cluster.count(Kind.TRAIN), stored_keys("datasets/")) == (jobs, photos)


def test_concurrent_copies_of_a_request_create_one_job_with_one_set_of_photos(
    http: httpx.Client, cluster: Any, stored_keys: Any, picture: Draw, job_name: str
) -> None:
    parameters, files = {"prompt": "sks dog", "model_id": "dog"}, {"files": ("a.jpg", picture())}
    photos = len(stored_keys("datasets/"))
    with ThreadPoolExecutor(8) as threads:
        sent = [
            threads.submit(http.post, "/train", params=parameters, files=files, headers={"Idempotency-Key": job_name})
            for _ in range(8)
        ]
        responses = [each.result() for each in sent]

    assert {each.status_code for each in responses} == {202}
    [task_id] = {each.json()["task_id"] for each in responses}
    assert len(stored_keys("datasets/")) == photos + 1
    assert stored_keys(parse_uri(cluster.get(Kind.TRAIN, task_id)["spec"]["dataset"]["uri"])[1])


def test_idempotency_key_with_other_parameters_is_refused(http: httpx.Client, picture: Draw, job_name: str) -> None:
    files = {"files": ("a.jpg", picture())}
    for model_id, status in (("dog", 202), ("cat", 422)):
        response = http.post(
            "/train", params={"prompt": "a", "model_id": model_id}, files=files, headers={"Idempotency-Key": job_name}
        )
        assert response.status_code == status
    assert response.json()["type"].endswith(":KeyReused")


def test_repeated_request_finds_a_job_of_the_release_that_stored_the_default_learning_rate(
    http: httpx.Client, picture: Draw, job_name: str
) -> None:
    files, query = {"files": ("a.jpg", picture())}, {"prompt": "sks dog", "model_id": "dog"}
    stored, repeated = (
        http.post("/train", params={**query, **rate}, files=files, headers={"Idempotency-Key": job_name})
        for rate in ({"learning_rate": 1e-4}, {})
    )

    assert (stored.status_code, repeated.status_code) == (202, 202)
    assert repeated.json()["task_id"] == stored.json()["task_id"]


def keyed(http: httpx.Client, key: str, *photos: bytes) -> httpx.Response:
    files = [("files", (f"{number}.jpg", photo)) for number, photo in enumerate(photos)]
    query = {"prompt": "sks dog", "model_id": "dog"}
    return http.post("/train", params=query, files=files, headers={"Idempotency-Key": key})


def assert_key_reused(response: httpx.Response, words: str = "other photos") -> None:
    assert response.status_code == 422, response.text
    assert response.json()["type"].endswith(":KeyReused")
    assert words in response.json()["detail"]


def test_idempotency_key_with_other_photos_is_refused(
    http: httpx.Client, cluster: Any, stored_keys: Any, picture: Draw, job_name: str
) -> None:
    one, two, three = picture(), picture(format_="PNG"), picture(1500, 1500, "PNG")
    first = keyed(http, job_name, one, two, three)
    assert first.status_code == 202, first.text
    before = cluster.count(Kind.TRAIN), stored_keys("datasets/")

    for photos in ((picture(),), (one, two), (two, one, three), (one, two, three, one), (one, two, three[:-1])):
        assert_key_reused(keyed(http, job_name, *photos))
    assert_key_reused(keyed(http, job_name, b"not a photo"))
    assert keyed(http, job_name, one, two, three).json() == first.json()
    assert (cluster.count(Kind.TRAIN), stored_keys("datasets/")) == before


def test_file_names_do_not_count(http: httpx.Client, picture: Draw, job_name: str) -> None:
    photo, query, headers = picture(), {"prompt": "sks dog", "model_id": "dog"}, {"Idempotency-Key": job_name}
    answers = [
        http.post("/train", params=query, files={field: (name, photo)}, headers=headers).json()["task_id"]
        for field, name in (("files", "a.jpg"), ("photo", "b.jpeg"))
    ]

    assert answers[0] == answers[1]


def test_one_of_concurrent_requests_with_the_same_key_and_different_photos_is_accepted(
    http: httpx.Client, cluster: Any, stored_keys: Any, picture: Draw, job_name: str
) -> None:
    before = len(stored_keys("datasets/"))
    with ThreadPoolExecutor(6) as threads:
        responses = list(threads.map(lambda photo: keyed(http, job_name, photo), [picture() for _ in range(6)]))

    [taken] = [each for each in responses if each.status_code == 202]
    for each in responses:
        if each is not taken:
            assert_key_reused(each)
    assert len(stored_keys("datasets/")) == before + 1
    assert stored_keys(parse_uri(cluster.get(Kind.TRAIN, taken.json()["task_id"])["spec"]["dataset"]["uri"])[1])


def test_job_without_a_fingerprint_is_not_returned_for_a_repeated_key(
    http: httpx.Client, cluster: Any, picture: Draw, job_name: str
) -> None:
    name = task_id_for(Kind.TRAIN, job_name)
    dataset = {"uri": "s3://darkroom/datasets/default/older/"}
    cluster.create(Kind.TRAIN, name, {"prompt": "sks dog", "modelId": "dog", "dataset": dataset})

    assert_key_reused(keyed(http, job_name, picture()), "no fingerprint of its photos")


def test_fingerprint_is_recorded_on_the_job(http: httpx.Client, cluster: Any, picture: Draw) -> None:
    photos = [picture(), picture(format_="PNG")]
    task_id = submit(http, photos).json()["task_id"]

    digests = b"".join(hashlib.sha256(photo).digest() for photo in photos)
    annotations = cluster.get(Kind.TRAIN, task_id)["metadata"]["annotations"]
    assert annotations["darkroom.dev/photos-sha256"] == hashlib.sha256(digests).hexdigest()


def test_request_id_is_in_the_response_and_in_the_log(gateway: Any, job_name: str) -> None:
    response = gateway.http.get("/jobs/nobody", headers={"X-Request-ID": job_name})

    assert response.headers["x-request-id"] == job_name
    assert f"[{job_name}]" in gateway.log()
