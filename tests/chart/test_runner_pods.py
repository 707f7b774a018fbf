"""Pods that the operator creates from the chart's runner template: the effect of the chart's values."""

from pathlib import Path

import kubernetes_validate.utils
import pytest
import yaml
from support.chart import CASES, Json, plain_environment, render, rendered, values
from support.pod_security import violations

from darkroom_contract.jobs import read_job
from darkroom_contract.names import Kind
from darkroom_operator.pods.builder import runner_pod
from darkroom_operator.settings import Settings

NOW = "2026-11-27T12:00:00Z"


def _job() -> Json:
    return {
        "apiVersion": "darkroom.dev/v1alpha1",
        "kind": Kind.GENERATE.value,
        "metadata": {
            "name": "circles",
            "namespace": "studio",
            "uid": "6f9619ff-8b86-4011-b42d-00c04fc964ff",
            "resourceVersion": "1",
            "creationTimestamp": NOW,
        },
        "spec": {"prompt": "a red circle"},
    }


def _pod(given: Json, folder: Path) -> Json:
    """The pod as the operator creates it, with the chart's settings."""
    rendering = render(given)
    environment = plain_environment(rendering.deployment("operator")["spec"]["template"])
    template = folder / "runner-template.yaml"
    template.write_text(yaml.safe_dump(rendering.runner_template()), encoding="utf-8")
    settings = Settings.from_environment(environment | {"DARKROOM_RUNNER_TEMPLATE": str(template)})
    return runner_pod(read_job(_job()), 1, 0, settings)


