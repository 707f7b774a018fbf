"""values.yaml is a complete, commented reference. Unknown and wrong values are rejected with a helpful message."""

import functools
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python import Chart, HelmError
from support.chart import CHART, Json, chart, render

FREE = {"global"}
"""Values of Helm itself."""
KUBERNETES = {"claims", "request", "backendRequest"}
"""Kubernetes' own fields, which the reference does not repeat."""

ON = {"enabled": True}
WRONG: list[tuple[str, Json, str]] = [
    ("a typo", {"operator": {"replica": 2}}, "at '/operator': additional properties 'replica' not allowed"),
    ("a typo at the top", {"gatway": {}}, "additional properties 'gatway' not allowed"),
    ("a typo deep inside", {"models": {"cache": {"storageclass": "x"}}}, "additional properties 'storageclass' not"),
    ("a field of a resource", {"gateway": {"resources": {"request": {}}}}, "additional properties 'request' not"),
    ("an unknown enum value", {"gateway": {"busyPolicy": "reject"}}, "must be one of 'Queue', 'Reject'"),
    ("a string for a number", {"operator": {"slots": "1"}}, "at '/operator/slots': got string, want integer"),
    ("a number for a string", {"runner": {"labels": {"a": 1}}}, "at '/runner/labels/a': got number, want string"),
    ("a string for a switch", {"quota": {"enabled": "no"}}, "at '/quota/enabled': got string, want boolean"),
    ("less than one", {"operator": {"slots": 0}}, "at '/operator/slots': minimum: got 0, want 1"),
    (
        "a warm time below zero",
        {"operator": {"warmSeconds": -1}},
        "at '/operator/warmSeconds': minimum: got -1, want 0",
    ),
    ("no runs", {"operator": {"maxRuns": 0}}, "at '/operator/maxRuns': minimum: got 0, want 1"),
    ("no retention", {"gateway": {"datasetRetentionHours": 0}}, "datasetRetentionHours"),
    ("more than a week", {"gateway": {"linkSeconds": 604801}}, "maximum: got 604,801, want 604,800"),
    (
        "a URL without a scheme",
        {"storage": {"s3": {"endpointUrl": "minio:9000"}}},
        "'minio:9000' does not",
    ),
    ("an invalid quantity", {"models": {"cache": {"size": "40 GB"}}}, "'40 GB' does not match pattern"),
    ("a tag in the repository", {"image": {"runner": {"digest": "latest"}}}, "'latest' does not match pattern"),
    ("an invalid Secret name", {"hub": {"existingSecret": "hf_AbCd"}}, "at '/hub/existingSecret'"),
    ("a pull secret as a string", {"imagePullSecrets": ["registry"]}, "got string, want object"),
    ("a password", {"redis": {"url": "redis://:secret@redis:6379"}}, "put the URL into a Secret"),
    (
        "too little memory for the decoders",
        {"gateway": {"photos": {"decoders": 4}}},
        "gateway.resources.limits.memory is 2560 Mi: 4 decoders of 1024 MiB (gateway.photos) and the gateway itself",
    ),
    (
        "too little space for the uploads",
        {"gateway": {"maxUploads": 9}},
        "gateway.tmpSize is 4096 Mi: 9 uploads (gateway.maxUploads) of 501 MiB (gateway.maxUploadBytes) need 4509Mi",
    ),
    (
        "quotas of keys without keys",
        {"gateway": {"apiKeys": {"open": True}, "quotas": {"default": {"waiting": 3}}}},
        "gateway.quotas limits API keys, but gateway.apiKeys.open disables them",
    ),
    (
        "every origin without keys",
        {"gateway": {"apiKeys": {"open": True}, "corsOrigins": ["*"]}},
        "gateway.corsOrigins is *, but gateway.apiKeys.open disables authentication",
    ),
    (
        "variables of traces without a collector",
        {"tracing": {"variables": {"OTEL_TRACES_SAMPLER": "always_on"}}},
        "tracing.variables has no effect without tracing.endpoint",
    ),
    (
        "allowed hosts without ingress hosts",
        {"gateway": {"allowedHosts": ["a.example"], "ingress": {"enabled": True, "hosts": None}}},
        "gateway.ingress.enabled needs gateway.ingress.hosts",
    ),
    ("two Redis URLs", {"redis": {"url": "redis://a", "existingSecret": "b"}}, "set one of the two"),
    (
        "a Valkey and a Redis",
        {"tryout": {"valkey": {"enabled": True}}, "redis": {"url": "redis://a"}},
        "one of the two",
    ),
    (
        "two storages",
        {"tryout": {"s3": {"enabled": True}}, "storage": {"s3": {"existingSecret": "b"}}},
        "one of the two",
    ),
    (
        "a dataset without a trailing slash",
        {"datasets": {"allowedUris": ["s3://photos"]}},
        "'s3://photos' does not match",
    ),
    ("an invalid dataset folder", {"datasets": {"allowedUris": ["s3://photos/_x/"]}}, "does not match pattern"),
    ("a dataset path with ..", {"datasets": {"allowedUris": ["s3://photos/../x/"]}}, "does not match pattern"),
    (
        "trial storage and a Secret",
        {"tryout": {"s3": {"enabled": True}}, "storage": {"s3": {"runnerSecret": "b"}}},
        "one of the two",
    ),
    ("a base model path with ..", {"models": {"baseModel": "owner/name@../x"}}, "does not match pattern"),
    (
        "a check without a cache",
        {"models": {"checkAtSubmission": True, "cache": {"enabled": False}}},
        "set models.cache.enabled",
    ),
    (
        "a model root outside the cache",
        {"models": {"checkAtSubmission": True, "root": "/modelsbase"}},
        "needs models.root to be inside models.cache.mountPath",
    ),
    (
        "a cache for one pod",
        {"models": {"checkAtSubmission": True, "cache": {"accessModes": ["ReadWriteOncePod"]}}},
        "allows only one pod",
    ),
    ("open with API keys", {"gateway": {"apiKeys": {"open": True, "existingSecret": "b"}}}, "set one of the two"),
    ("a quota without a class", {"quota": {"enabled": True}}, "set runner.priorityClass.create"),
    ("an ingress without hosts", {"gateway": {"ingress": {"enabled": True}}}, "needs gateway.ingress.hosts"),
    ("a route without parents", {"gateway": {"httpRoute": {"enabled": True}}}, "needs gateway.httpRoute.parentRefs"),
    (
        "minReplicas above maxReplicas",
        {"gateway": {"autoscaling": {"enabled": True, "minReplicas": 9}}},
        "is greater than",
    ),
    ("too short a grace period", {"gateway": {"drainSeconds": 30}}, "set it to 55 or more"),
    (
        "offline without models",
        {"hub": {"offline": True}, "models": {"cache": {"enabled": False}}},
        "no source of base models",
    ),
]


