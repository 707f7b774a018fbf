"""Responses match the OpenAPI document, for requests that Schemathesis generates from it.

Generates valid and invalid requests, with task ids of jobs in every phase and with real photos. No endpoint is named
here, so new ones are tested too. `make fuzz EXAMPLES=200 SEED=2` generates 200 requests per operation and phase instead
of five, from another seed.
"""

import json
import os
import secrets
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.finishing_operator import finishing_generations
from support.lora_files import lora_bytes
from support.photos import encode, scene

from darkroom_contract.names import Kind
from darkroom_contract.status import Phase
from darkroom_contract.storage.keys import ModelRecord, model_record_key, model_step_key, run_log_key

EXAMPLES = int(os.environ.get("GENERATED_EXAMPLES", "5"))
SEED = int(os.environ.get("GENERATED_SEED", "1"))
SECONDS = 1200 + 30 * EXAMPLES
"""POST /generate/* take most of it: they have about 60 parameters and a form, and requests grow with both."""
TESTS = Path(__file__).parents[3]
HOOKS = "support.generated_requests"

NAMESPACE = "described"
MODEL_ID = "described-dog"
NOW = "2026-01-02T03:04:05Z"
DATASET = f"datasets/{NAMESPACE}/x/"
SPECS: dict[Kind, dict[str, Any]] = {
    Kind.TRAIN: {"modelId": MODEL_ID, "prompt": "sks dog", "dataset": {"uri": f"s3://darkroom/{DATASET}"}},
    Kind.GENERATE: {"prompt": "a dog", "negativePrompt": "cats"},
}
FILES = {
    Kind.TRAIN: {"pytorch_lora_weights.safetensors": "application/octet-stream", "1-validation.png": "image/png"},
    Kind.GENERATE: {"1-seed-0.png": "image/png", "1.mp4": "video/mp4"},
}
STORED = (*FILES[Kind.TRAIN], "samples/1-step-00100-0.png", "steps/100/1.safetensors")
"""Files of the runs of trainings."""
STATUSES: dict[Phase, dict[str, Any]] = {
    Phase.QUEUED: {"queue": {"position": 1, "estimatedStartTime": NOW, "waitingFor": "TrainJob/other"}},
    Phase.STARTING: {"attempts": 1, "startTime": NOW, "runStart": "Warm"},
    Phase.RUNNING: {
        "attempts": 1,
        "startTime": NOW,
        "progress": {"stage": "Denoising", "step": 3, "total": 9, "lastUpdatedTime": NOW, "metrics": {"loss": 0.5}},
    },
    Phase.SUCCEEDED: {
        "attempts": 2,
        "startTime": NOW,
        "completionTime": NOW,
        "remarks": [{"reason": "PromptTruncated", "message": "Shorten it."}],
    },
    Phase.FAILED: {"attempts": 3, "nextAttemptTime": NOW, "completionTime": NOW},
    Phase.SUSPENDED: {"attempts": 1},
}
CONDITIONS = {Phase.SUCCEEDED: ("Complete", "Succeeded"), Phase.FAILED: ("Failed", "DatasetInvalid")}


@pytest.fixture(scope="module")
def described(cluster: Any) -> Iterator[Any]:
    """A separate namespace, so that generated requests don't affect other tests."""
    made = cluster.http.post("/api/v1/namespaces", json={"metadata": {"name": NAMESPACE}})
    assert made.status_code == 201, made.text
    found = type(cluster)(cluster.kubeconfig, NAMESPACE)
    yield found
    found.http.close()


@pytest.fixture(scope="module")
def make_jobs(described: Any, bucket: Any) -> Callable[[str], list[str]]:
    """Create a job of each kind in each phase, with files and logs, and one that no operator has seen; returns their
    names."""

    def make(prefix: str) -> list[str]:
        names = []
        for kind, spec in SPECS.items():
            names.append(f"{prefix}-{kind.singular}-new")
            described.create(kind, names[-1], spec)
            for phase in Phase:
                names.append(f"{prefix}-{kind.singular}-{phase.lower()}")
                uid = described.create(kind, names[-1], spec)["metadata"]["uid"]
                described.set_status(kind, names[-1], phase=phase, **status_of(kind, phase, uid))
                for path in STORED if kind is Kind.TRAIN else ():
                    bucket.put_object(Bucket="darkroom", Key=f"runs/{uid}/{path}", Body=b"x")
                for attempt in range(1, STATUSES[phase].get("attempts", 0) + 1):
                    bucket.put_object(Bucket="darkroom", Key=run_log_key(uid, attempt), Body=b"loaded\n\xff")
            described.create(kind, f"{prefix}-both", spec)
        return [*names, f"{prefix}-both"]

    return make


