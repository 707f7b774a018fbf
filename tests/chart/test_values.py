"""values.yaml is the reference: complete and told in words. What is not in it is refused, with a word that helps."""

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
"""Of Helm itself; no value of ours."""
KUBERNETES = {"claims", "request", "backendRequest"}
"""Fields of Kubernetes' own, which the reference does not repeat."""

ON = {"enabled": True}
WRONG: list[tuple[str, Json, str]] = [
    ("a typo", {"operator": {"replica": 2}}, "at '/operator': additional properties 'replica' not allowed"),
    ("a typo at the top", {"gatway": {}}, "additional properties 'gatway' not allowed"),
    ("a typo deep inside", {"models": {"cache": {"storageclass": "x"}}}, "additional properties 'storageclass' not"),
    ("a field of a resource", {"gateway": {"resources": {"request": {}}}}, "additional properties 'request' not"),
    ("a word that is none", {"gateway": {"busyPolicy": "reject"}}, "must be one of 'Queue', 'Reject'"),
    ("a string for a number", {"operator": {"slots": "1"}}, "at '/operator/slots': got string, want integer"),
    ("a number for a string", {"runner": {"labels": {"a": 1}}}, "at '/runner/labels/a': got number, want string"),
    ("a string for a switch", {"quota": {"enabled": "no"}}, "at '/quota/enabled': got string, want boolean"),
    ("less than one", {"operator": {"slots": 0}}, "at '/operator/slots': minimum: got 0, want 1"),
    ("photos that go while they are uploaded", {"gateway": {"datasetRetentionHours": 0}}, "datasetRetentionHours"),
    ("more than a week", {"gateway": {"linkSeconds": 604801}}, "maximum: got 604,801, want 604,800"),
    (
        "an address without its scheme",
        {"storage": {"s3": {"endpointUrl": "minio:9000"}}},
        "'minio:9000' does not",
    ),
    ("a size without its unit's name", {"models": {"cache": {"size": "40 GB"}}}, "'40 GB' does not match pattern"),
    ("a tag in the repository", {"image": {"runner": {"digest": "latest"}}}, "'latest' does not match pattern"),
    ("a secret that is no name", {"hub": {"existingSecret": "hf_AbCd"}}, "at '/hub/existingSecret'"),
    ("a pull secret by its name alone", {"imagePullSecrets": ["registry"]}, "got string, want object"),
    ("a password", {"redis": {"url": "redis://:secret@redis:6379"}}, "put the URL into a Secret"),
    (
        "less memory than the decoders may take",
        {"gateway": {"photos": {"decoders": 4}}},
        "gateway.resources.limits.memory is 2560 Mi: 4 decoders of 1024 MiB (gateway.photos) and the gateway itself",
    ),
    (
        "less room than the uploads may take",
        {"gateway": {"maxUploads": 9}},
        "gateway.tmpSize is 4096 Mi: 9 uploads (gateway.maxUploads) of 501 MiB (gateway.maxUploadBytes) need 4509Mi",
    ),
    (
        "names of the gateway without those of its ingress",
        {"gateway": {"allowedHosts": ["a.example"], "ingress": {"enabled": True, "hosts": None}}},
        "gateway.ingress.enabled needs gateway.ingress.hosts",
    ),
    ("two places of Redis", {"redis": {"url": "redis://a", "existingSecret": "b"}}, "set one of the two"),
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
    ("a dataset without its slash", {"datasets": {"allowedUris": ["s3://photos"]}}, "'s3://photos' does not match"),
    ("a dataset that no job can name", {"datasets": {"allowedUris": ["s3://photos/_x/"]}}, "does not match pattern"),
    ("a dataset's detour", {"datasets": {"allowedUris": ["s3://photos/../x/"]}}, "does not match pattern"),
    (
        "a storage that is made and another's Secret",
        {"tryout": {"s3": {"enabled": True}}, "storage": {"s3": {"runnerSecret": "b"}}},
        "one of the two",
    ),
    ("a base model's detour", {"models": {"baseModel": "owner/name@../x"}}, "does not match pattern"),
    (
        "a look into no cache",
        {"models": {"checkAtSubmission": True, "cache": {"enabled": False}}},
        "set models.cache.enabled",
    ),
    (
        "a look into another volume",
        {"models": {"checkAtSubmission": True, "root": "/modelsbase"}},
        "models.root is not in models.cache.mountPath",
    ),
    (
        "a volume for one pod",
        {"models": {"checkAtSubmission": True, "cache": {"accessModes": ["ReadWriteOncePod"]}}},
        "lets one pod have it",
    ),
    ("open and closed", {"gateway": {"apiKeys": {"open": True, "existingSecret": "b"}}}, "set one of the two"),
    ("a quota of nothing", {"quota": {"enabled": True}}, "set runner.priorityClass.create"),
    ("an ingress for nobody", {"gateway": {"ingress": {"enabled": True}}}, "needs gateway.ingress.hosts"),
    ("a route from nowhere", {"gateway": {"httpRoute": {"enabled": True}}}, "needs gateway.httpRoute.parentRefs"),
    ("fewer at most than at least", {"gateway": {"autoscaling": {"enabled": True, "minReplicas": 9}}}, "is more than"),
    ("no time to leave", {"gateway": {"drainSeconds": 30}}, "set it to 55 or more"),
    (
        "offline without models",
        {"hub": {"offline": True}, "models": {"cache": {"enabled": False}}},
        "no place for base",
    ),
]


