"""No release takes away what an earlier one gave: its objects stay valid, and mean what they meant.

`released/` has the CRDs of every release as they were; at a release, those of `crds/` are copied there. A break needs a
new version of the API (docs/decisions/0011-crd-lifecycle.md).
"""

import copy
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.crd_changes import losses

from darkroom_contract.crd.definitions import definition
from darkroom_contract.names import Kind

Json = dict[str, Any]

HERE = Path(__file__).parent
RELEASES = sorted((HERE / "released").iterdir())
PYPROJECT = HERE.parents[2] / "pyproject.toml"


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
@pytest.mark.parametrize("kind", list(Kind))
def test_nothing_that_was_released_is_taken_away(release: Path, kind: Kind) -> None:
    released = yaml.safe_load((release / f"{kind.crd_name}.yaml").read_text(encoding="utf-8"))
    assert losses(released, definition(kind)) == []


def test_every_release_is_kept() -> None:
    version = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["version"]
    assert version in [path.name for path in RELEASES], f"copy crds/ to {HERE.name}/released/{version}/"
    for release in RELEASES:
        assert sorted(path.stem for path in release.iterdir()) == sorted(kind.crd_name for kind in Kind)


SCHEMA: Json = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 10, "pattern": "^a"},
        "mode": {"type": "string", "enum": ["Fast", "Slow"], "default": "Fast"},
        "count": {"type": "integer", "minimum": 1, "maximum": 8, "multipleOf": 4},
        "free": {"type": "integer", "nullable": True},
        "tags": {"type": "array", "maxItems": 3, "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "sizes": {"type": "object", "additionalProperties": {"type": "number", "maximum": 5}},
    },
    "x-kubernetes-validations": [{"rule": "self.name == oldSelf.name", "fieldPath": ".name"}],
}
VERSION: Json = {
    "name": "v1alpha1",
    "served": True,
    "storage": True,
    "subresources": {"status": {}},
    "schema": {"openAPIV3Schema": SCHEMA},
}
NAMES = {"kind": "Thing", "listKind": "ThingList", "plural": "things", "singular": "thing"}
OLD: Json = {
    "spec": {
        "group": "darkroom.dev",
        "scope": "Namespaced",
        "names": {**NAMES, "shortNames": ["th"], "categories": ["all"]},
        "versions": [VERSION],
    }
}


