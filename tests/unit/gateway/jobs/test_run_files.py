"""`GET /jobs/{task_id}/files`: the files of a run, also while it runs, behind addresses that never expire."""

from typing import Any

import httpx
import pytest
from support.running_gateway import SecuredGateway
from support.s3_server import BUCKET

from darkroom_contract.names import Kind
from darkroom_gateway.jobs.run_file_paths import FileAddresses, is_served

DATASET = {"uri": "s3://darkroom/datasets/default/x/"}
SAMPLE, STEP_FILE = "samples/dog-step-00100-0.png", "steps/100/pytorch_lora_weights.safetensors"
LATER, BEST = "steps/1000/dog.safetensors", "steps/best/dog.safetensors"
NOT_SERVED = ("checkpoint.json", "checkpoint-100.safetensors", "manifest.json", "logs/1.txt", "samples/below/a.png")


@pytest.fixture
def training(cluster: Any, bucket: Any, job_name: str) -> str:
    """The name of a running training with samples, saved steps and other files."""
    spec = {"modelId": "dog", "prompt": "sks dog", "dataset": DATASET}
    uid = cluster.create(Kind.TRAIN, job_name, spec)["metadata"]["uid"]
    cluster.set_status(Kind.TRAIN, job_name, phase="Running", attempts=1)
    for path in (SAMPLE, LATER, STEP_FILE, BEST, *NOT_SERVED):
        media_type = "image/png" if path.endswith(".png") else "application/octet-stream"
        bucket.put_object(Bucket=BUCKET, Key=f"runs/{uid}/{path}", Body=path.encode(), ContentType=media_type)
    return job_name


def test_file_of_a_running_training_redirects_to_a_fresh_link(http: httpx.Client, training: str) -> None:
    for path in (SAMPLE, STEP_FILE, BEST):
        response = http.get(f"/jobs/{training}/files/{path}", params={"kind": "TrainJob"})

        assert response.status_code == 307, response.text
        assert response.headers["cache-control"] == "no-store"
        download = httpx.get(response.headers["location"], trust_env=False)
        assert (download.status_code, download.content) == (200, path.encode())
        assert f'filename="{path.rsplit("/", 1)[-1]}"' in download.headers["content-disposition"]
    assert (
        httpx.get(http.get(f"/jobs/{training}/files/{SAMPLE}").headers["location"], trust_env=False).headers[
            "content-type"
        ]
        == "image/png"
    )


def test_list_names_what_can_be_read_now(http: httpx.Client, training: str) -> None:
    files = http.get(f"/jobs/{training}/files").json()["files"]

    assert [each["path"] for each in files] == [SAMPLE, STEP_FILE, LATER, BEST]
    assert [each["bytes"] for each in files] == [len(each["path"]) for each in files]
    assert files[0]["url"] == f"/jobs/{training}/files/{SAMPLE}?kind=TrainJob"
    for each in files:
        assert http.get(each["url"]).status_code == 307


def test_artifacts_are_served_once_the_job_has_succeeded(
    http: httpx.Client, cluster: Any, bucket: Any, job_name: str
) -> None:
    uid = cluster.create(Kind.GENERATE, job_name, {"prompt": "a dog"})["metadata"]["uid"]
    key = f"runs/{uid}/{job_name}-grid.png"
    bucket.put_object(Bucket=BUCKET, Key=key, Body=b"a picture", ContentType="image/png")
    path = f"/jobs/{job_name}/files/{job_name}-grid.png"
    assert http.get(path).status_code == 404

    artifact = {"key": key, "contentType": "image/png", "bytes": 9, "sha256": "0" * 64}
    manifest = {**artifact, "key": f"runs/{uid}/manifest.json", "contentType": "application/json"}
    cluster.set_status(Kind.GENERATE, job_name, phase="Succeeded", artifacts=[artifact, manifest])

    assert httpx.get(http.get(path).headers["location"], trust_env=False).content == b"a picture"
    assert [each["path"] for each in http.get(f"/jobs/{job_name}/files").json()["files"]] == [f"{job_name}-grid.png"]
    assert http.get(f"/jobs/{job_name}/files/manifest.json").status_code == 404


@pytest.fixture
def generation(cluster: Any, bucket: Any, job_name: str) -> str:
    """The name of a running generation of three pictures. Two of them are stored, beside files of other names."""
    spec = {"prompt": "a dog", "images": {"count": 3, "seed": 7}}
    uid = cluster.create(Kind.GENERATE, job_name, spec)["metadata"]["uid"]
    cluster.set_status(Kind.GENERATE, job_name, phase="Running", attempts=1)
    for name in (f"{job_name}-seed-7.png", f"{job_name}-seed-8.png", *not_pictures(job_name)):
        bucket.put_object(Bucket=BUCKET, Key=f"runs/{uid}/{name}", Body=name.encode(), ContentType="image/png")
    return job_name


