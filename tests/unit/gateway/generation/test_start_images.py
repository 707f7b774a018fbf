"""`POST /generate/*` with start pictures: uploaded, of an earlier task, or in object storage."""

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image
from support.photo_cases import claimed_png

from darkroom_contract.names import Kind
from darkroom_contract.storage.keys import manifest_key, run_prefix

BUCKET = "darkroom"
URI = f"s3://{BUCKET}/images/default/stored/dog.png"
Draw = Callable[..., bytes]


def generate(http: httpx.Client, files: dict[str, bytes] | None = None, **query: Any) -> httpx.Response:
    parts = {name: (f"{name}.jpg", content) for name, content in (files or {}).items()}
    headers = {"Idempotency-Key": query.pop("key")} if "key" in query else {}
    return http.post("/generate/sdxl", params={"prompt": "a dog", **query}, files=parts or None, headers=headers)


def accepted(response: httpx.Response, cluster: Any) -> dict[str, Any]:
    assert response.status_code == 202, response.text
    spec: dict[str, Any] = cluster.get(Kind.GENERATE, response.json()["task_id"])["spec"]
    return spec


def refused(response: httpx.Response, status: int = 422) -> dict[str, str]:
    assert response.status_code == status, response.text
    return {each["parameter"]: each["message"] for each in response.json()["errors"]}


def content(bucket: Any, uri: str) -> bytes:
    key = uri.removeprefix(f"s3://{BUCKET}/")
    body: bytes = bucket.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return body


def uploaded_folders(stored_keys: Any) -> set[str]:
    return {key.rpartition("/")[0] for key in stored_keys("images/default/")}


@pytest.fixture
def stored(bucket: Any, picture: Draw) -> str:
    bucket.put_object(Bucket=BUCKET, Key=URI.removeprefix(f"s3://{BUCKET}/"), Body=picture(format_="PNG"))
    return URI


@pytest.fixture
def finished_task(cluster: Any, bucket: Any, picture: Draw, job_name: str) -> str:
    """A task with two pictures and a grid."""
    uid = cluster.create(Kind.GENERATE, job_name, {"prompt": "a cat"})["metadata"]["uid"]
    names = [f"{job_name}-grid.png", f"{job_name}-seed-0.png", f"{job_name}-seed-1.png"]
    for name in names:
        bucket.put_object(Bucket=BUCKET, Key=run_prefix(uid) + name, Body=picture(format_="PNG"))
    write_manifest(bucket, uid, "default")
    artifacts = [
        {"key": run_prefix(uid) + name, "contentType": "image/png", "bytes": 1, "sha256": "0" * 64} for name in names
    ]
    cluster.set_status(Kind.GENERATE, job_name, phase="Succeeded", artifacts=artifacts)
    return job_name


def write_manifest(bucket: Any, uid: str, namespace: str | None) -> None:
    manifest = {"outcome": {"succeeded": True}, "attempt": 1, "created": "2026-01-02T03:04:05Z"}
    owner = {} if namespace is None else {"namespace": namespace}
    bucket.put_object(Bucket=BUCKET, Key=manifest_key(uid), Body=json.dumps(manifest | owner).encode())


def test_uploads_are_stored_and_reach_the_spec(http: httpx.Client, cluster: Any, bucket: Any, picture: Draw) -> None:
    start, mask, clip = picture(), picture(format_="PNG"), picture(format_="WEBP")

    files = {"image": start, "mask": mask, "video_image": clip}
    response = generate(
        http, files, strength=0.3, image_fit="pad", mask_blur=7, mask_invert=True, allow_motion=True, fps=5
    )

    spec = accepted(response, cluster)
    uris = [spec["startImage"]["uri"], spec["mask"]["uri"], spec["video"]["startImage"]["uri"]]
    assert [uri.rpartition("/")[2] for uri in uris] == ["image.jpg", "mask.png", "video_image.webp"]
    assert [content(bucket, uri) for uri in uris] == [start, mask, clip]
    assert all(uri.startswith(f"s3://{BUCKET}/images/default/") for uri in uris)
    assert spec["startImage"].items() >= {"strength": 0.3, "fit": "Pad"}.items()
    assert spec["mask"].items() >= {"blur": 7, "invert": True}.items()
    assert spec["video"]["fps"] == 5


def test_lora_endpoint_takes_pictures_too(http: httpx.Client, cluster: Any, picture: Draw, job_name: str) -> None:
    cluster.create(
        Kind.TRAIN,
        job_name,
        {"modelId": job_name, "prompt": "a", "dataset": {"uri": f"s3://{BUCKET}/datasets/default/x/"}},
    )
    response = http.post(
        "/generate/lora", params={"prompt": "a", "model_id": job_name}, files={"image": ("a.jpg", picture())}
    )
    assert accepted(response, cluster)["startImage"]["uri"].endswith("/image.jpg")