@pytest.mark.parametrize(("given", "message"), [pytest.param(*rest, id=what) for what, *rest in WRONG])
def test_wrong_values_are_rejected_with_a_clear_message(given: Json, message: str) -> None:
    with pytest.raises(HelmError, match=re.escape(message)):
        render(given)


@pytest.mark.parametrize("missing", ["datasets", "gateway.photos", "gateway.maxUploads"])
def test_values_of_an_older_release_are_rejected_with_the_flag_to_use(missing: str, tmp_path: Path) -> None:
    """`helm upgrade --reuse-values` uses the old chart's defaults instead of the new ones."""
    shutil.copytree(CHART, tmp_path / "darkroom")
    found = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    *path, name = missing.split(".")
    del functools.reduce(dict.__getitem__, path, found)[name]
    (tmp_path / "darkroom" / "values.yaml").write_text(yaml.safe_dump(found), encoding="utf-8")
    old = Chart.load(tmp_path / "darkroom")
    with pytest.raises(HelmError, match="--reset-then-reuse-values instead of --reuse-values"):
        old.render({}, name="darkroom", namespace="studio")


def test_gateway_resources_can_be_null() -> None:
    assert render({"gateway": {"resources": None}}).deployment("gateway")


def test_error_message_does_not_contain_the_password() -> None:
    with pytest.raises(HelmError) as refusal:
        render({"redis": {"url": "redis://:hunter2hunter2@redis:6379"}})
    assert "hunter2" not in str(refusal.value)


