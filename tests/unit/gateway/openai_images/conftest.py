"""Fixtures: OpenAI's own clients, and jobs that are finished as the operator and a run would."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import openai
import pytest
from support.gateway_cluster import GatewayCluster, wait_until
from support.running_gateway import Gateway, SecuredGateway
from support.s3_server import BUCKET

from darkroom_contract.names import Kind
from darkroom_contract.storage.keys import run_prefix

Answer = TypeVar("Answer")

NOW = "2026-01-02T03:04:05Z"


@dataclass
class Run:
    """A job of a request, found by its prompt, and the end of its run."""

    cluster: GatewayCluster
    bucket: Any
    prompt: str
    pool: ThreadPoolExecutor = field(repr=False)

    @property
    def key(self) -> str:
        """An Idempotency-Key."""
        return self.prompt.rpartition(" ")[2]

    def find(self) -> dict[str, Any] | None:
        items = self.cluster.http.get(self.cluster.path(Kind.GENERATE)).json()["items"]
        found: list[dict[str, Any]] = [each for each in items if each["spec"]["prompt"] == self.prompt]
        return found[0] if found else None

    def job(self) -> dict[str, Any]:
        """The job, once the request has created it."""
        wait_until(lambda: self.find() is not None, f"a job with the prompt {self.prompt}")
        job = self.find()
        assert job is not None
        return job

    def name(self) -> str:
        name: str = self.job()["metadata"]["name"]
        return name

    def succeed(self, *pictures: bytes, suffix: str = "png", size_bytes: int | None = None) -> str:
        """Store the pictures, by seeds from 7, and let the job succeed. Returns its name.

        `size_bytes`: the size of each in its status.
        """
        name, uid = self.name(), self.job()["metadata"]["uid"]
        type_ = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}[suffix]
        artifacts = []
        for seed, content in enumerate(pictures, 7):
            key = f"{run_prefix(uid)}{name}-seed-{seed}.{suffix}"
            self.bucket.put_object(Bucket=BUCKET, Key=key, Body=content)
            artifacts.append({"key": key, "contentType": type_, "bytes": size_bytes or len(content)})
            artifacts[-1]["sha256"] = "0" * 64
        self.cluster.set_status(
            Kind.GENERATE, name, phase="Succeeded", artifacts=artifacts, attempts=1, completionTime=NOW
        )
        return name

    def fail(self, reason: str, message: str) -> str:
        condition = {"type": "Failed", "status": "True", "reason": reason, "message": message}
        conditions = [{**condition, "lastTransitionTime": NOW}]
        self.cluster.set_status(Kind.GENERATE, self.name(), phase="Failed", attempts=1, conditions=conditions)
        return self.name()

    def during(self, request: Callable[..., Answer], **parameters: Any) -> "Future[Answer]":
        """Send a request with this prompt from a thread."""
        return self.pool.submit(request, prompt=self.prompt, **parameters)


@pytest.fixture
def run(cluster: GatewayCluster, bucket: Any, job_name: str) -> Iterator[Run]:
    with ThreadPoolExecutor() as pool:
        yield Run(cluster, bucket, f"a photo of {job_name}", pool)


@pytest.fixture(scope="package")
def client_of() -> Callable[..., openai.OpenAI]:
    """Makes a client of a gateway. Without retries, which would hide errors."""

    def make(gateway: Gateway | SecuredGateway, **options: Any) -> openai.OpenAI:
        http = openai.DefaultHttpxClient(trust_env=False)
        address = str(gateway.http.base_url.join("/v1"))
        return openai.OpenAI(
            **{"base_url": address, "api_key": "unused", "max_retries": 0, "http_client": http, **options}
        )

    return make


@pytest.fixture(scope="package")
def client(gateway: Gateway, client_of: Callable[..., openai.OpenAI]) -> Iterator[openai.OpenAI]:
    with client_of(gateway) as made:
        yield made


@pytest.fixture(scope="package")
def impatient(start_gateway: Any, environment: dict[str, str], cluster: GatewayCluster) -> Iterator[Gateway]:
    """A gateway that waits for one second, and knows other names of models."""
    settings = {
        "DARKROOM_GATEWAY_IMAGE_WAIT_SECONDS": "1",
        "DARKROOM_GATEWAY_MODEL_ALIASES": "dall-e-3=sdxl gpt-image-1=no-such-lora",
    }
    with start_gateway({**environment, **settings}) as started:
        cluster.readers.append(started.http)
        yield started
        cluster.readers.remove(started.http)