def test_every_new_parameter_reaches_the_spec(http: httpx.Client, cluster: Any) -> None:
    images = {
        "count": 2,
        "clip_skip": 1,
        "vae_tiling": "enabled",
        "preview_steps": 3,
        "format": "webp",
        "quality": 70,
        "grid": True,
    }
    upscale = {"upscale_factor": 1.25, "upscale_strength": 0.5, "upscale_steps": 9}
    cache = {"cache_policy": "adaptive", "cache_threshold": 0.2, "cache_reuse_guidance": False}
    spec = accepted(generate(http, **images, **upscale, **cache, cache_reuse_attention=False), cluster)

    assert (
        spec["images"].items()
        >= {
            "count": 2,
            "clipSkip": 1,
            "vaeTiling": "Enabled",
            "previewSteps": 3,
            "format": "WebP",
            "quality": 70,
            "grid": True,
        }.items()
    )
    assert spec["upscale"] == {"factor": 1.25, "strength": 0.5, "steps": 9}
    assert (
        spec["cache"].items()
        >= {"policy": "Adaptive", "threshold": 0.2, "reuseGuidance": False, "reuseAttention": False}.items()
    )


def test_clip_alone_from_a_picture(http: httpx.Client, cluster: Any, picture: Draw) -> None:
    spec = accepted(generate(http, {"video_image": picture()}, count=0, allow_motion=True), cluster)

    assert spec["images"]["count"] == 0
    assert spec["video"]["startImage"]["uri"].endswith("/video_image.jpg")


# --- tasks and URIs --------------------------------------------------------------------------------------------------


def test_first_picture_of_a_task_is_not_its_grid(http: httpx.Client, cluster: Any, finished_task: str) -> None:
    uid = cluster.get(Kind.GENERATE, finished_task)["metadata"]["uid"]

    first = accepted(generate(http, image_task_id=finished_task), cluster)
    other = accepted(generate(http, image_task_id=finished_task, image_file=f"{finished_task}-seed-1.png"), cluster)

    assert first["startImage"]["uri"] == f"s3://{BUCKET}/runs/{uid}/{finished_task}-seed-0.png"
    assert other["startImage"]["uri"] == f"s3://{BUCKET}/runs/{uid}/{finished_task}-seed-1.png"


def test_unknown_task_and_unknown_file_are_not_found(http: httpx.Client, finished_task: str) -> None:
    assert generate(http, image_task_id="generate-nobody").status_code == 404
    message = refused(generate(http, image_task_id=finished_task, image_file="none.png"), 404)["image_file"]
    assert f"{finished_task}-seed-0.png, {finished_task}-seed-1.png" in message


@pytest.mark.parametrize(("phase", "status"), [("Queued", 409), ("Running", 409), ("Failed", 404)])
def test_task_without_pictures_is_refused(
    http: httpx.Client, cluster: Any, job_name: str, phase: str, status: int
) -> None:
    cluster.create(Kind.GENERATE, job_name, {"prompt": "a cat"})
    cluster.set_status(Kind.GENERATE, job_name, phase=phase)

    assert phase in refused(generate(http, image_task_id=job_name), status)["image_task_id"]


@pytest.mark.parametrize(("namespace", "words"), [(None, "older release"), ("team-b", "another namespace")])
def test_task_that_no_run_may_read_is_refused(
    http: httpx.Client, cluster: Any, bucket: Any, finished_task: str, namespace: str | None, words: str
) -> None:
    uid = cluster.get(Kind.GENERATE, finished_task)["metadata"]["uid"]
    write_manifest(bucket, uid, namespace)
    file = f"s3://{BUCKET}/runs/{uid}/{finished_task}-seed-0.png"

    assert words in refused(generate(http, image_task_id=finished_task))["image_task_id"]
    assert words in refused(generate(http, image_uri=file))["image_uri"]


