"""Reachability under the chart's NetworkPolicies."""

from typing import Any

from support.chart import Json, render, rendered, values
from support.network_policy import Host, Pod, lets_in, lets_out

ANYBODY, SCRAPER = Host("198.51.100.7"), Pod({"app": "prometheus"}, "monitoring")
METADATA_SERVICES = (Host("169.254.169.254"), Host("169.254.170.2"), Host("fd00:ec2::254"))


def policy(component: str, given: Json | None = None) -> Json:
    found = rendered("default") if given is None else render(given)
    return found.one("NetworkPolicy", f"darkroom-{component}")


def test_gateway_is_open_and_its_metrics_only_to_the_cluster() -> None:
    assert lets_in(policy("gateway"), ANYBODY, "http")
    assert lets_in(policy("gateway"), SCRAPER, "metrics")
    assert not lets_in(policy("gateway"), ANYBODY, "metrics")


def test_gateway_clients_can_be_restricted() -> None:
    narrow = policy("gateway", values("typical"))
    assert lets_in(narrow, Pod(namespace="ingress-nginx"), "http")
    assert not lets_in(narrow, Pod(namespace="elsewhere"), "http")


def test_only_the_operator_s_metrics_are_reachable() -> None:
    assert lets_in(policy("operator"), SCRAPER, "metrics")
    assert not lets_in(policy("operator"), ANYBODY, "metrics")
    assert not lets_in(policy("operator"), SCRAPER, 22)


def test_runner_pods_have_no_ingress() -> None:
    for port in (22, 80, 8000, "metrics"):
        assert not lets_in(policy("runner"), Pod(namespace="studio"), port)


def test_run_reaches_dns_and_the_hub() -> None:
    assert lets_out(policy("runner"), Pod({"k8s-app": "kube-dns"}, "kube-system"), 53, "UDP")
    assert lets_out(policy("runner"), ANYBODY, 443)
    assert not lets_out(policy("runner"), ANYBODY, 80)
    assert not lets_out(policy("runner"), Pod(namespace="studio"), 8000)


def test_run_cannot_reach_cloud_metadata_services() -> None:
    """Not even if storage uses the same port."""
    for given in ({}, {"storage": {"s3": {"endpointUrl": "http://minio.storage.svc"}}}):
        run = policy("runner", given)
        assert [
            service for service in METADATA_SERVICES if lets_out(run, service, 80) or lets_out(run, service, 443)
        ] == []


def test_run_reaches_configured_storage_redis_and_hub() -> None:
    given: dict[str, Any] = {
        "storage": {"s3": {"endpointUrl": "http://minio.storage.svc:9000/"}},
        "redis": {"url": "rediss://redis.cache.svc/0"},
        "hub": {"endpoint": "http://mirror.hub.svc:8081"},
    }
    for port in (9000, 6379, 8081):
        assert lets_out(policy("runner", given), Pod(namespace="storage"), port)
        assert lets_out(policy("runner", given), ANYBODY, port)
        assert not lets_out(policy("runner"), Pod(namespace="storage"), port)


def test_redis_url_in_a_secret_uses_the_default_or_a_given_port() -> None:
    given: Json = {"redis": {"existingSecret": "redis"}}
    assert lets_out(policy("runner", given), Pod(namespace="cache"), 6379)
    assert lets_out(policy("runner", given | {"networkPolicy": {"runner": {"ports": [6380]}}}), Pod(), 6380)


def test_every_component_reaches_the_collector_of_traces() -> None:
    restricted: Json = {"networkPolicy": {"controlPlaneEgress": {"enabled": True}}}
    traced = restricted | {"tracing": {"endpoint": "http://otel-collector.monitoring:4318"}}
    for component in ("gateway", "operator", "runner"):
        assert lets_out(policy(component, traced), Pod(namespace="monitoring"), 4318)
        assert not lets_out(policy(component, restricted), Pod(namespace="monitoring"), 4318)


def test_offline_run_does_not_reach_the_hub() -> None:
    given = {"hub": {"offline": True}, "storage": {"s3": {"endpointUrl": "http://minio.storage.svc:9000"}}}
    assert not lets_out(policy("runner", given), ANYBODY, 443)


def test_extra_egress_rules_are_added() -> None:
    everything = policy("runner", values("everything"))
    assert lets_out(everything, Host("169.254.170.23"), 80)
    assert lets_out(everything, Pod(), 3128)
    assert not lets_out(everything, ANYBODY, 443)


def test_egress_of_gateway_and_operator_is_restricted_only_on_request() -> None:
    assert lets_out(policy("gateway"), ANYBODY, 6443)
    fenced: Json = {
        "networkPolicy": {"controlPlaneEgress": {"enabled": True}},
        "redis": {"url": "redis://redis.cache.svc"},
        "storage": {"s3": {"endpointUrl": "http://minio.storage.svc:9000"}},
    }
    for component, ports in (("gateway", {53, 443, 6443, 9000, 6379}), ("operator", {53, 443, 6443, 6379})):
        fence = policy(component, fenced)
        assert {port for port in (22, 53, 80, 443, 5432, 6379, 6443, 9000) if lets_out(fence, Pod(), port)} == ports


def test_trial_backends_accept_only_darkroom_s_components() -> None:
    part = Pod(rendered("tryout").deployment("gateway")["spec"]["template"]["metadata"]["labels"], "studio")
    run = Pod({"app.kubernetes.io/component": "runner", "app.kubernetes.io/part-of": "darkroom"}, "studio")
    for component, port in (("s3", 8333), ("valkey", 6379)):
        fence = rendered("tryout").one("NetworkPolicy", f"darkroom-{component}")
        assert lets_in(fence, part, port)
        assert lets_in(fence, run, port)
        assert not lets_in(fence, Pod(run.labels, "elsewhere"), port)
        assert not lets_in(fence, Pod({}, "studio"), port)
    assert not lets_in(rendered("tryout").one("NetworkPolicy", "darkroom-s3"), part, 8888)


def test_network_policies_can_be_disabled() -> None:
    assert render({"networkPolicy": {"enabled": False}}).of_kind("NetworkPolicy") == []
