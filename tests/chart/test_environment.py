"""The chart sets only environment variables that the code reads, and can set all of them."""

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support.chart import CASES, Json, only_container, plain_environment, render, rendered

from darkroom_contract import environment
from darkroom_contract.storage.datasets import read_allowed_uris
from darkroom_gateway.limits.quotas import Quota
from darkroom_gateway.settings import BusyPolicy
from darkroom_gateway.settings import Settings as GatewaySettings
from darkroom_operator.settings import Settings as OperatorSettings
from darkroom_runner.settings import Settings as RunnerSettings

S3_LOGIN = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
"""Read by boto3."""
HUB = {"HF_TOKEN", "HF_HOME", "HF_ENDPOINT", "HF_HUB_OFFLINE"}
"""Read by huggingface_hub."""
TRACING = {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}
"""Read by darkroom_contract/tracing and by OpenTelemetry's SDK."""
SET_BY_THE_OPERATOR = {
    *(environment.RUN, environment.SCRATCH_DIR, environment.WARM_SECONDS, environment.MAX_RUNS),
    *(environment.OUTCOME_KEY, environment.HANDOVER_DIR),
}
IN_EVERYTHING = {"NO_PROXY", "OMP_NUM_THREADS", "HTTPS_PROXY"}
"""Set by the test's values."""
OUTSIDE_OF_A_CLUSTER = {"KUBECONFIG"}


def _whole(pod: Json) -> dict[str, str]:
    """All variables; those with a `valueFrom` have the source as value."""
    return {
        each["name"]: each.get("value", f"from {each.get('valueFrom')}") for each in only_container(pod).get("env", [])
    }


def _of(component: str) -> set[str]:
    names = {name for case in CASES for name in _whole(rendered(case).deployment(component)["spec"]["template"])}
    opened = render({"gateway": {"apiKeys": {"open": True}}, "redis": {"url": "redis://redis:6379/0"}})
    return names | _whole(opened.deployment(component)["spec"]["template"]).keys()


@pytest.fixture
def environment_of(tmp_path: Path) -> Callable[[str, str], dict[str, str]]:
    """The variables of a component in a case, with the runner template and the quotas in local files."""

    def variables(case: str, component: str) -> dict[str, str]:
        given = _whole(_pod(case, component))
        if "DARKROOM_RUNNER_TEMPLATE" in given:
            assert given["DARKROOM_RUNNER_TEMPLATE"] == "/etc/darkroom/runner-template.yaml"
            file = tmp_path / f"{case}.yaml"
            file.write_text(yaml.safe_dump(rendered(case).runner_template()), encoding="utf-8")
            given["DARKROOM_RUNNER_TEMPLATE"] = str(file)
        if "DARKROOM_GATEWAY_QUOTAS" in given:
            assert given["DARKROOM_GATEWAY_QUOTAS"] == "/etc/darkroom/quotas/quotas.yaml"
            file = tmp_path / f"{case}-quotas.yaml"
            file.write_text(rendered(case).one("ConfigMap", "darkroom-quotas")["data"]["quotas.yaml"], encoding="utf-8")
            given["DARKROOM_GATEWAY_QUOTAS"] = str(file)
        return given

    return variables


def test_the_operators() -> None:
    read = OperatorSettings.variables().keys()
    assert _of("operator") - IN_EVERYTHING - TRACING == read - OUTSIDE_OF_A_CLUSTER


def test_gateway_variables() -> None:
    read = GatewaySettings.variables().keys()
    assert _of("gateway") - IN_EVERYTHING - S3_LOGIN - TRACING == read - OUTSIDE_OF_A_CLUSTER


def test_runner_variables() -> None:
    read = RunnerSettings.variables().keys()
    names: set[str] = set()
    for case in CASES:
        names |= _runner_secret(case).keys()
        names |= {each["name"] for each in rendered(case).runner_template()["spec"]["containers"][0].get("env", [])}
    assert names - IN_EVERYTHING - S3_LOGIN - HUB - TRACING == read - SET_BY_THE_OPERATOR
    assert names >= HUB | S3_LOGIN | TRACING


def _runner_secret(case: str) -> dict[str, str]:
    secret = rendered(case).one("Secret", "darkroom-runner")
    encoded = {key: base64.b64decode(value).decode() for key, value in secret.get("data", {}).items()}
    return encoded | secret.get("stringData", {})