def test_parent_chart_may_set_globals() -> None:
    assert render({"global": {"region": "eu"}}).objects


def test_schema_allows_no_additional_properties() -> None:
    open_ones = [path for path, each in _objects(chart().schema or {}) if "additionalProperties" not in each]
    assert {path.rsplit(".", 1)[-1] for path in open_ones} == {"global", "affinity", "spec", "objects[]", "valueFrom"}


def _objects(schema: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    if schema.get("type") == "object":
        yield path, schema
    for group in ("properties", "$defs"):
        for name, each in schema.get(group, {}).items():
            yield from _objects(each, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            yield from _objects(schema[name], f"{path}[]")


def test_every_schema_property_is_in_values_yaml() -> None:
    root = chart().schema or {}
    missing = [path for path in _paths(root, root) if not _has(chart().values, path)]
    assert missing == []


def _paths(schema: Json, root: Json, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """All paths of named values, except within lists."""
    schema = root["$defs"][schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else schema
    for name, each in schema.get("properties", {}).items():
        if name not in FREE | KUBERNETES and path != ("runner", "template"):
            yield (*path, name)
            yield from _paths(each, root, (*path, name))


def _has(values: Any, path: tuple[str, ...]) -> bool:
    for name in path:
        if not isinstance(values, dict) or name not in values:
            return False
        values = values[name]
    return True


def test_every_value_is_used_by_a_template() -> None:
    text = "\n".join(each["data"] for each in chart().templates)
    unused = [name for *_, name in _leaves(chart().values) if not re.search(rf"\.{name}\b|\"{name}\"", text)]
    # Rendered as a whole, or accessed by the component's name.
    assert set(unused) <= {"requests", "limits", "request"}


def test_every_value_has_a_comment() -> None:
    """Above it or above its group, unless its name is a Kubernetes field."""
    commented = _comments()
    silent = [path for path in _leaves(chart().values) if path[-1] not in PLAIN and not {path, path[:-1]} & commented]
    assert silent == []


# Self-explanatory names, used as in any Kubernetes object.
PLAIN = {
    "repository", "pullPolicy", "resources", "requests", "limits", "podLabels", "podAnnotations", "priorityClassName",
    "nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "extraEnv", "annotations", "labels",
    "enabled", "create", "name", "hostnames", "region", "interval", "scrapeTimeout", "minReplicas", "maxReplicas",
    "mountPath", "env", "envFrom", "volumes", "volumeMounts", "type", "port",
}  # fmt: skip


def _leaves(values: Json, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, each in values.items():
        if isinstance(each, dict) and each and name not in ("annotations", "labels", "requests", "limits"):
            yield from _leaves(each, (*path, name))
        else:
            yield (*path, name)


def _comments() -> set[tuple[str, ...]]:
    """Paths of keys right below a comment, or below another such key: `retryCapSeconds` shares its neighbour's."""
    commented: set[tuple[str, ...]] = set()
    stack: list[tuple[int, str]] = []
    above = False
    for line in (CHART / "values.yaml").read_text(encoding="utf-8").splitlines():
        key = re.match(r"( *)([A-Za-z0-9]+):", line)
        if key is None:
            above = line.lstrip().startswith("#") or (above and bool(line.strip()))
            continue
        indent = len(key[1])
        stack = [*(each for each in stack if each[0] < indent), (indent, key[2])]
        if above:
            commented.add(tuple(name for _, name in stack))
        above = above and not line.rstrip().endswith(":")
    return commented


def test_values_are_plain_yaml() -> None:
    assert yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")) == chart().values
