"""The chart, rendered by Helm's own engine within this process: no cluster, no helm program."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from helm_python import Chart

Json = dict[str, Any]

CHART = Path(__file__).resolve().parents[2] / "charts" / "darkroom"
CASES = ("default", "minimal", "tryout", "typical", "everything")
"""The default values, and those of charts/darkroom/ci."""
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The fast one, where PyYAML was built with it."""
RELEASE, NAMESPACE = "darkroom", "studio"


@functools.cache
def chart() -> Chart:
    return Chart.load(CHART)


def values(case: str) -> Json:
    """The values of one test case."""
    if case == "default":
        return {}
    found: Json = yaml.safe_load((CHART / "ci" / f"{case}-values.yaml").read_text(encoding="utf-8"))
    return found


@dataclass(frozen=True)
class Rendering:
    """One render: the objects for the API server, and the notes for the user."""

    texts: Mapping[str, str]
    """By template."""

    @property
    def notes(self) -> str:
        return next(text for path, text in self.texts.items() if path.endswith("NOTES.txt"))

    @functools.cached_property
    def objects(self) -> list[Json]:
        return [
            document
            for path, text in sorted(self.texts.items())
            if not path.endswith("NOTES.txt")
            for document in yaml.load_all(text, LOADER)
            if document
        ]

    def of_kind(self, kind: str) -> list[Json]:
        return [each for each in self.objects if each["kind"] == kind]

    def has(self, kind: str, name: str) -> bool:
        return any(each["metadata"]["name"] == name for each in self.of_kind(kind))

    def one(self, kind: str, name: str) -> Json:
        [found] = [each for each in self.of_kind(kind) if each["metadata"]["name"] == name]
        return found

    def pods(self) -> Iterator[tuple[str, Json]]:
        """Every pod template, and every pod of a hook, by what it belongs to."""
        for each in self.objects:
            name = f"{each['kind']}/{each['metadata']['name']}"
            if each["kind"] == "Pod":
                yield name, each
            elif "template" in each.get("spec", {}) and "containers" in each["spec"]["template"].get("spec", {}):
                yield name, each["spec"]["template"]

    def deployment(self, component: str) -> Json:
        return self.one("Deployment", f"{RELEASE}-{component}")

    def runner_template(self) -> Json:
        """The partial PodTemplateSpec that the operator reads."""
        text = self.one("ConfigMap", f"{RELEASE}-runner-template")["data"]["runner-template.yaml"]
        found: Json = yaml.safe_load(text)
        return found


def render(given: Json | None = None, name: str = RELEASE, namespace: str = NAMESPACE) -> Rendering:
    """Raises `HelmError`s for values that the schema or a check of the chart refuses."""
    return Rendering(chart().render(given or {}, name=name, namespace=namespace))


@functools.cache
def rendered(case: str) -> Rendering:
    """The same for the usual cases, once."""
    return render(values(case))


def only_container(pod: Json) -> Json:
    [found] = pod["spec"]["containers"]
    only: Json = found
    return only


def plain_environment(pod: Json) -> dict[str, str]:
    """The variables of a pod's container that have a value of their own."""
    return {each["name"]: each["value"] for each in only_container(pod).get("env", []) if "value" in each}
