"""`POST /v1/uploads`: photos by links, which a submission checks like those of a form."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from support.isolated_namespace import IsolatedNamespace

from darkroom_contract.storage.keys import dataset_prefix, parse_uri
from darkroom_gateway.deletion.upload_collector import GRACE, UploadCollector
from darkroom_gateway.v1.upload_schemas import MAX_FILES, StoredUploadFile, UploadRecord
from darkroom_gateway.v1.uploads import MAX_RECORD_BYTES

Draw = Callable[..., bytes]
Submit = Callable[..., httpx.Response]
Accepted = Callable[[httpx.Response], dict[str, Any]]
Refused = Callable[..., dict[str, str]]


def begin(http: httpx.Client, files: dict[str, bytes], **sha256: str) -> dict[str, Any]:
    announced = [
        {"name": name, "bytes": len(content)} | ({"sha256": sha256[name]} if name in sha256 else {})
        for name, content in files.items()
    ]
    response = http.post("/v1/uploads", json={"files": announced})
    assert response.status_code == 201, response.text
    answer: dict[str, Any] = response.json()
    return answer


def send(upload: dict[str, Any], files: dict[str, bytes]) -> None:
    for each in upload["files"]:
        stored = httpx.request(
            each["method"], each["url"], content=files[each["name"]], headers=each["headers"], trust_env=False
        )
        assert stored.is_success, stored.text


def test_uploaded_photos_are_trained_on(
    http: httpx.Client, train: Submit, accepted: Accepted, bucket: Any, stored_keys: Any, picture: Draw
) -> None:
    photos = [picture(), picture(format_="PNG")]
    files = {"b.jpg": photos[0], "Photo 1.png": photos[1], "photo 1.txt": b"sks dog"}
    upload = begin(http, files)
    assert [each["name"] for each in upload["files"]] == list(files)
    send(upload, files)

    spec = accepted(train(dataset=upload["dataset"]))

    _, prefix = parse_uri(spec["dataset"]["uri"])
    assert spec["dataset"] != upload["dataset"]
    assert stored_keys(prefix) == [prefix + name for name in ("000.jpg", "001.png", "001.txt")]
    stored = [bucket.get_object(Bucket="darkroom", Key=prefix + name)["Body"].read() for name in ("000.jpg", "001.png")]
    assert stored == photos


def test_repeated_submission_of_an_upload_returns_the_first_job(
    http: httpx.Client, train: Submit, picture: Draw, bucket: Any, job_name: str
) -> None:
    files = {"a.jpg": picture()}
    upload = begin(http, files)
    send(upload, files)

    ids = {train(dataset=upload["dataset"], key=job_name).json()["id"] for _ in range(2)}

    assert len(ids) == 1
    bucket.delete_object(Bucket="darkroom", Key=f"{parse_uri(upload['dataset']['uri'])[1]}.upload.json")
    assert train(dataset=upload["dataset"], key=job_name).json()["id"] in ids  # Also after its upload was removed.
    assert train(dataset=upload["dataset"], key=job_name, maxSteps=7).json()["type"].endswith(":KeyReused")
    # The same photos in a form are the same request.
    assert train(files, key=job_name).json()["id"] in ids


def test_unusable_photos_are_refused(
    http: httpx.Client, train: Submit, refused: Refused, stored_keys: Any, picture: Draw
) -> None:
    files = {"good.jpg": picture(), "holiday.jpg": b"no photo"}
    upload = begin(http, files)
    assert "Missing: good.jpg, holiday.jpg" in refused(train(dataset=upload["dataset"]))["dataset.uri"]
    send(upload, files)
    before = stored_keys("datasets/default/")

    assert "holiday.jpg" in refused(train(dataset=upload["dataset"]))
    assert stored_keys("datasets/default/") == before


@pytest.mark.parametrize(
    "changed",
    [
        {"key": "datasets/default/v1-stored/a.jpg"},
        {"name": "a.txt", "bytes": 10**6},
        {"bytes": 10**12},
        {"unknown": "x" * MAX_RECORD_BYTES},
    ],
    ids=["key", "caption", "size", "record"],
)
def test_changed_record_of_an_upload_is_refused(
    http: httpx.Client, train: Submit, refused: Refused, bucket: Any, changed: dict[str, Any]
) -> None:
    upload = begin(http, {"a.jpg": b"0123456789"})
    _, prefix = parse_uri(upload["dataset"]["uri"])
    file = {"key": f"{prefix}000-a.jpg", "name": "a.jpg", "bytes": 10, **changed}
    bucket.put_object(Bucket="darkroom", Key=f"{prefix}.upload.json", Body=json.dumps({"files": [file]}))

    assert "was changed" in refused(train(dataset=upload["dataset"]))["dataset.uri"]


def test_longest_record_of_an_upload_is_within_the_bound() -> None:
    file = {"key": f"datasets/{'n' * 63}/upload-aaaaaaaaaaaaaaaa/000-{'a' * 60}.mask.jpeg", "name": "\U0001f436" * 200}
    files = [StoredUploadFile(**file, bytes=2**24, sha256="0" * 64) for _ in range(MAX_FILES)]

    assert len(UploadRecord(files=tuple(files)).model_dump_json().encode()) < MAX_RECORD_BYTES


def test_damaged_upload_is_refused(http: httpx.Client, train: Submit, refused: Refused, picture: Draw) -> None:
    sent, announced = picture(), picture()
    upload = begin(http, {"a.jpg": sent}, **{"a.jpg": hashlib.sha256(announced).hexdigest()})
    send(upload, {"a.jpg": sent})

    assert "SHA-256" in refused(train(dataset=upload["dataset"]))["a.jpg"]


def test_link_takes_only_the_announced_size(http: httpx.Client, picture: Draw) -> None:
    upload = begin(http, {"a.jpg": picture()})

    response = httpx.put(upload["files"][0]["url"], content=b"longer" * 100_000, trust_env=False)

    assert response.status_code == 403


def test_unknown_upload_is_refused(train: Submit, refused: Refused) -> None:
    dataset = {"uri": "s3://darkroom/datasets/default/upload-aaaaaaaaaaaaaaaa/"}

    assert "no such upload" in refused(train(dataset=dataset))["dataset.uri"]
    assert "as files" in refused(train(dataset=dataset | {"captions": {"a.jpg": "x"}}))["dataset.captions"]


@pytest.mark.parametrize(
    ("files", "field"),
    [
        ([], "files"),
        ([{"name": "a.jpg"}], "files[0].bytes"),
        ([{"name": "a.jpg", "bytes": 10**9}], "files[0].bytes"),
        ([{"name": "a.jpg", "bytes": 10}, {"name": "a.txt", "bytes": 10**6}], "files[1].bytes"),
        ([{"name": f"{number}.jpg", "bytes": 10} for number in range(101)], "files"),
        ([{"name": f"{number}.jpg", "bytes": 25 * 2**20} for number in range(21)], "files"),
        ([{"name": "a.jpg", "bytes": 10}, {"name": "b.txt", "bytes": 10}], "b.txt"),
        ([{"name": "a.jpg", "bytes": 10, "size": 10}], "files[0].size"),
    ],
)
def test_unusable_announcement_is_refused(
    http: httpx.Client, refused: Refused, files: list[dict[str, Any]], field: str
) -> None:
    assert field in refused(http.post("/v1/uploads", json={"files": files}))


def test_old_upload_is_removed_unless_a_job_refers_to_it(isolated: IsolatedNamespace) -> None:
    prefixes = [dataset_prefix(isolated.namespace, f"upload-{letter * 16}") for letter in "abc"]
    other = dataset_prefix(isolated.namespace, "a" * 16)
    for prefix in (*prefixes, other):
        isolated.store(prefix + "000-a.jpg")
    isolated.training("my-dog", f"s3://darkroom/{prefixes[0]}")
    collector = UploadCollector(isolated.storage, isolated.namespace)

    assert collector.collect(isolated.job_deleter().all(), datetime.now(UTC)) == []
    later = datetime.now(UTC) + GRACE + timedelta(minutes=1)
    assert collector.collect(isolated.job_deleter().all(), later) == prefixes[1:]