@pytest.mark.parametrize("case", CASES)
def test_operator_and_gateway_accept_their_environment(
    case: str, environment_of: Callable[[str, str], dict[str, str]]
) -> None:
    """Neither raises; the operator has also read its runner template."""
    gateway = GatewaySettings.from_environment(environment_of(case, "gateway"))
    operator = OperatorSettings.from_environment(environment_of(case, "operator"))
    assert gateway.namespace == operator.namespace == "studio"
    assert operator.runner_template == rendered(case).runner_template()


def test_values_become_settings(environment_of: Callable[[str, str], dict[str, str]]) -> None:
    gateway = GatewaySettings.from_environment(environment_of("everything", "gateway"))
    assert gateway.busy_policy is BusyPolicy.REJECT
    assert (gateway.host, gateway.port, gateway.metrics_port) == ("::", 8000, 9090)
    assert (gateway.link_seconds, gateway.max_upload_bytes) == (604800, 104857600)
    assert (gateway.max_uploads, gateway.decoders, gateway.photo_seconds) == (30, 3, 60)
    assert gateway.photo_memory_bytes == 512 * 1024**2
    assert (gateway.requests_per_minute, gateway.max_queued) == (600, 200)
    assert gateway.quotas.of("alice") == Quota(unfinished=20, waiting=5)
    assert gateway.quotas.of("bob") == Quota(unfinished=20, per_day=200)
    assert gateway.cors_origins == ("https://studio.example.com", "http://localhost:5173")
    assert gateway.s3_public_endpoint_url == "https://s3.example.com"
    assert (gateway.bounds.max_connections, gateway.bounds.keep_alive_seconds) == (100, 610)
    operator = OperatorSettings.from_environment(environment_of("everything", "operator"))
    assert (operator.slots, operator.lease_seconds, operator.retry_base_seconds) == (20, 10, 0.5)
    assert (operator.warm_seconds, operator.max_runs) == (7.5, 12)
    assert (operator.gpu_resource, operator.gpu_count) == ("nvidia.com/mig-3g.40gb", 2)
    assert operator.runner_image == "registry.example.com:5000/darkroom/runner:0.1.0-cu128"
    assert (operator.default_base_model, operator.default_video_base_model) == ("sdxl", "svd@2026-11")
    assert operator.model_root == gateway.model_root == Path("/cache/base")
    assert operator.termination_grace_seconds == 300


def test_runners_are_warm_by_default_as_in_the_code(environment_of: Callable[[str, str], dict[str, str]]) -> None:
    installed = OperatorSettings.from_environment(environment_of("default", "operator"))
    alone = OperatorSettings(runner_image="x")
    assert (installed.warm_seconds, installed.max_runs) == (alone.warm_seconds, alone.max_runs)


@pytest.mark.parametrize(("seconds", "runs"), [(0, 1), (0.5, 100), (2_592_000, 1_000_000)])
def test_numbers_of_warm_runners_accepted_by_the_chart_are_accepted_by_the_code(seconds: float, runs: int) -> None:
    """Helm writes large numbers as 1e+06."""
    values = {"operator": {"warmSeconds": seconds, "maxRuns": runs}}
    given = _whole(render(values).deployment("operator")["spec"]["template"])
    operator = OperatorSettings.from_environment(given | {"DARKROOM_RUNNER_TEMPLATE": ""})
    assert (operator.warm_seconds, operator.max_runs) == (seconds, runs)


def _pod(case: str, component: str) -> Json:
    found: Json = rendered(case).deployment(component)["spec"]["template"]
    return found


def test_container_ports_match_the_settings() -> None:
    for component, names in (
        ("gateway", {"http": "DARKROOM_GATEWAY_PORT", "metrics": "DARKROOM_GATEWAY_METRICS_PORT"}),
        ("operator", {"metrics": "DARKROOM_HEALTH_PORT"}),
    ):
        pod = _pod("default", component)
        ports = {port["name"]: str(port["containerPort"]) for port in only_container(pod)["ports"]}
        assert ports == {port: plain_environment(pod)[variable] for port, variable in names.items()}


