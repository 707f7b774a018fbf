"""The log contains no secrets, even at level DEBUG."""

import secrets
from typing import Any

import httpx
import redis
from support.event_streams import StreamedJob, follow

from darkroom_contract.names import Kind


def test_log_contains_no_secret(secured: Any, cluster: Any, bucket: Any, job_name: str) -> None:
    uid = cluster.create(Kind.GENERATE, job_name, {"prompt": "secretly a dog"})["metadata"]["uid"]
    artifact = {"key": f"runs/{uid}/image-0.png", "contentType": "image/png", "bytes": 1, "sha256": "0" * 64}
    bucket.put_object(Bucket="darkroom", Key=artifact["key"], Body=b"x")
    http, key = secured.http, secured.key("alice")
    wrong, mistaken, header = (secrets.token_hex(24) for _ in range(3))

    with redis.Redis.from_url(secured.redis_url) as client:
        job = StreamedJob(job_name, uid, cluster, client)
        job.report(step=1)
        job.set_status(phase="Succeeded", artifacts=[artifact])
        assert "progress" in [event.name for event in follow(http, job_name, **key)]
    link = http.get("/images", params={"task_id": job_name}, headers=key).json()["images"][0]["url"]
    assert httpx.get(link, trust_env=False).content == b"x"
    assert http.get("/readyz").status_code == 200
    assert http.get("/jobs", headers={"Authorization": f"Bearer {wrong}"}).status_code == 401
    for name in ("api_key", "access_token"):
        assert http.get("/jobs", params={name: mistaken}).status_code == 401
        assert http.get("/jobs", params={name: mistaken}, headers=key).status_code == 422
        query = {"prompt": "secretly", name: mistaken}
        assert http.post("/generate/sdxl", params=query, headers=key).status_code == 422
    assert http.post("/generate/sdxl?prompt=secretly", headers={**key, "Idempotency-Key": header}).status_code == 202
    assert http.post("/train?prompt=secretly&model_id=a", files={"f": header.encode()}, headers=key).status_code == 422

    log = secured.gateway.log()
    assert "DEBUG" in log
    assert "GET '/jobs' answered 401" in log
    assert "GET '/images' answered 200 to alice" in log
    signature = link.split("X-Amz-Signature=")[1].split("&")[0]
    shown = {"link": signature, "wrong": wrong, "mistaken": mistaken, "header": header, **secured.secrets}
    assert [name for name, secret in shown.items() if secret in log] == []
    assert "X-Amz-" not in log
    assert "secretly" not in log