def status_of(kind: Kind, phase: Phase, uid: str) -> dict[str, Any]:
    status = dict(STATUSES[phase])
    if phase is Phase.SUCCEEDED:
        status["artifacts"] = [
            {"key": f"runs/{uid}/{name}", "contentType": type_, "bytes": 7, "sha256": "0" * 64}
            for name, type_ in FILES[kind].items()
        ]
    if phase in CONDITIONS:
        type_, reason = CONDITIONS[phase]
        condition = {"type": type_, "status": "True", "reason": reason, "message": "", "lastTransitionTime": NOW}
        status["conditions"] = [condition]
    return status


@pytest.fixture(scope="module")
def make_models(bucket: Any) -> Callable[[list[str]], list[str]]:
    """Create trained LoRAs; returns their ids."""

    def make(model_ids: list[str]) -> list[str]:
        for number, model_id in enumerate(model_ids):
            weights = f"runs/{model_id}-{number}/pytorch_lora_weights.safetensors"
            record = {
                "model_id": model_id,
                "weights_key": weights,
                "sha256": "0" * 64,
                "base_model": "owner/name",
                "prompt": "sks dog",
                "job_uid": f"{model_id}-{number}",
                "created": NOW,
            }
            body = ModelRecord.model_validate(record).model_dump_json(by_alias=True).encode()
            bucket.put_object(Bucket="darkroom", Key=weights, Body=b"weights")
            bucket.put_object(Bucket="darkroom", Key=model_record_key(NAMESPACE, model_id), Body=body)
            bucket.put_object(Bucket="darkroom", Key=model_step_key(NAMESPACE, model_id, "best"), Body=body)
        return model_ids

    return make


@pytest.fixture(scope="module")
def lora_uri(bucket: Any) -> str:
    """A LoRA file in object storage that jobs may read."""
    key = f"loras/{NAMESPACE}/friends/style.safetensors"
    bucket.put_object(Bucket="darkroom", Key=key, Body=lora_bytes())
    return f"s3://darkroom/{key}"


@pytest.fixture(scope="module")
def ids(
    make_jobs: Callable[[str], list[str]],
    make_models: Callable[[list[str]], list[str]],
    lora_uri: str,
    bucket: Any,
) -> str:
    """Values of parameters for the hooks: what exists, and what may be changed and deleted."""
    bucket.put_object(Bucket="darkroom", Key=f"{DATASET}a.jpg", Body=b"x")
    kept, changed, deleted = make_jobs("kept"), make_jobs("changed"), make_jobs("doomed")
    doomed = make_models([f"doomed-{number}" for number in range(20)])
    existing = {
        "task_id": kept,
        "id": kept,
        "model_id": make_models([MODEL_ID]),
        "lora": [[f"{MODEL_ID}:0.5"], [f"{MODEL_ID}@best", lora_uri]],
        "uri": [lora_uri],
    }
    return json.dumps(
        {
            "GET": existing,
            "POST": {**existing, "id": changed},
            "PATCH": {"id": changed},
            "DELETE": {"task_id": deleted, "id": deleted, "model_id": doomed},
            "FILES": known_paths(),
            "DATASET": f"s3://darkroom/{DATASET}",
        }
    )


