"""docs/operations matches the chart and the code: values, commands, metrics and alerts exist."""

import re
from typing import Any

import pytest
import yaml
from kubernetes_validate import validate
from support.chart import CHART, render
from support.markdown import OPERATIONS, REPOSITORY, commands, fences, read, spans

from darkroom_operator.pods.template import check_template

Json = dict[str, Any]

PAGES = sorted(OPERATIONS.glob("*.md"))
TEXT = {page.name: read(page) for page in PAGES}
VALUES: Json = yaml.safe_load(read(CHART / "values.yaml"))
METRICS = (
    "gateway/darkroom_gateway/metrics.py",
    "operator/darkroom_operator/telemetry/metrics.py",
    "operator/darkroom_operator/telemetry/gauges.py",
)
METRIC = r'(?:Counter|Histogram|Gauge|GaugeMetricFamily)\(\s*"(\w+)"'
NEWEST_KUBERNETES = "1.37"
NEEDED = {
    "storage": {"s3": {"bucket": "photos", "endpointUrl": "https://s3.example.com", "existingSecret": "darkroom-s3"}}
}
"""Required values that a snippet on a page omits."""


def merged(base: Json, over: Json) -> Json:
    both = {name: merged(base[name], each) if isinstance(base.get(name), dict) else each for name, each in over.items()}
    return {**base, **both}


def snippets(text: str) -> list[Json]:
    """The blocks of values, which start with `# values`."""
    return [yaml.safe_load(block) for block in fences(text, "yaml") if block.startswith("# values")]


def settings(command: str) -> Json:
    """The values of a command: its files in this repository, and its `--set`s."""
    given: Json = {}
    for path in re.findall(r"--values (charts/\S+)", command):
        given = merged(given, yaml.safe_load(read(REPOSITORY / path)))
    for path, text in re.findall(r"--set ([\w.]+)=(\S+)", command):
        value = yaml.safe_load(text)
        for name in reversed(path.split(".")):
            value = {name: value}
        given = merged(given, value)
    return given


def is_value(path: str) -> bool:
    """Whether the chart has such a value; anything is allowed inside a free-form one."""
    place: Any = VALUES
    for name in path.split("."):
        if place == {}:
            return True
        if not isinstance(place, dict) or name not in place:
            return False
        place = place[name]
    return True


@pytest.mark.parametrize("page", TEXT)
def test_chart_and_operator_accept_every_snippet_of_values(page: str) -> None:
    given = [*snippets(TEXT[page]), *filter(None, map(settings, commands(TEXT[page])))]
    for each in given:
        rendering = render(each if "tryout" in each else merged(NEEDED, each))
        assert check_template(rendering.runner_template(), page)


def test_every_yaml_block_is_a_snippet_of_values() -> None:
    for page, text in TEXT.items():
        assert len(snippets(text)) == len(list(fences(text, "yaml"))), page
    assert sum(len(snippets(text)) for text in TEXT.values()) >= 8


@pytest.mark.parametrize("page", TEXT)
def test_every_named_value_exists_in_the_chart(page: str) -> None:
    named = [each for each in spans(TEXT[page]) if re.fullmatch(r"[a-z]\w*(\.\w+)+", each)]
    ours = [each for each in named if each.split(".")[0] in VALUES and not each.endswith((".md", ".yaml", ".py"))]
    assert [each for each in ours if not is_value(each)] == []


def test_unknown_value_is_detected() -> None:
    assert is_value("runner.gpu.count")
    assert is_value("runner.nodeSelector.anything")
    assert not is_value("runner.gpus")
    assert not is_value("models.cache.size.more")


def test_manifests_are_valid_kubernetes_objects() -> None:
    documents = [document for path in OPERATIONS.glob("*.yaml") for document in yaml.safe_load_all(read(path))]
    assert documents
    for document in documents:
        validate(document, NEWEST_KUBERNETES, strict=True)


def test_helm_commands_install_the_chart_of_this_repository() -> None:
    helm = [line for text in TEXT.values() for line in commands(text) if re.match(r"helm (install|upgrade)\b", line)]
    assert len(helm) >= 3
    assert {line.split()[2:4] == ["darkroom", "charts/darkroom"] for line in helm} == {True}


def test_metrics_are_documented_and_no_others() -> None:
    defined = {name.removesuffix("_total") for path in METRICS for name in re.findall(METRIC, read(REPOSITORY / path))}
    documented = set(re.findall(r"^\| `(darkroom_\w+)", TEXT["monitoring.md"], re.MULTILINE))
    assert len(defined) > 10
    assert {name.removesuffix("_total") for name in documented} == defined


def test_alerts_are_documented_and_no_others() -> None:
    rules = read(CHART / "templates" / "monitoring" / "prometheusrule.yaml")
    alerts = set(re.findall(r"- alert: (\w+)", rules))
    assert alerts
    assert set(re.findall(r"^\| `(Darkroom\w+)` \|", TEXT["monitoring.md"], re.MULTILINE)) == alerts