def changed(change: Callable[[Json, Json, Json], object]) -> Json:
    """The definition after `change(properties, schema, spec)`."""
    new = copy.deepcopy(OLD)
    schema = new["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    change(schema["properties"], schema, new["spec"])
    return new


def version(spec: Json) -> Json:
    found: Json = spec["versions"][0]
    return found


BREAKS: dict[str, Callable[[Json, Json, Json], object]] = {
    "name: the field is gone": lambda p, s, d: p.pop("name"),
    "count: the field is required": lambda p, s, d: s["required"].append("count"),
    "fresh: the field is required": lambda p, s, d: (s["required"].append("fresh"), p.update(fresh={"type": "string"})),
    "count: the type was integer": lambda p, s, d: p["count"].update(type="string"),
    "count: minimum": lambda p, s, d: p["count"].update(minimum=2),
    "count: maximum": lambda p, s, d: p["count"].update(maximum=7),
    "count: exclusiveMinimum": lambda p, s, d: p["count"].update(exclusiveMinimum=True),
    "count: multipleOf": lambda p, s, d: p["count"].update(multipleOf=8),
    "free: maximum was absent": lambda p, s, d: p["free"].update(maximum=10**9),
    "free: multipleOf was absent": lambda p, s, d: p["free"].update(multipleOf=2),
    "free: nullable": lambda p, s, d: p["free"].pop("nullable"),
    "free: only [1, 2] are taken": lambda p, s, d: p["free"].update(enum=[1, 2]),
    "free: the default was 'absent'": lambda p, s, d: p["free"].update(default=1),
    "name: minLength": lambda p, s, d: p["name"].update(minLength=2),
    "name: maxLength": lambda p, s, d: p["name"].update(maxLength=9),
    "name: pattern": lambda p, s, d: p["name"].update(pattern="^ab"),
    "name: format": lambda p, s, d: p["name"].update(format="date-time"),
    "mode: 'Slow' is no longer taken": lambda p, s, d: p["mode"]["enum"].remove("Slow"),
    "mode: the default was 'Fast' and is 'Slow'": lambda p, s, d: p["mode"].update(default="Slow"),
    "mode: the default was 'Fast' and is 'absent'": lambda p, s, d: p["mode"].pop("default"),
    "tags: maxItems": lambda p, s, d: p["tags"].update(maxItems=2),
    "tags: x-kubernetes-list-type": lambda p, s, d: p["tags"].update({"x-kubernetes-list-type": "atomic"}),
    "tags[]: maxLength": lambda p, s, d: p["tags"]["items"].update(maxLength=5),
    "sizes[]: maximum": lambda p, s, d: p["sizes"]["additionalProperties"].update(maximum=4),
    "sizes[]: what may be in it": lambda p, s, d: p["sizes"].pop("additionalProperties"),
    "a rule was added": lambda p, s, d: s["x-kubernetes-validations"].append({"rule": "self.count > 2"}),
    "v1alpha1 is gone": lambda p, s, d: version(d).update(name="v1beta1"),
    "v1alpha1 is no longer served": lambda p, s, d: version(d).update(served=False),
    "lost its subresource status": lambda p, s, d: version(d).pop("subresources"),
    "the group or the scope": lambda p, s, d: d.update(scope="Cluster"),
    "names.plural": lambda p, s, d: d["names"].update(plural="thingies"),
    "names.shortNames has lost th": lambda p, s, d: d["names"].update(shortNames=[]),
    "names.categories has lost all": lambda p, s, d: d["names"].pop("categories"),
}

HARMLESS: dict[str, Callable[[Json, Json, Json], object]] = {
    "nothing": lambda p, s, d: None,
    "a new optional field": lambda p, s, d: p.update(fresh={"type": "string", "maxLength": 3, "default": "a"}),
    "a new field, fixed at creation": lambda p, s, d: (
        p.update(fresh={"type": "string", "default": "a"}),
        s["x-kubernetes-validations"].append({"rule": "self.fresh == oldSelf.fresh", "fieldPath": ".fresh"}),
    ),
    "a new field that is required and has a default": lambda p, s, d: (
        s["required"].append("fresh"),
        p.update(fresh={"type": "string", "default": "a"}),
    ),
    "a field that is no longer required": lambda p, s, d: s["required"].remove("name"),
    "wider bounds": lambda p, s, d: (p["count"].update(minimum=0, maximum=9, multipleOf=2), p["tags"].pop("maxItems")),
    "a pattern that is dropped": lambda p, s, d: p["name"].pop("pattern"),
    "another value": lambda p, s, d: p["mode"]["enum"].append("Careful"),
    "every value": lambda p, s, d: p["mode"].pop("enum"),
    "integers as numbers": lambda p, s, d: p["count"].update(type="number"),
    "a rule that is dropped": lambda p, s, d: s["x-kubernetes-validations"].clear(),
    "other words": lambda p, s, d: p["count"].update(description="How many things there are."),
    "a second version, that is stored": lambda p, s, d: (
        version(d).update(storage=False),
        d["versions"].append({**copy.deepcopy(VERSION), "name": "v1beta1"}),
    ),
}


@pytest.mark.parametrize("told", BREAKS)
def test_a_breaking_change_is_found_and_nothing_else(told: str) -> None:
    [loss] = losses(OLD, changed(BREAKS[told]))
    assert told in loss


@pytest.mark.parametrize("what", HARMLESS)
def test_compatible_changes_are_accepted(what: str) -> None:
    assert losses(OLD, changed(HARMLESS[what])) == []