def known_paths() -> dict[str, dict[str, str]]:
    """Path parameters of files that exist, and of jobs that can be retried and suspended."""
    found: dict[str, dict[str, str]] = {"/v1/jobs/{id}/retry": {"id": "kept-generatejob-succeeded"}}
    found |= {f"/v1/jobs/{{id}}/{action}": {"id": "kept-generatejob-queued"} for action in ("suspend", "resume")}
    for path, name in (("/jobs/{task_id}/files", "task_id"), ("/v1/jobs/{id}/files", "id")):
        succeeded = {name: "kept-trainjob-succeeded"}
        found[f"{path}/{{name}}"] = {**succeeded, "name": "1-validation.png"}
        found[f"{path}/samples/{{name}}"] = {**succeeded, "name": "1-step-00100-0.png"}
        found[f"{path}/steps/{{step}}/{{name}}"] = {**succeeded, "step": "100", "name": "1.safetensors"}
    return found


@pytest.fixture(scope="module")
def photos(folder: Path) -> Path:
    """A folder of real photos, one of each format."""
    path = folder / "described-photos"
    path.mkdir()
    for kind in ("PNG", "JPEG", "WEBP", "HEIF"):
        (path / kind).write_bytes(encode(scene(), kind))
    return path


@pytest.fixture(scope="module")
def started(start_gateway: Any, environment: dict[str, str], folder: Path) -> Iterator[tuple[Any, str]]:
    """A gateway with API keys, and a key."""
    key, keys = secrets.token_hex(24), folder / "described-keys"
    keys.mkdir()
    (keys / "alice").write_text(key)
    settings = {"DARKROOM_GATEWAY_API_KEYS_DIR": str(keys), "DARKROOM_NAMESPACE": NAMESPACE}
    with start_gateway({**environment, **settings}) as gateway:
        yield gateway, key


CONFIGURATION = f"""
hooks = "{HOOKS}"
request-timeout = 30
max-stream-events = 1
continue-on-failure = true
[cache]
enabled = false
[generation]
max-examples = {EXAMPLES}
database = "none"
[phases.coverage.extra-data-sources]
responses = false
[phases.fuzzing.extra-data-sources]
responses = false
[phases.stateful]
max-steps = 4
[[operations]]
# It has no end, and no event while no job changes.
include-path = "/v1/events"
request-timeout = 1
[[operations]]
# Rules between parameters are stricter than a description can say.
include-method = "POST"
checks.positive_data_acceptance.expected-statuses = ["200", "201", "202", "400", "404", "409", "422"]
"""
"""`schemathesis.toml`."""


def answered(report: Path) -> dict[str, set[int]]:
    """The response statuses of each operation, from the events of the run."""
    found = defaultdict(set)
    for line in report.read_text(encoding="utf-8").splitlines():
        recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
        for name, interaction in recorder.get("interactions", {}).items():
            if response := interaction["response"]:
                value = recorder["cases"][name]["value"]
                found[f"{value['method']} {value['path']}"].add(response["status_code"])
    return found


@pytest.mark.timeout(SECONDS + 60)
def test_generated_requests_get_responses_that_match_the_openapi_document(
    started: tuple[Any, str], described: Any, bucket: Any, ids: str, photos: Path, tmp_path: Path
) -> None:
    gateway, key = started
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    report = tmp_path / "report.ndjson"
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run"]
    command += [f"{gateway.http.base_url}/openapi.json", "--header", f"Authorization: Bearer {key}"]
    command += ["--seed", str(SEED), "--report-ndjson-path", str(report)]
    real = {"DARKROOM_TEST_PHOTOS": str(photos), "DARKROOM_TEST_IDS": ids}

    with finishing_generations(described, bucket):
        run = subprocess.run(
            command,
            cwd=tmp_path,
            env={"PATH": os.defpath, "PYTHONPATH": str(TESTS), "NO_COLOR": "1", **real},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )

    assert run.returncode == 0, run.stdout + run.stderr
    operations = {
        f"{method.upper()} {path}"
        for path, methods in gateway.http.get("/openapi.json").json()["paths"].items()
        for method in methods
    }
    statuses = answered(report)
    assert operations <= statuses.keys()
    # Otherwise no request passed validation.
    assert sorted(each for each in operations if not {200, 201, 202, 204, 307} & statuses[each]) == []
    # Operations of open paths accept any input, or none.
    refused = {each: 400 if " /v1/images/" in each else 422 for each in operations}
    lenient = sorted(each for each in operations if not {401, refused[each]} <= statuses[each])
    assert lenient == ["GET /healthz", "GET /readyz"]
