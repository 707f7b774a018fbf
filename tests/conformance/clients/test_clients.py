"""The official Python client, as the gateway uses it, and kopf, as the operator does."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from support.kube_api import WAIT_SECONDS, Api, Json, ok

GENERATE = "generatejobs.darkroom.dev/v1alpha1"
KIND = ("darkroom.dev", "v1alpha1")


@pytest.fixture
def official(api: Api) -> Iterator[client.ApiClient]:
    settings = client.Configuration()
    config.load_kube_config(str(api.kubeconfig), client_configuration=settings)
    with client.ApiClient(settings) as connected:
        yield connected


def test_official_client_creates_reads_lists_patches_and_deletes(
    api: Api, official: client.ApiClient, name: str, generate_job: Callable[..., Json]
) -> None:
    objects = client.CustomObjectsApi(official)
    place = (*KIND, api.namespace, "generatejobs")
    made = objects.create_namespaced_custom_object(*place, generate_job(name), field_validation="Strict")
    assert objects.get_namespaced_custom_object(*place, name)["metadata"]["uid"] == made["metadata"]["uid"]
    patched = objects.patch_namespaced_custom_object(*place, name, {"spec": {"priority": 3}})
    assert patched["spec"]["priority"] == 3
    page = objects.list_namespaced_custom_object(*place, limit=1)
    assert len(page["items"]) == 1
    objects.delete_namespaced_custom_object(*place, name, propagation_policy="Background")
    with pytest.raises(ApiException) as missing:
        objects.get_namespaced_custom_object(*place, name)
    assert missing.value.status == 404


def test_official_client_receives_the_reason_of_a_rejection(
    api: Api, official: client.ApiClient, name: str, generate_job: Callable[..., Json]
) -> None:
    objects = client.CustomObjectsApi(official)
    with pytest.raises(ApiException) as refusal:
        objects.create_namespaced_custom_object(
            *KIND, api.namespace, "generatejobs", generate_job(name, images={"count": 0})
        )
    assert refusal.value.status == 422
    assert "spec.images.count" in refusal.value.body


def test_official_client_watches(
    api: Api, official: client.ApiClient, name: str, generate_job: Callable[..., Json]
) -> None:
    objects = client.CustomObjectsApi(official)
    since = ok(api.get(GENERATE))["metadata"]["resourceVersion"]
    api.made(GENERATE, generate_job(name))
    stream = watch.Watch().stream(
        objects.list_namespaced_custom_object,
        *KIND,
        api.namespace,
        "generatejobs",
        resource_version=since,
        field_selector=f"metadata.name={name}",
        timeout_seconds=20,
    )
    event = next(stream)
    stream.close()
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", name)


def test_official_client_reads_pods_and_leases_as_typed_objects(
    api: Api, official: client.ApiClient, name: str, gated_pod: Callable[..., Json]
) -> None:
    api.made("pods", gated_pod(name))
    pod = client.CoreV1Api(official).read_namespaced_pod(name, api.namespace)
    assert (pod.status.phase, pod.spec.scheduling_gates[0].name) == ("Pending", "darkroom.dev/conformance")
    leases = client.CoordinationV1Api(official)
    lease = client.V1Lease(metadata=client.V1ObjectMeta(name=name), spec=client.V1LeaseSpec(holder_identity="me"))
    assert leases.create_namespaced_lease(api.namespace, lease).spec.holder_identity == "me"


OPERATOR = """
import kopf

@kopf.on.startup()
def configure(settings, **_):
    settings.posting.enabled = False

@kopf.on.event("darkroom.dev", "v1alpha1", "trainjobs")
@kopf.on.event("darkroom.dev", "v1alpha1", "generatejobs")
@kopf.on.event("v1", "pods")
@kopf.on.event("coordination.k8s.io", "v1", "leases")
def heard(type, name, body, **_):
    print(f"{body['kind']} {name} {type}", flush=True)
"""


class Kopf:
    """A kopf operator as a process, and its output lines."""

    def __init__(self, api: Api, folder: Path) -> None:
        (folder / "operator.py").write_text(OPERATOR)
        command = [sys.executable, "-m", "kopf", "run", "--standalone", "--namespace", api.namespace]
        environment = {"PATH": os.defpath, "HOME": str(folder), "KUBECONFIG": str(api.kubeconfig)}
        self._process = subprocess.Popen(
            [*command, str(folder / "operator.py")],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: Queue[str] = Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.said: list[str] = []

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.strip())

    def wait_for(self, line: str) -> None:
        while line not in self.said:
            assert self._process.poll() is None, self.said
            self.said.append(self._lines.get(timeout=WAIT_SECONDS))

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        while not self._lines.empty():
            self.said.append(self._lines.get())


def test_kopf_receives_existing_objects_and_all_changes(
    api: Api, name: str, train_job: Any, generate_job: Any, gated_pod: Any, tmp_path: Path
) -> None:
    def make_one_of_each(called: str) -> None:
        api.made("trainjobs.darkroom.dev/v1alpha1", train_job(called))
        api.made(GENERATE, generate_job(called))
        api.made("pods", gated_pod(called))
        api.made("leases.coordination.k8s.io/v1", {"metadata": {"name": called}, "spec": {"holderIdentity": "me"}})

    make_one_of_each(f"{name}-first")
    operator = Kopf(api, tmp_path)
    try:
        # The watch of a kind starts after its list, and the kinds are listed independently.
        for kind in ("TrainJob", "GenerateJob", "Pod", "Lease"):
            operator.wait_for(f"{kind} {name}-first None")
        make_one_of_each(name)
        for kind in ("TrainJob", "GenerateJob", "Pod", "Lease"):
            operator.wait_for(f"{kind} {name} ADDED")
        ok(api.patch(GENERATE, name, {"status": {"phase": "Queued"}}, subresource="status"))
        operator.wait_for(f"GenerateJob {name} MODIFIED")
        ok(api.delete(GENERATE, name))
        operator.wait_for(f"GenerateJob {name} DELETED")
    finally:
        operator.stop()
    assert not [line for line in operator.said if "ERROR" in line or "Traceback" in line]