def not_pictures(job_name: str) -> tuple[str, ...]:
    """Files in the folder of a generation that are not its pictures."""
    own = [f"{job_name}-{rest}" for rest in ("seed-10.png", "seed-8.jpg", "grid.png")]
    return (*own, "other-seed-7.png", "manifest.json")


@pytest.mark.parametrize("phase", ["Running", "Failed"])
def test_pictures_of_a_generation_can_be_read_before_it_succeeds(
    http: httpx.Client, cluster: Any, generation: str, phase: str
) -> None:
    cluster.set_status(Kind.GENERATE, generation, phase=phase, attempts=1)
    names = [f"{generation}-seed-7.png", f"{generation}-seed-8.png"]

    for files in (http.get(f"/jobs/{generation}/files"), http.get(f"/v1/jobs/{generation}/files")):
        assert [each["path"] for each in files.json()["files"]] == names
    for name in names:
        link = http.get(f"/v1/jobs/{generation}/files/{name}").headers["location"]
        assert httpx.get(link, trust_env=False).content == name.encode()


def test_other_files_in_the_folder_of_a_running_generation_are_404(http: httpx.Client, generation: str) -> None:
    for name in (*not_pictures(generation), f"{generation}-seed-9.png"):
        assert http.get(f"/jobs/{generation}/files/{name}").status_code == 404


def test_picture_that_a_succeeded_job_has_left_out_is_404(http: httpx.Client, cluster: Any, generation: str) -> None:
    """An earlier run has stored it."""
    cluster.set_status(Kind.GENERATE, generation, phase="Succeeded", attempts=2, artifacts=[])

    assert http.get(f"/v1/jobs/{generation}/files").json()["files"] == []
    assert http.get(f"/v1/jobs/{generation}/files/{generation}-seed-7.png").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "samples/dog-step-00200-0.png",
        "steps/200/pytorch_lora_weights.safetensors",
        "steps/best/pytorch_lora_weights.safetensors",
        "checkpoint.json",
        "checkpoint-100.safetensors",
        "manifest.json",
        "nothing.png",
    ],
)
def test_missing_and_internal_files_are_404(http: httpx.Client, training: str, path: str) -> None:
    response = http.get(f"/jobs/{training}/files/{path}")

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"].endswith(":UnknownFile")
    assert path in response.json()["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "samples/%2e%2e",
        "samples/.hidden.png",
        "samples/a b.png",
        "steps/0/a.safetensors",
        "steps/last/a.safetensors",
        "steps/100000/a.safetensors",
        f"samples/{'a' * 151}",
    ],
)
def test_other_paths_are_refused(gateway: Any, training: str, path: str) -> None:
    with httpx.Client(base_url=gateway.http.base_url, trust_env=False) as http:
        response = http.get(httpx.URL(str(gateway.http.base_url), raw_path=f"/jobs/{training}/files/{path}".encode()))

    assert response.status_code in (404, 422)
    assert "pattern" not in response.json()["detail"]
    assert response.headers["content-type"] == "application/problem+json"


def test_file_of_an_unknown_job_is_404(http: httpx.Client) -> None:
    for path in ("", "/a.png", f"/{SAMPLE}", f"/{BEST}"):
        assert http.get(f"/jobs/nobody-sent-this/files{path}").json()["type"].endswith(":UnknownTask")


def test_files_need_an_api_key_and_links_need_none(secured: SecuredGateway, training: str) -> None:
    path = f"/jobs/{training}/files/{SAMPLE}"
    assert secured.http.get(path).status_code == 401

    response = secured.http.get(path, headers=secured.key("alice"))

    assert response.status_code == 307
    assert httpx.get(response.headers["location"], trust_env=False).status_code == 200


@pytest.mark.parametrize("path", ["a.png", SAMPLE, STEP_FILE, BEST, "dog..b.safetensors"])
def test_addresses_are_below_the_root_path(path: str) -> None:
    addresses = FileAddresses("/darkroom", "dog-1", Kind.TRAIN)

    assert addresses.of_all([path]) == [f"/darkroom/jobs/dog-1/files/{path}?kind=TrainJob"]


@pytest.mark.parametrize(
    "path", ["", ".", "..", "../a.png", "samples/../a.png", "logs/1.txt", "/a", "a/", "//evil", "samples/a\n", "a?b#c"]
)
def test_other_paths_have_no_address(path: str) -> None:
    assert not is_served(path)
    assert FileAddresses("", "dog-1", Kind.TRAIN).of_all([path]) == []