@pytest.fixture(params=CASES, scope="module")
def pod(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Json:
    return _pod(values(request.param), tmp_path_factory.mktemp(request.param))


def test_pods_meet_the_restricted_standard(pod: Json) -> None:
    assert violations(pod) == []
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True


def test_pod_is_valid(pod: Json) -> None:
    for version in ("1.30", "1.37"):
        kubernetes_validate.validate(pod, version, strict=True)


def test_requests_and_limits_are_set(pod: Json) -> None:
    resources = pod["spec"]["containers"][0]["resources"]
    assert {"cpu", "memory"} <= resources["requests"].keys()
    assert "memory" in resources["limits"]


def test_network_policy_selects_the_pod(pod: Json) -> None:
    selector = rendered("default").one("NetworkPolicy", "darkroom-runner")["spec"]["podSelector"]["matchLabels"]
    assert selector.items() <= pod["metadata"]["labels"].items()


def test_no_service_or_deployment_selects_the_pod(pod: Json) -> None:
    for each in rendered("everything").objects:
        selector = each.get("spec", {}).get("selector", {})
        labels = selector.get("matchLabels", selector)
        if labels:
            assert not labels.items() <= pod["metadata"]["labels"].items(), each["metadata"]["name"]


def test_every_mount_has_its_volume(pod: Json) -> None:
    volumes = [volume["name"] for volume in pod["spec"]["volumes"]]
    mounts = [mount["name"] for mount in pod["spec"]["containers"][0]["volumeMounts"]]
    assert len(volumes) == len(set(volumes))
    assert set(mounts) == set(volumes)


def test_defaults_request_a_gpu_and_mount_the_model_cache(tmp_path: Path) -> None:
    spec = _pod({}, tmp_path)["spec"]
    [container] = spec["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in spec["tolerations"]
    assert {"name": "models", "persistentVolumeClaim": {"claimName": "darkroom-models"}} in spec["volumes"]
    assert {"name": "models", "mountPath": "/models"} in container["volumeMounts"]
    assert {"secretRef": {"name": "darkroom-runner"}} in container["envFrom"]
    assert container["image"] == "darkroom-runner:0.1.0"
    assert spec["serviceAccountName"] == "darkroom-runner"


def test_gpu_count_zero_requests_no_gpu(tmp_path: Path) -> None:
    resources = _pod(values("tryout"), tmp_path)["spec"]["containers"][0]["resources"]
    assert "nvidia.com/gpu" not in resources["limits"]
    assert resources["requests"]["memory"] == "1Gi"


def test_all_runner_values_reach_the_pod(tmp_path: Path) -> None:
    pod = _pod(values("everything"), tmp_path)
    spec, metadata = pod["spec"], pod["metadata"]
    [container] = spec["containers"]
    assert (spec["schedulerName"], spec["runtimeClassName"]) == ("volcano", "nvidia")
    assert spec["priorityClassName"] == rendered("everything").of_kind("PriorityClass")[0]["metadata"]["name"]
    assert spec["nodeSelector"] == {"gpu": "true"}
    assert "nodeAffinity" in spec["affinity"]
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["terminationGracePeriodSeconds"] == 300
    assert metadata["labels"]["kueue.x-k8s.io/queue-name"] == "gpu-queue"
    assert metadata["annotations"]["example.com/note"] == "run"
    assert container["resources"]["limits"]["nvidia.com/mig-3g.40gb"] == "2"
    assert {"configMapRef": {"name": "runner-extra", "optional": True}} in container["envFrom"]
    assert {"OMP_NUM_THREADS": "4", "HTTPS_PROXY": "http://proxy:3128"}.items() <= plain_environment(pod).items()
    shared = {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "4Gi"}}
    assert shared in spec["volumes"]


def test_template_extends_lists_and_overrides_other_fields(tmp_path: Path) -> None:
    given = {
        "runner": {
            "nodeSelector": {"zone": "a"},
            "template": {
                "metadata": {"annotations": {"karpenter.sh/do-not-disrupt": "false"}},
                "spec": {
                    "nodeSelector": {"zone": "b"},
                    "tolerations": [{"key": "reserved", "operator": "Exists"}],
                    "hostUsers": False,
                    "containers": [{"name": "runner", "resources": {"limits": {"memory": "99Gi"}}}],
                },
            },
        }
    }
    pod = _pod(given, tmp_path)
    assert pod["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"] == "false"
    assert pod["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
    assert pod["spec"]["nodeSelector"] == {"zone": "b"}
    assert [each["key"] for each in pod["spec"]["tolerations"]] == ["nvidia.com/gpu", "reserved"]
    assert pod["spec"]["hostUsers"] is False
    resources = pod["spec"]["containers"][0]["resources"]
    assert (resources["limits"]["memory"], resources["requests"]["memory"]) == ("99Gi", "8Gi")


def test_changed_template_restarts_the_operator() -> None:
    def checksum(given: Json) -> str:
        pod = render(given).deployment("operator")["spec"]["template"]
        found: str = pod["metadata"]["annotations"]["checksum/runner-template"]
        return found

    assert checksum({}) == checksum({"gateway": {"replicas": 2}})
    assert checksum({}) != checksum({"runner": {"nodeSelector": {"gpu": "true"}}})


def test_c2pa_certificate_is_mounted_read_only_where_the_runner_reads_it(tmp_path: Path) -> None:
    c2pa = {"secretName": "signing", "timestampUrl": "https://tsa.example.com"}
    pod = _pod({"runner": {"c2pa": c2pa}}, tmp_path)

    [container] = pod["spec"]["containers"]
    environment = {each["name"]: each.get("value") for each in container["env"]}
    [mount] = [each for each in container["volumeMounts"] if each["name"] == "c2pa"]
    [volume] = [each for each in pod["spec"]["volumes"] if each["name"] == "c2pa"]
    assert volume["secret"] == {"secretName": "signing"}
    assert mount["readOnly"] is True
    assert environment["DARKROOM_C2PA_CERTIFICATE"] == f"{mount['mountPath']}/tls.crt"
    assert environment["DARKROOM_C2PA_KEY"] == f"{mount['mountPath']}/tls.key"
    assert environment["DARKROOM_C2PA_TIMESTAMP_URL"] == "https://tsa.example.com"


def test_pod_has_no_c2pa_settings_without_a_secret(tmp_path: Path) -> None:
    assert "c2pa" not in yaml.safe_dump(_pod({}, tmp_path)).lower()
