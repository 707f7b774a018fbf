"""The PromQL queries of the chart's alerts and dashboard."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser
from prometheus_client.parser import text_string_to_metric_families

from support.chart import Json, Rendering

OF_THE_TARGET = {"namespace", "job", "pod", "service", "le"}
"""Labels that Prometheus adds, and the one of every histogram."""
SERIES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}


@dataclass(frozen=True)
class Question:
    """One expression, and whose it is."""

    owner: str
    text: str

    @property
    def tree(self) -> Any:
        """Raises `ValueError` for what is no PromQL. Grafana's own variables are filled in."""
        return promql_parser.parse(self.text.replace("$__rate_interval", "5m"))

    def selectors(self) -> list[Any]:
        found = []

        def visit(node: Any) -> None:
            if isinstance(node, promql_parser.VectorSelector):
                found.append(node)

        promql_parser.walk(self.tree, visit)
        return found

    def metrics(self) -> set[str]:
        return {each.name for each in self.selectors()}

    def labels(self) -> set[str]:
        """Those that are selected or summed by."""
        found = {matcher.name for each in self.selectors() for matcher in each.matchers.matchers}

        def visit(node: Any) -> None:
            if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
                found.update(node.modifier.labels)

        promql_parser.walk(self.tree, visit)
        return found


def alerts(rendering: Rendering) -> list[Json]:
    [rule] = rendering.of_kind("PrometheusRule")
    return [alert for group in rule["spec"]["groups"] for alert in group["rules"]]


def dashboard(rendering: Rendering) -> Json:
    [found] = [each for each in rendering.of_kind("ConfigMap") if each["metadata"]["name"].endswith("-dashboard")]
    [text] = found["data"].values()
    parsed: Json = json.loads(text)
    return parsed


def questions(rendering: Rendering) -> Iterator[Question]:
    """All queries, also those that descriptions of alerts recommend."""
    for alert in alerts(rendering):
        yield Question(alert["alert"], alert["expr"])
        for query in re.findall(r"`(sum[^`]+)`", alert.get("annotations", {}).get("description", "")):
            yield Question(f"{alert['alert']}, description", query)
    for panel in dashboard(rendering)["panels"]:
        for target in panel.get("targets", []):
            yield Question(panel["title"], target["expr"])


def exposed(*texts: str) -> dict[str, set[str]]:
    """The series of programs' /metrics by name, with the labels that were seen on them."""
    found: dict[str, set[str]] = {}
    for text in texts:
        for family in text_string_to_metric_families(text):
            for suffix in SERIES.get(family.type, ("",)):
                found.setdefault(family.name + suffix, set())
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    return found
