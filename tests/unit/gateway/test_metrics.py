"""Metrics of the gateway, on a separate port."""

import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from darkroom_gateway import metrics
from darkroom_gateway.app import create_app
from darkroom_gateway.errors import SettingsError
from darkroom_gateway.metrics import Metrics
from darkroom_gateway.settings import Settings
from darkroom_local.processes.ports import free_ports

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(secured: Any) -> Samples:
    response = httpx.get(secured.metrics_url, trust_env=False)
    assert response.status_code == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def count(found: Samples, name: str, **labels: str) -> float:
    return found.get((name, frozenset(labels.items())), 0.0)


def test_requests_are_counted_by_path_template(secured: Any, job_name: str) -> None:
    before = samples(secured)
    for path in (f"/jobs/{job_name}", f"/jobs/{job_name}-2", f"/{job_name}/nowhere"):
        assert secured.http.get(path, headers=secured.key("alice")).status_code == 404
    secured.http.request("PROPFIND", "/docs")
    secured.http.get("/healthz")
    assert secured.http.get(f"/jobs/{job_name}/", headers=secured.key("alice")).status_code == 404
    after = samples(secured)

    def more(name: str, **labels: str) -> float:
        return count(after, name, **labels) - count(before, name, **labels)

    assert more("http_requests_total", method="GET", handler="/jobs/{task_id}", status="4xx") == 2
    assert more("http_request_duration_seconds_count", method="GET", handler="/jobs/{task_id}") == 2
    assert more("http_requests_total", method="GET", handler="none", status="4xx") == 2
    assert more("http_requests_total", method="other", handler="/docs", status="4xx") == 1
    labels = {value for _, pairs in after for _, value in pairs}
    assert not [value for value in labels if job_name in value or value in ("/healthz", "PROPFIND", "alice")]


@pytest.mark.parametrize("with_key", [False, True])
def test_unknown_paths_have_one_series_per_method(secured: Any, job_name: str, with_key: bool) -> None:
    headers = secured.key("alice") if with_key else {}
    methods = ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PROPFIND", "MKCOL")

    def ask(run: str) -> None:
        for method in methods:
            for path in (
                "/jobs/",
                f"/jobs/{run}/",
                f"/{run}",
                f"/{run}/",
                f"/a//{run}",
                f"/Jobs/{run}",
                "/docs/",
                "/a//",
            ):
                for suffix in ("", f"?{run}"):
                    assert secured.http.request(method, path + suffix, headers=headers).status_code in (401, 404)
            for path in ("/jobs", f"/jobs/{run}", "/train"):
                secured.http.request(method, path, headers=headers)

    ask(f"{job_name}-1")
    before = samples(secured)
    ask(f"{job_name}-2")
    after = samples(secured)

    assert after.keys() == before.keys()
    handlers = {dict(labels).get("handler") for _, labels in after} - {None}
    assert not [each for each in handlers if job_name in each or (each != "/" and each.endswith("/"))]
    asked_more = count(after, "http_requests_total", method="other", handler="none", status="4xx") - count(
        before, "http_requests_total", method="other", handler="none", status="4xx"
    )
    assert asked_more == 2 * 8 * 2


def test_submissions_and_refusals_are_counted(secured: Any, job_name: str) -> None:
    before = samples(secured)
    headers = {**secured.key("alice"), "Idempotency-Key": job_name}
    for _ in range(2):
        assert secured.http.post("/generate/sdxl?prompt=a", headers=headers).status_code == 202
    assert secured.http.get("/jobs").status_code == 401
    after = samples(secured)

    assert ("darkroom_submissions_total", frozenset({("kind", "TrainJob")})) in before
    submissions = [count(each, "darkroom_submissions_total", kind="GenerateJob") for each in (before, after)]
    assert submissions[1] - submissions[0] == 1
    assert count(after, "darkroom_refused_keys_total") - count(before, "darkroom_refused_keys_total") == 1


def test_public_port_has_no_metrics(secured: Any, http: httpx.Client) -> None:
    assert secured.http.get("/metrics", headers=secured.key("alice")).status_code == 404
    assert http.get("/metrics").status_code == 404


def test_two_applications_in_a_process_have_separate_metrics(kubeconfig_of_nowhere: Path) -> None:
    settings = Settings(kubeconfig=str(kubeconfig_of_nowhere), metrics_port=9090)
    first, second = (create_app(settings).state.services.metrics for _ in range(2))
    first.count_refused_key()

    values = [each.registry.get_sample_value("darkroom_refused_keys_total") for each in (first, second)]
    assert values == [1.0, 0.0]


def test_idle_metrics_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "IDLE_SECONDS", 0.2)
    [port] = free_ports(1)
    Metrics().serve("127.0.0.1", port)

    with socket.create_connection(("127.0.0.1", port), timeout=20) as silent:
        assert silent.recv(1) == b""
    assert httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).status_code == 200


def test_used_metrics_port_is_named() -> None:
    [port] = free_ports(1)
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(SettingsError, match=f"DARKROOM_GATEWAY_METRICS_PORT is {port}.*already in use.*another port"),
    ):
        Metrics().serve("127.0.0.1", port)