def test_stored_picture_is_used_in_place(http: httpx.Client, cluster: Any, stored: str) -> None:
    spec = accepted(generate(http, image_uri=stored, mask_uri=stored), cluster)

    assert (spec["startImage"]["uri"], spec["mask"]["uri"]) == (stored, stored)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        (f"s3://{BUCKET}/images/default/none.png", "no such picture"),
        (f"s3://{BUCKET}/images/team-b/dog.png", "outside of the folders"),
        (f"s3://{BUCKET}/images/default/../team-b/dog.png", "can't be used"),
        ("s3://elsewhere/dog.png", "outside of the folders"),
        (f"s3://{BUCKET}/runs/unknown-1/dog.png", "has not succeeded"),
        (f"s3://{BUCKET}/images/default/dog.gif", "URI of one picture"),
        ("file:///etc/passwd.png", "URI of one picture"),
    ],
)
def test_uri_that_jobs_may_not_read_is_refused(http: httpx.Client, uri: str, words: str) -> None:
    assert words in refused(generate(http, image_uri=uri))["image_uri"]


# --- unusable requests -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"no picture", "is no JPEG, PNG"),
        (claimed_png(15_000, 15_000), "at most 100 megapixels"),
        (claimed_png(60_000, 64), "no side may have more than 16000"),
        (claimed_png(10_000, 10_000), "damaged or cut short"),
    ],
    ids=["text", "megapixels", "wide", "empty pixels"],
)
def test_unusable_picture_is_refused_and_nothing_stored(
    http: httpx.Client, stored_keys: Any, body: bytes, words: str
) -> None:
    before = uploaded_folders(stored_keys)

    message = refused(generate(http, {"image": body}))["image"]

    assert message.startswith("image ")
    assert words in message
    assert uploaded_folders(stored_keys) == before


def test_black_mask_is_refused_unless_inverted(http: httpx.Client, cluster: Any, picture: Draw) -> None:
    Image.new("L", (96, 80), 0).save(buffer := BytesIO(), "PNG")
    files = {"image": picture(), "mask": buffer.getvalue()}

    assert "mask_invert=true" in refused(generate(http, files))["mask"]
    accepted(generate(http, files, mask_invert=True), cluster)


def test_opaque_mask_by_transparency_is_refused(http: httpx.Client, cluster: Any, picture: Draw) -> None:
    files = {"image": picture(), "mask": picture(format_="PNG")}
    assert "no transparent part" in refused(generate(http, files, mask_channel="transparency"))["mask"]

    Image.new("RGBA", (96, 80)).save(buffer := BytesIO(), "PNG")
    spec = accepted(generate(http, {**files, "mask": buffer.getvalue()}, mask_channel="transparency"), cluster)
    assert spec["mask"]["channel"] == "Transparency"


def test_large_picture_is_refused(http: httpx.Client) -> None:
    assert "at most 25 MiB" in refused(generate(http, {"image": bytes(25 * 1024**2 + 1)}))["image"]


def test_large_form_is_refused_by_its_announced_size(http: httpx.Client) -> None:
    """Three pictures of 25 MiB fit into 76 MiB."""
    response = http.post(
        "/generate/sdxl",
        params={"prompt": "a"},
        headers={"Content-Type": "multipart/form-data; boundary=x"},
        content=bytes(77 * 1024**2),
    )
    assert response.status_code == 413
    assert "at most 76 MiB" in response.json()["detail"]


def test_unknown_part_text_and_other_bodies_are_refused(http: httpx.Client, picture: Draw) -> None:
    assert "image, mask, video_image" in refused(generate(http, {"photo": picture()}))["photo"]
    post = http.post("/generate/sdxl", params={"prompt": "a"}, files={"image": (None, "dog.jpg")})
    assert "with the @" in refused(post)["image"]
    post = http.post("/generate/sdxl", params={"prompt": "a"}, files={"steps": (None, "5")})
    assert "query string" in refused(post)["steps"]
    post = http.post("/generate/sdxl", params={"prompt": "a"}, json={"steps": 5})
    assert "multipart/form-data" in refused(post)["body"]
    twice = [("image", ("a.jpg", picture())), ("image", ("b.jpg", picture()))]
    post = http.post("/generate/sdxl", params={"prompt": "a"}, files=twice)
    assert "two of this name" in refused(post)["image"]


def test_two_sources_of_one_picture_are_refused(http: httpx.Client, picture: Draw) -> None:
    errors = refused(
        generate(
            http,
            {"image": picture()},
            image_uri=URI,
            mask_url="https://x.example/a.png",
            mask_task_id="generate-x",
            video_image_file="a.png",
        )
    )
    assert set(errors) == {"image_uri", "mask_task_id", "video_image_file"}


def test_picture_of_a_task_may_be_gone_when_the_request_is_repeated(
    http: httpx.Client, cluster: Any, finished_task: str
) -> None:
    key = f"{finished_task}-again"
    first = generate(http, image_task_id=finished_task, key=key)
    cluster.delete(Kind.GENERATE, finished_task)

    assert generate(http, image_task_id=finished_task, key=key).json() == first.json()
