"""The manifest of a run's pod: valid for Kubernetes, complete for the runner, and restricted."""

from dataclasses import replace
from typing import Any

import kubernetes_validate
import pytest
from support.operator_snapshots import a_job, a_training

from darkroom_contract import environment, names
from darkroom_contract.jobs import Job
from darkroom_contract.runs import RunDocument
from darkroom_operator.pods.builder import runner_pod
from darkroom_operator.pods.runner_pod import GATE, read_pod
from darkroom_operator.settings import Settings

SETTINGS = Settings(runner_image="darkroom/runner:1", runner_secret="storage", termination_grace_seconds=90)
UID = "0f9a1b2c-3d4e-5f60-7182-93a4b5c6d7e8"
JOBS = [replace(a_job("pictures"), uid=UID), replace(a_training("subject", priority=3), uid=UID)]


def manifest(job: Job = JOBS[0], attempt: int = 2, **settings: Any) -> dict[str, Any]:
    return runner_pod(job, attempt, 0, SETTINGS.model_copy(update=settings))


def container(pod: dict[str, Any]) -> dict[str, Any]:
    [only] = pod["spec"]["containers"]
    assert isinstance(only, dict)
    return only


@pytest.mark.parametrize("version", [f"1.{minor}" for minor in range(30, 38)])
def test_recent_kubernetes_versions_accept_it(version: str) -> None:
    kubernetes_validate.validate(manifest(), version, strict=True)


def test_they_accept_that_of_a_training() -> None:
    kubernetes_validate.validate(manifest(JOBS[1]), "1.37", strict=True)


def test_the_restricted_pod_security_standard_allows_it() -> None:
    pod = manifest()
    security = container(pod)["securityContext"]
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["readOnlyRootFilesystem"] is True
    assert [volume for volume in pod["spec"]["volumes"] if "emptyDir" not in volume] == []


def test_it_gets_no_credentials_for_the_cluster() -> None:
    assert manifest()["spec"]["automountServiceAccountToken"] is False


def test_it_is_created_gated_and_never_restarted_in_place() -> None:
    spec = manifest()["spec"]
    assert spec["schedulingGates"] == [{"name": GATE}]
    assert spec["restartPolicy"] == "Never"
    assert spec["terminationGracePeriodSeconds"] == 90


def test_its_name_is_fixed_for_a_run_and_different_for_the_next() -> None:
    assert manifest()["metadata"]["name"] == "pictures-0f9a1b2c-2" == manifest()["metadata"]["name"]
    assert manifest(attempt=3)["metadata"]["name"] == "pictures-0f9a1b2c-3"


def test_the_longest_job_name_makes_a_valid_host_name() -> None:
    job = replace(JOBS[0], name="n" * names.MAX_JOB_NAME_LENGTH)
    assert len(manifest(job, attempt=1234)["metadata"]["name"]) <= 63


def test_it_is_deleted_with_its_job() -> None:
    [owner] = manifest()["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == ("GenerateJob", "pictures", UID, True)


@pytest.mark.parametrize("job", JOBS, ids=["generate", "train"])
def test_the_run_document_is_read_back_unchanged(job: Job) -> None:
    variables = {each["name"]: each["value"] for each in container(manifest(job))["env"]}
    document = RunDocument.from_json(variables[environment.RUN])
    assert (document.train or document.generate) == job.spec
    assert (document.uid, document.attempt) == (UID, 2)
    assert document.base_model == SETTINGS.default_base_model


def test_the_base_model_of_the_job_overrides_the_default() -> None:
    job = replace(JOBS[0], spec=JOBS[0].spec.model_copy(update={"base_model": "mine"}))
    variables = {each["name"]: each["value"] for each in container(manifest(job))["env"]}
    assert RunDocument.from_json(variables[environment.RUN]).base_model == "mine"


@pytest.mark.parametrize("job", JOBS, ids=["generate", "train"])
def test_the_pod_does_not_contain_the_address_of_the_webhook(job: Job) -> None:
    webhook = {"webhook": "https://example.com/secret-path", "webhook_events": ("Started",)}
    job = replace(job, spec=job.spec.model_copy(update=webhook))
    assert "secret-path" not in str(manifest(job))


def test_it_requests_the_gpu_in_requests_and_limits() -> None:
    gpu = {"nvidia.com/gpu": "1"}
    assert container(manifest())["resources"] == {"limits": gpu, "requests": gpu}


def test_it_requests_no_gpu_if_the_count_is_zero() -> None:
    assert container(manifest(gpu_count=0))["resources"] == {}


def test_the_secret_is_the_only_source_of_its_credentials() -> None:
    assert container(manifest())["envFrom"] == [{"secretRef": {"name": "storage"}}]
    assert container(manifest(runner_secret=None))["envFrom"] == []


def test_the_pod_that_was_built_can_be_read() -> None:
    document = manifest()
    document["metadata"] |= {"uid": "u", "resourceVersion": "1", "creationTimestamp": "2026-11-25T12:00:00Z"}
    pod = read_pod(document)
    assert (pod.job_uid, pod.job_name, pod.attempt, pod.slot, pod.gated) == (UID, "pictures", 2, 0, True)
