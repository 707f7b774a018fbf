"""Alerts and dashboard are valid and complete. test_lifecycle.py shows that their metrics exist in running programs."""

import re
from pathlib import Path

import pytest
from support.chart import NAMESPACE, render, rendered
from support.promql import Question, alerts, dashboard, questions

QUESTIONS = list(questions(rendered("typical")))
METRICS = {
    "darkroom_jobs",
    "darkroom_queue_length",
    "darkroom_queue_oldest_wait_seconds",
    "darkroom_runs_total",
    "darkroom_run_duration_seconds_bucket",
    "darkroom_progress_age_seconds",
    "darkroom_leader",
    "darkroom_slot_busy",
    "darkroom_quota_refusals_total",
    "darkroom_api_requests_total",
    "darkroom_events_total",
    "darkroom_reconcile_duration_seconds_bucket",
    "http_requests_total",
    "http_request_duration_seconds_bucket",
    "darkroom_submissions_total",
    "darkroom_refused_keys_total",
    "darkroom_limited_requests_total",
    "darkroom_webhook_attempts_total",
    "darkroom_webhooks_pending",
    "darkroom_run_starts_total",
    "darkroom_slot_idle_runner",
}
DOCUMENTED = Path(__file__).parents[2] / "docs/operations/monitoring.md"


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.owner)
def test_every_expression_is_valid_promql_and_selects_this_installation(question: Question) -> None:
    assert question.selectors()
    for selector in question.selectors():
        matchers = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
        assert matchers["namespace"] in (NAMESPACE, "$namespace")
        # Their names are generic: only the job label makes them ours.
        assert "job" in matchers or not selector.name.startswith("http_")


def test_invalid_promql_is_detected() -> None:
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        Question("x", "sum by (rate(").selectors()


def test_dashboard_shows_every_metric() -> None:
    shown = {Question("", target["expr"]) for panel in _panels() for target in panel.get("targets", [])}
    assert {name for question in shown for name in question.metrics()} == METRICS


def test_dashboard_shows_every_documented_metric() -> None:
    documented = set(re.findall(r"^\| `((?:darkroom|http)_[a-z_]+)", DOCUMENTED.read_text(), re.MULTILINE))

    assert {name.removesuffix("_bucket") for name in METRICS} == documented


def _panels() -> list[dict[str, object]]:
    found: list[dict[str, object]] = dashboard(rendered("typical"))["panels"]
    return found


def test_panels_have_titles_and_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard(rendered("typical"))["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + right, place["y"] + down) for right in range(place["w"]) for down in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert max(right for right, _ in cells) < 24
        taken |= cells
        assert panel["title"]
    ids = [panel["id"] for panel in dashboard(rendered("typical"))["panels"]]
    assert len(ids) == len(set(ids))


def test_grafana_finds_the_dashboard_by_its_label() -> None:
    found = rendered("typical").one("ConfigMap", "darkroom-dashboard")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    names = {variable["name"] for variable in dashboard(rendered("typical"))["templating"]["list"]}
    assert names == {"datasource", "namespace"}


def test_alerts_have_severity_summary_and_description() -> None:
    found = alerts(rendered("typical"))
    assert {alert["alert"] for alert in found} == {
        "DarkroomNoLeader",
        "DarkroomQueueStuck",
        "DarkroomQueueSlow",
        "DarkroomRunsFail",
        "DarkroomNoProgress",
        "DarkroomGatewayErrors",
        "DarkroomKeysRefused",
        "DarkroomWebhooksFail",
        "DarkroomWebhooksGivenUp",
    }
    for alert in found:
        assert alert["labels"]["severity"] in ("warning", "critical")
        assert NAMESPACE in alert["annotations"]["summary"]
        assert alert["annotations"]["description"].endswith(".")


def test_thresholds_are_values() -> None:
    given = {"enabled": True, "queueStuckFor": "1h", "noProgressSeconds": 7, "failureRatio": 0.9}
    given["webhookFailureRatio"] = 0.7
    found = {alert["alert"]: alert for alert in alerts(render({"metrics": {"prometheusRule": given}}))}
    assert found["DarkroomQueueStuck"]["for"] == "1h"
    assert found["DarkroomNoProgress"]["expr"].endswith("> 7")
    assert "> 0.9" in found["DarkroomRunsFail"]["expr"]
    assert "> 0.7" in found["DarkroomWebhooksFail"]["expr"]


def test_extra_rules_are_added() -> None:
    assert alerts(rendered("everything"))[-1]["alert"] == "AnyRun"


@pytest.mark.parametrize("component", ["operator", "gateway"])
def test_service_monitor_selects_its_service(component: str) -> None:
    monitor = rendered("typical").one("ServiceMonitor", f"darkroom-{component}")
    selector = monitor["spec"]["selector"]["matchLabels"]
    services = rendered("typical").of_kind("Service")
    [service] = [each for each in services if selector.items() <= each["metadata"]["labels"].items()]
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": [NAMESPACE]}
    assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert monitor["metadata"]["labels"]["release"] == "kube-prometheus-stack"


def test_public_service_does_not_expose_metrics() -> None:
    [port] = rendered("typical").one("Service", "darkroom-gateway")["spec"]["ports"]
    assert port["targetPort"] == "http"