@pytest.mark.parametrize(("given", "message"), [pytest.param(*rest, id=what) for what, *rest in WRONG])
def test_wrong_values_are_refused_with_a_clear_word(given: Json, message: str) -> None:
    with pytest.raises(HelmError, match=re.escape(message)):
        render(given)


@pytest.mark.parametrize("missing", ["datasets", "gateway.photos", "gateway.maxUploads"])
def test_values_of_an_older_release_are_refused_with_the_flag_that_helps(missing: str, tmp_path: Path) -> None:
    """`helm upgrade --reuse-values` takes the old chart's defaults in place of the new one's."""
    shutil.copytree(CHART, tmp_path / "darkroom")
    found = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    *path, name = missing.split(".")
    del functools.reduce(dict.__getitem__, path, found)[name]
    (tmp_path / "darkroom" / "values.yaml").write_text(yaml.safe_dump(found), encoding="utf-8")
    old = Chart.load(tmp_path / "darkroom")
    with pytest.raises(HelmError, match="--reset-then-reuse-values in place of --reuse-values"):
        old.render({}, name="darkroom", namespace="studio")


def test_the_gateway_s_resources_may_be_taken_away() -> None:
    assert render({"gateway": {"resources": None}}).deployment("gateway")


def test_a_refusal_does_not_repeat_the_password() -> None:
    with pytest.raises(HelmError) as refusal:
        render({"redis": {"url": "redis://:hunter2hunter2@redis:6379"}})
    assert "hunter2" not in str(refusal.value)


def test_a_chart_around_this_one_may_have_globals() -> None:
    assert render({"global": {"region": "eu"}}).objects


def test_the_schema_is_closed_wherever_the_names_are_ours() -> None:
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


def test_every_value_that_the_schema_knows_is_in_the_reference() -> None:
    root = chart().schema or {}
    missing = [path for path in _paths(root, root) if not _has(chart().values, path)]
    assert missing == []


def _paths(schema: Json, root: Json, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """All places of values that have names of ours; not within lists."""
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
    # Those are handed on whole, or reached by the name of their component.
    assert set(unused) <= {"requests", "limits", "request"}


def test_every_value_is_told_in_words() -> None:
    """By a comment over it or over its group, or by its name, where that is one of Kubernetes' own."""
    told = _comments()
    silent = [path for path in _leaves(chart().values) if path[-1] not in PLAIN and not {path, path[:-1]} & told]
    assert silent == []


# What says by its name all that there is to say, being as in any pod or object of Kubernetes.
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
    """Places of keys right below a comment, or below another key that is: `retryCapSeconds` shares its neighbour's."""
    told: set[tuple[str, ...]] = set()
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
            told.add(tuple(name for _, name in stack))
        above = above and not line.rstrip().endswith(":")
    return told


def test_values_are_plain_yaml() -> None:
    assert yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")) == chart().values
