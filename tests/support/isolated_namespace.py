"""A separate namespace for tests of deletion, without a gateway that could act before the test."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from darkroom_contract.names import Kind
from darkroom_contract.storage.keys import ModelRecord, dataset_uri, model_record_key, run_prefix
from darkroom_gateway.deletion.job_deleter import JobDeleter
from darkroom_gateway.deletion.model_deleter import ModelDeleter
from darkroom_gateway.kube.client import KubeClient
from darkroom_gateway.settings import Settings
from darkroom_gateway.storage.client import ObjectStorage

BUCKET = "darkroom"
ENDED = "2026-01-02T03:04:05Z"
RUN_FILES = ("dog.safetensors", "logs/1.txt", "manifest.json", "pytorch_lora_weights.safetensors")


class KilledError(BaseException):
    """Simulates a killed gateway. Nothing catches it."""


class KilledStorage(ObjectStorage):
    """Raises `KilledError` instead of making change number `changes`, counted from 0."""

    def __init__(self, settings: Settings, changes: int) -> None:
        super().__init__(settings)
        self._left = changes

    def _change(self) -> None:
        if self._left == 0:
            raise KilledError
        self._left -= 1

    def delete(self, keys: list[str]) -> None:
        for key in keys:
            self._change()
            super().delete([key])

    def write(self, key: str, body: bytes, content_type: str) -> None:
        self._change()
        super().write(key, body, content_type)


@dataclass(frozen=True)
class IsolatedNamespace:
    """A namespace, and methods that create jobs and files in it."""

    api: Any = field(repr=False)
    """`GatewayCluster` of this namespace."""
    s3: Any = field(repr=False)
    keys: Callable[[str], list[str]] = field(repr=False)
    settings: Settings
    cluster: KubeClient = field(repr=False)
    """A gateway's clients."""
    storage: ObjectStorage = field(repr=False)

    def close(self) -> None:
        self.cluster.close()
        self.storage.close()

    @property
    def namespace(self) -> str:
        return self.settings.namespace

    def dataset(self, name: str = "abcdefghijklmnop", photos: int = 2) -> str:
        """Store photos as a gateway does; returns their prefix."""
        prefix = f"datasets/{self.namespace}/{name}/"
        self.store(*(f"{prefix}{number:03d}.jpg" for number in range(photos)))
        return prefix

    def store(self, *keys: str) -> None:
        for key in keys:
            self.s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")

    def training(self, name: str, uri: str, *, finished: bool = True, model_id: str = "dog", **metadata: Any) -> str:
        """Create a TrainJob with the files of its run; returns its uid."""
        spec = {"modelId": model_id, "prompt": "sks dog", "dataset": {"uri": uri}}
        uid: str = self.api.create(Kind.TRAIN, name, spec, **metadata)["metadata"]["uid"]
        if finished:
            self.api.set_status(Kind.TRAIN, name, phase="Succeeded", attempts=1, completionTime=ENDED)
        self.store(*(run_prefix(uid) + each for each in RUN_FILES))
        return uid

    def model(self, uid: str, model_id: str = "dog", **changes: Any) -> None:
        """Write the model's record for the LoRA of a run."""
        record = ModelRecord(
            model_id=model_id,
            weights_key=f"{run_prefix(uid)}pytorch_lora_weights.safetensors",
            sha256="0" * 64,
            base_model="owner/base",
            prompt="sks dog",
            job_uid=uid,
            created=ENDED,
            **changes,
        )
        key, body = model_record_key(self.namespace, model_id), record.model_dump_json(by_alias=True).encode()
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)

    def lease(self, name: str, holder: str | None) -> None:
        """Write the Lease of the slot as the operator does: held by `Kind/name`, or free."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases"
        self.api.http.delete(f"{path}/{name}")
        if holder is not None:
            labels = {"app.kubernetes.io/component": "slot", "app.kubernetes.io/part-of": "darkroom"}
            metadata = {"name": name, "labels": labels, "annotations": {"darkroom.dev/job": holder}}
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
            answer = self.api.http.post(path, content=json.dumps({**body, "spec": {"holderIdentity": "uid"}}))
            assert answer.status_code == 201, answer.text

    def job_deleter(self, storage: ObjectStorage | None = None) -> JobDeleter:
        return JobDeleter(self.cluster, storage or self.storage)

    def model_deleter(self, storage: ObjectStorage | None = None) -> ModelDeleter:
        return ModelDeleter(storage or self.storage, self.namespace)

    def delete_model(self, model_id: str, storage: ObjectStorage | None = None) -> None:
        self.model_deleter(storage).delete(model_id, self.job_deleter().all())

    def request(self, kind: Kind, name: str) -> None:
        """The first steps of deleting a job with its files."""
        job = self.cluster.get(kind, name)
        assert job is not None
        self.job_deleter().request(job)

    def proceed(self, storage: ObjectStorage | None = None) -> list[str]:
        """One round of the sweeper."""
        files = self.job_deleter(storage)
        return files.proceed(files.labelled())


def uri_of(prefix: str) -> str:
    return dataset_uri(BUCKET, prefix)


def finalizers(isolated: IsolatedNamespace) -> list[str]:
    found: list[str] = isolated.api.get(Kind.TRAIN, "job")["metadata"].get("finalizers", [])
    return found
