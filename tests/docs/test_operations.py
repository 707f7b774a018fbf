"""What docs/operations tells to type can be typed: values are the chart's, names are the code's."""

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
"""What a page takes for granted when it shows some values only."""


def merged(base: Json, over: Json) -> Json:
    both = {name: merged(base[name], each) if isinstance(base.get(name), dict) else each for name, each in over.items()}
    return {**base, **both}


def snippets(text: str) -> list[Json]:
    """The blocks of values, which begin with `# values`."""
    return [yaml.safe_load(block) for block in fences(text, "yaml") if block.startswith("# values")]


def settings(command: str) -> Json:
    """What a command's files of values in this repository say, and its `--set`s."""
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
    """Whether the chart has such a value; what is inside of a free-form one is anybody's."""
    place: Any = VALUES
    for name in path.split("."):
        if place == {}:
            return True
        if not isinstance(place, dict) or name not in place:
            return False
        place = place[name]
    return True


@pytest.mark.parametrize("page", TEXT)
def test_every_snippet_of_values_is_taken_by_the_chart_and_the_operator(page: str) -> None:
    given = [*snippets(TEXT[page]), *filter(None, map(settings, commands(TEXT[page])))]
    for each in given:
        rendering = render(each if "tryout" in each else merged(NEEDED, each))
        assert check_template(rendering.runner_template(), page)


def test_every_block_of_yaml_is_one_of_values() -> None:
    for page, text in TEXT.items():
        assert len(snippets(text)) == len(list(fences(text, "yaml"))), page
    assert sum(len(snippets(text)) for text in TEXT.values()) >= 8


@pytest.mark.parametrize("page", TEXT)
def test_every_value_that_is_named_is_the_chart_s(page: str) -> None:
    named = [each for each in spans(TEXT[page]) if re.fullmatch(r"[a-z]\w*(\.\w+)+", each)]
    ours = [each for each in named if each.split(".")[0] in VALUES and not each.endswith((".md", ".yaml", ".py"))]
    assert [each for each in ours if not is_value(each)] == []


def test_a_value_that_is_none_is_found() -> None:
    assert is_value("runner.gpu.count")
    assert is_value("runner.nodeSelector.anything")
    assert not is_value("runner.gpus")
    assert not is_value("models.cache.size.more")


def test_the_manifests_are_kubernetes_own() -> None:
    documents = [document for path in OPERATIONS.glob("*.yaml") for document in yaml.safe_load_all(read(path))]
    assert documents
    for document in documents:
        validate(document, NEWEST_KUBERNETES, strict=True)


def test_what_helm_is_told_to_install_is_the_chart_here() -> None:
    told = [line for text in TEXT.values() for line in commands(text) if re.match(r"helm (install|upgrade)\b", line)]
    assert len(told) >= 3
    assert {line.split()[2:4] == ["darkroom", "charts/darkroom"] for line in told} == {True}


def test_every_metric_of_the_code_is_explained_and_no_other() -> None:
    made = {name.removesuffix("_total") for path in METRICS for name in re.findall(METRIC, read(REPOSITORY / path))}
    told = set(re.findall(r"^\| `(darkroom_\w+)", TEXT["monitoring.md"], re.MULTILINE))
    assert len(made) > 10
    assert {name.removesuffix("_total") for name in told} == made


def test_every_alert_of_the_chart_is_explained_and_no_other() -> None:
    rules = read(CHART / "templates" / "monitoring" / "prometheusrule.yaml")
    alerts = set(re.findall(r"- alert: (\w+)", rules))
    assert alerts
    assert set(re.findall(r"^\| `(Darkroom\w+)` \|", TEXT["monitoring.md"], re.MULTILINE)) == alerts
