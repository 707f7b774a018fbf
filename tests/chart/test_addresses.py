"""Addresses of gateway and storage, as the chart passes them to the gateway, the runner and the user."""

import re
from typing import Any

import pytest
from helm_python import HelmError
from support.chart import Json, plain_environment, render

from darkroom_contract import environment
from darkroom_gateway.http.root_path import OWN_NAMES
from darkroom_gateway.settings import ALLOWED_HOSTS, ROOT_PATH
from darkroom_gateway.settings import Settings as GatewaySettings

HOST = {"enabled": True, "hosts": ["example.com"]}


def gateway_environment(given: Json) -> dict[str, str]:
    return plain_environment(render(given).deployment("gateway")["spec"]["template"])


def ingress(path: str) -> Json:
    return {"gateway": {"ingress": {**HOST, "path": path, "tls": [{"secretName": "tls"}]}}}


@pytest.mark.parametrize(("path", "root"), [("/darkroom", "/darkroom"), ("/studio/darkroom/", "/studio/darkroom")])
def test_ingress_path_is_the_root_path_of_the_gateway(path: str, root: str) -> None:
    rendering = render(ingress(path))
    [rule] = rendering.of_kind("Ingress")[0]["spec"]["rules"]
    assert rule["http"]["paths"][0]["path"] == path
    assert gateway_environment(ingress(path))[ROOT_PATH] == root
    assert GatewaySettings.from_environment({ROOT_PATH: root}).root_path == root
    assert f"export GATEWAY=https://example.com{root}\n" in rendering.notes


@pytest.mark.parametrize("given", [ingress("/"), {"gateway": {"ingress": {"path": "/darkroom"}}}])
def test_root_or_disabled_ingress_sets_no_root_path(given: Json) -> None:
    assert ROOT_PATH not in gateway_environment(given)


def test_probes_omit_the_ingress_path() -> None:
    [container] = render(ingress("/darkroom")).deployment("gateway")["spec"]["template"]["spec"]["containers"]
    assert {container[f"{each}Probe"]["httpGet"]["path"] for each in ("startup", "liveness", "readiness")} == {
        "/healthz",
        "/readyz?tolerate=storage",
    }


@pytest.mark.parametrize("path", [f"/{name}" for name in sorted(OWN_NAMES)] + ["/jobs/x"])
def test_ingress_path_of_a_gateway_route_is_rejected(path: str) -> None:
    with pytest.raises(HelmError, match="is one of the gateway's own paths"):
        render(ingress(path))


@pytest.mark.parametrize("path", ["darkroom", "/a//b", "/a b", "/a?b", "/..", "/darkroom(/|$)(.*)"])
def test_invalid_ingress_path_is_rejected(path: str) -> None:
    with pytest.raises(HelmError, match="/gateway/ingress/path"):
        render(ingress(path))


@pytest.mark.parametrize("name", ["endpointUrl", "publicEndpointUrl"])
@pytest.mark.parametrize(
    "url", ["https://host/s3", "https://host?x", "https://host#x", "https://u:p@host", "host:9000"]
)
def test_storage_url_with_a_path_is_rejected(name: str, url: str) -> None:
    with pytest.raises(HelmError, match=f"/storage/s3/{name}"):
        render({"storage": {"s3": {name: url}}})


@pytest.mark.parametrize("url", ["https://s3.example.com", "https://s3.example.com/", "http://10.0.0.1:9000"])
def test_storage_url_with_its_own_host_is_accepted(url: str) -> None:
    given: Json = {"storage": {"s3": {"endpointUrl": url, "publicEndpointUrl": url}}}
    assert gateway_environment(given)[environment.S3_PUBLIC_ENDPOINT_URL] == url


@pytest.mark.parametrize("style", ["path", "virtual", "auto"])
def test_gateway_and_runner_use_the_same_addressing_style(style: str) -> None:
    rendering = render({"storage": {"s3": {"endpointUrl": "https://s3.example.com", "addressingStyle": style}}})
    runner = rendering.one("Secret", "darkroom-runner")["stringData"]
    gateway = plain_environment(rendering.deployment("gateway")["spec"]["template"])
    assert runner[environment.S3_ADDRESSING_STYLE] == gateway[environment.S3_ADDRESSING_STYLE] == style


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"storage": {"s3": {"bucket": "a.b"}}}, "a dot in the bucket's name (a.b)"),
        ({"storage": {"s3": {"endpointUrl": "http://10.0.0.1:9000"}}}, "http://10.0.0.1:9000 has no host name"),
        ({"storage": {"s3": {"publicEndpointUrl": "http://[::1]"}}}, "http://[::1] has no host name"),
        ({"tryout": {"s3": {"enabled": True}}}, "does not support: use path"),
    ],
)
def test_virtual_addressing_needs_host_names(given: Any, message: str) -> None:
    s3 = {**given.get("storage", {}).get("s3", {}), "addressingStyle": "virtual"}
    with pytest.raises(HelmError, match=re.escape(message)):
        render({**given, "storage": {"s3": s3}})


@pytest.mark.parametrize("component", ["gateway", "operator"])
def test_null_replicas_are_omitted(component: str) -> None:
    assert render({component: {"replicas": 2}}).deployment(component)["spec"]["replicas"] == 2
    assert render({component: {"replicas": 0}}).deployment(component)["spec"]["replicas"] == 0
    assert "replicas" not in render({component: {"replicas": None}}).deployment(component)["spec"]


def test_autoscaling_omits_replicas() -> None:
    autoscaled = render({"gateway": {"autoscaling": {"enabled": True}}})
    assert "replicas" not in autoscaled.deployment("gateway")["spec"]


def test_disruption_budget_exists_with_null_replicas() -> None:
    assert render({"gateway": {"replicas": None}}).has("PodDisruptionBudget", "darkroom-gateway")
    assert not render({"gateway": {"replicas": 1}}).has("PodDisruptionBudget", "darkroom-gateway")


def test_all_host_names_are_accepted_by_default() -> None:
    assert ALLOWED_HOSTS not in gateway_environment({})


def test_allowed_hosts_include_service_ingress_and_route() -> None:
    gateway = {
        "allowedHosts": ["*.studio.example", "example.com"],
        "ingress": HOST,
        "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}], "hostnames": ["route.example"]},
    }
    settings = GatewaySettings.from_environment(gateway_environment({"gateway": gateway}))
    service = "darkroom-gateway"

    assert settings.allowed_hosts == (
        *(service, f"{service}.studio", f"{service}.studio.svc", f"{service}.studio.svc.cluster.local"),
        *("example.com", "route.example", "*.studio.example"),
    )


def test_chart_defaults_equal_the_gateway_s() -> None:
    assert GatewaySettings.from_environment(gateway_environment({})).bounds == GatewaySettings().bounds


@pytest.mark.parametrize("host", ["http://example.com", "example.com:80", "a b", "**.example.com", ""])
def test_invalid_host_name_is_rejected(host: str) -> None:
    with pytest.raises(HelmError, match="/gateway/allowedHosts/0"):
        render({"gateway": {"allowedHosts": [host]}})