def test_leader_identity_is_the_pod_name() -> None:
    [identity] = [
        each
        for each in only_container(_pod("default", "operator"))["env"]
        if each["name"] == "DARKROOM_OPERATOR_IDENTITY"
    ]
    assert identity["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}


def test_secret_values_come_only_from_the_user_s_secrets() -> None:
    """Other entries of such a Secret do not reach a process."""
    gateway = _pod("typical", "gateway")
    assert "envFrom" not in only_container(gateway)
    sources = {
        each["name"]: each["valueFrom"]["secretKeyRef"]
        for each in only_container(gateway)["env"]
        if "secretKeyRef" in each.get("valueFrom", {})
    }
    assert sources == {
        "AWS_ACCESS_KEY_ID": {"name": "darkroom-s3", "key": "AWS_ACCESS_KEY_ID"},
        "AWS_SECRET_ACCESS_KEY": {"name": "darkroom-s3", "key": "AWS_SECRET_ACCESS_KEY"},
        "DARKROOM_REDIS_URL": {"name": "darkroom-redis", "key": "DARKROOM_REDIS_URL"},
    }
    runner = rendered("typical").runner_template()["spec"]["containers"][0]["env"]
    assert {"AWS_SECRET_ACCESS_KEY", "DARKROOM_REDIS_URL", "HF_TOKEN"} <= {each["name"] for each in runner}
    assert environment.REDIS_URL not in _runner_secret("typical")


S3 = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@pytest.mark.parametrize(
    ("given", "gateway", "runner"),
    [
        ({"existingSecret": "both"}, "both", "both"),
        ({"gatewaySecret": "its-own", "runnerSecret": "another"}, "its-own", "another"),
        ({"existingSecret": "both", "runnerSecret": "another"}, "both", "another"),
        ({"gatewaySecret": "its-own"}, "its-own", None),
        ({}, None, None),
    ],
)
def test_gateway_and_runner_use_their_own_secrets(given: Json, gateway: str | None, runner: str | None) -> None:
    found = render({"storage": {"s3": given}})
    containers = {
        "gateway": only_container(found.deployment("gateway")["spec"]["template"]),
        "runner": found.runner_template()["spec"]["containers"][0],
    }
    for component, secret in (("gateway", gateway), ("runner", runner)):
        named = {each["name"]: each for each in containers[component].get("env", []) if each["name"] in S3}
        sources = {name: each["valueFrom"]["secretKeyRef"] for name, each in named.items()}
        assert sources == ({} if secret is None else {name: {"name": secret, "key": name} for name in S3}), component
    operator = only_container(found.deployment("operator")["spec"]["template"])
    assert not {each["name"] for each in operator["env"]} & set(S3)


@pytest.mark.parametrize("component", ["gateway", "operator"])
def test_model_root_is_mounted_read_only(component: str) -> None:
    pod = _pod("everything", component)
    [mount] = [each for each in only_container(pod)["volumeMounts"] if each["name"] == "models"]
    [volume] = [each for each in pod["spec"]["volumes"] if each["name"] == "models"]
    assert mount == {"name": "models", "mountPath": "/cache", "readOnly": True}
    assert volume["persistentVolumeClaim"] == {"claimName": "darkroom-models", "readOnly": True}
    assert _runner_secret("everything")[environment.MODEL_ROOT] == plain_environment(pod)[environment.MODEL_ROOT]
    assert environment.MODEL_ROOT not in plain_environment(_pod("default", component))


def test_operator_and_runner_allow_the_same_datasets(environment_of: Callable[[str, str], dict[str, str]]) -> None:
    """The operator checks early and the runner enforces, by the same rule."""
    operator = OperatorSettings.from_environment(environment_of("everything", "operator"))
    secret = _runner_secret("everything")
    runner = RunnerSettings.from_environment({environment.RUN: "{}", **secret})
    assert operator.dataset_policy == runner.dataset_policy
    assert runner.dataset_policy.folders("studio") == (
        "s3://studio/datasets/studio/",
        "s3://photos/",
        "s3://studio/datasets/shared/",
    )
    assert environment.DATASET_URIS not in _runner_secret("default")


def test_all_components_use_the_trial_backends() -> None:
    gateway, runner = plain_environment(_pod("tryout", "gateway")), _runner_secret("tryout")
    for name in (environment.S3_ENDPOINT_URL, environment.S3_BUCKET, environment.REDIS_URL):
        assert gateway[name] == runner[name]
    assert runner[environment.S3_ENDPOINT_URL] == "http://darkroom-s3.studio.svc:8333"
    assert rendered("tryout").one("Service", "darkroom-s3")["spec"]["ports"][0]["port"] == 8333
    assert runner[environment.REDIS_URL] == "redis://darkroom-valkey.studio.svc:6379/0"


@pytest.mark.parametrize("uri", ["s3://photos/", "s3://my.photos-1/a/", "s3://photos/a/_b=1/-c.d/"])
def test_dataset_folder_accepted_by_the_chart_is_accepted_by_the_code(uri: str) -> None:
    operator = render({"datasets": {"allowedUris": [uri]}}).deployment("operator")["spec"]["template"]
    assert plain_environment(operator)[environment.DATASET_URIS] == uri
    assert read_allowed_uris(uri) == (uri,)
